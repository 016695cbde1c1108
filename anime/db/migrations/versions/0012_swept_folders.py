"""Where the folders of swept files are: a line goes once its source is gone, which needs its path.

The path of a folder of old is learned when a sweep meets it again.

Revision: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"


def upgrade() -> None:
    op.create_table(
        "swept_folders",
        sa.Column("key", sa.LargeBinary(), primary_key=True),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("swept_folders", schema=SCHEMA)

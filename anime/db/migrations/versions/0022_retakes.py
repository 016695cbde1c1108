"""A rejected take may be rendered anew: the take says which job does it.

Revision: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"


def upgrade() -> None:
    op.add_column("takes", sa.Column("retake_job_id", sa.Uuid()), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("takes", "retake_job_id", schema=SCHEMA)

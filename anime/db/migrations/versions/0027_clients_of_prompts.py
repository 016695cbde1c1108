"""A prompt that is sent names the client that hears of it.

Revision: 0027
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"


def upgrade() -> None:
    op.add_column("sent_prompts", sa.Column("client_id", sa.Text()), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("sent_prompts", "client_id", schema=SCHEMA)

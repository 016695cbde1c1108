"""How many runs of a job were lost, and where the attempts of a requeued job begin.

Revision: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
TABLE = "production_jobs"
COLUMNS = ("lost_runs", "attempts_before")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column(
            TABLE, sa.Column(name, sa.Integer(), nullable=False, server_default="0"), schema=SCHEMA
        )


def downgrade() -> None:
    for name in reversed(COLUMNS):
        op.drop_column(TABLE, name, schema=SCHEMA)

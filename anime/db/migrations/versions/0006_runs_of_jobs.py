"""Which of its runs a job has in Prefect, and whether a batch orders it.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
TABLE = "production_jobs"


def upgrade() -> None:
    # Neither rewrites the table: a constant default and an empty column are facts of the catalogue.
    op.add_column(
        TABLE,
        sa.Column("run_number", sa.Integer(), nullable=False, server_default=sa.text("1")),
        schema=SCHEMA,
    )
    op.add_column(TABLE, sa.Column("batch_run_id", sa.Uuid()), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column(TABLE, "batch_run_id", schema=SCHEMA)
    op.drop_column(TABLE, "run_number", schema=SCHEMA)

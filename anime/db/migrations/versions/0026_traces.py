"""A job's row names the span that it lies beneath, and so its trace.

Revision: 0026
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"


def upgrade() -> None:
    op.add_column("production_jobs", sa.Column("traceparent", sa.Text()), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("production_jobs", "traceparent", schema=SCHEMA)

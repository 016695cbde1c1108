"""The outbox of webhooks: what is to be told about jobs that have ended.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"


def upgrade() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column(
            "id", sa.Uuid(), primary_key=True, server_default=sa.func.gen_random_uuid()
        ),
        sa.Column("job_id", sa.Uuid(), nullable=False, unique=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        _moment("next_attempt_at", server_default=sa.func.clock_timestamp()),
        _moment("delivered_at"),
        sa.Column("last_error", sa.Text()),
        _moment("created_at", nullable=False, server_default=sa.func.clock_timestamp()),
        sa.CheckConstraint("delivered_at IS NULL OR next_attempt_at IS NULL", name="delivered"),
        schema=SCHEMA,
    )
    op.create_index(
        None,
        "webhook_deliveries",
        ["next_attempt_at"],
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("webhook_deliveries", schema=SCHEMA)


def _moment(name: str, **how: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **how)

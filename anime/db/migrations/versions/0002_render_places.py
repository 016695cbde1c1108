"""The window of prompts in flight: who holds a place at ComfyUI, and who waits for one.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"


def upgrade() -> None:
    op.create_table(
        "render_places",
        sa.Column("job_id", sa.Uuid(), primary_key=True),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("is_interactive", sa.Boolean(), nullable=False),
        sa.Column(
            "asked_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.clock_timestamp(),
        ),
        sa.Column("held_since", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        schema=SCHEMA,
    )
    op.create_index(None, "render_places", ["server", "held_since"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("render_places", schema=SCHEMA)

"""A common line for the slots of all ComfyUI servers, with the servers that can run each render.

Revision: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
NEW = ("model", "estimates", "expected_seconds", "holds_model", "reason", "running_since")


def upgrade() -> None:
    op.alter_column("render_places", "server", nullable=True, schema=SCHEMA)
    for column in (
        sa.Column("model", sa.Text(), nullable=False, server_default=""),
        sa.Column("estimates", JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("expected_seconds", sa.Float()),
        sa.Column("holds_model", sa.Boolean()),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("running_since", sa.DateTime(timezone=True)),
    ):
        op.add_column("render_places", column, schema=SCHEMA)
    # Those in line before did not say which servers can run them: their runs ask again each second.
    op.execute(f"UPDATE {SCHEMA}.render_places SET server = NULL WHERE held_since IS NULL")


def downgrade() -> None:
    op.execute(f"DELETE FROM {SCHEMA}.render_places WHERE server IS NULL")
    for name in NEW:
        op.drop_column("render_places", name, schema=SCHEMA)
    op.alter_column("render_places", "server", nullable=False, schema=SCHEMA)

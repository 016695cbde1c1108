"""Several ComfyUI servers, what was sent to them, pauses, and a timeline for each job.

Revision: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
HEALTH = ("unknown", "alive", "unresponsive", "unreachable", "zombie", "latched")
KINDS = ("submitted", "run", "server", "attempt", "decision", "person", "end")
TABLES = ("job_events", "pauses", "render_costs", "sent_prompts", "comfyui_servers")


def upgrade() -> None:
    op.create_table(
        "comfyui_servers",
        sa.Column("url", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("labels", ARRAY(sa.Text()), nullable=False, server_default=sa.text("'{}'")),
        _flag("from_settings"),
        _flag("is_drained"),
        _word("health", HEALTH, server_default="unknown"),
        sa.Column("health_reason", sa.Text(), nullable=False, server_default=""),
        _moment("health_since"),
        sa.Column("last_seen_at", sa.DateTime(timezone=True)),
        sa.Column("checked_at", sa.DateTime(timezone=True)),
        _json("fingerprint"),
        _json("offers"),
        sa.Column("loaded_model", sa.Text()),
        schema=SCHEMA,
    )
    op.create_table(
        "sent_prompts",
        sa.Column("prompt_id", sa.Uuid(), primary_key=True),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _moment("sent_at"),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        schema=SCHEMA,
    )
    op.create_index(
        "sent_prompts_server_idx",
        "sent_prompts",
        ["server"],
        schema=SCHEMA,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_index("sent_prompts_job_id_idx", "sent_prompts", ["job_id"], schema=SCHEMA)
    op.create_table(
        "render_costs",
        *(
            sa.Column(name, sa.Text(), primary_key=True)
            for name in ("workflow", "model", "size", "server")
        ),
        sa.Column("renders", sa.Integer(), sa.CheckConstraint("renders > 0", name="renders"), nullable=False),
        sa.Column("mean_seconds", sa.Float(), nullable=False),
        sa.Column("load_seconds", sa.Float()),
        sa.Column("peak_vram_mb", sa.Integer()),
        _moment("updated_at"),
        schema=SCHEMA,
    )
    op.create_table(
        "pauses",
        sa.Column("scope", sa.Text(), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
        _flag("is_automatic"),
        _moment("since"),
        schema=SCHEMA,
    )
    op.create_table(
        "job_events",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        _moment("at"),
        _word("kind", KINDS),
        sa.Column("message", sa.Text(), nullable=False),
        schema=SCHEMA,
    )
    op.create_index("job_events_job_id_id_idx", "job_events", ["job_id", "id"], schema=SCHEMA)
    avoided = sa.Column(
        "avoided_servers", ARRAY(sa.Text()), nullable=False, server_default=sa.text("'{}'")
    )
    killed = sa.Column("servers_killed", sa.Integer(), nullable=False, server_default="0")
    for column in (avoided, killed):
        op.add_column("production_jobs", column, schema=SCHEMA)


def downgrade() -> None:
    for name in ("servers_killed", "avoided_servers"):
        op.drop_column("production_jobs", name, schema=SCHEMA)
    for table in TABLES:
        op.drop_table(table, schema=SCHEMA)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.text("false"))


def _moment(name: str) -> sa.Column[sa.DateTime]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.func.clock_timestamp(),
    )


def _json(name: str) -> sa.Column[JSONB]:
    return sa.Column(name, JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb"))


def _word(name: str, values: tuple[str, ...], server_default: str | None = None) -> sa.Column[str]:
    return sa.Column(
        name,
        sa.String(32),
        sa.CheckConstraint(f"{name} IN {values}", name=name),
        nullable=False,
        server_default=server_default,
    )

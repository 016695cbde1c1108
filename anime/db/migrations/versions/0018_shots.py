"""Shots of projects with takes and reviews, how a project's shot lists are read, and jobs found by their shot.

Revision: 0018
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
INDEX = "production_jobs_project_id_shot_idx"
INDEX_WAIT = "10min"  # for transactions that began before; nobody waits for us meanwhile
TEXTS = ("episode", "scene", "prompt", "negative_prompt", "workflow", "model", "status")
VERDICTS = ("approved", "rejected")
ACTIONS = ("approve", "reject", "pick", "note", "undo")
NUMBERS = ("width", "height", "frames")


def upgrade() -> None:
    _drop()  # what an upgrade that was cut short has left
    op.create_table(
        "shots",
        sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.text("gen_random_uuid()")),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("code_key", sa.Text(collation="C"), nullable=False),
        sa.Column("sort_key", sa.Text(collation="C"), nullable=False),
        sa.Column("description", sa.Text(), nullable=False, server_default=""),
        sa.Column("characters", ARRAY(sa.Text()), nullable=False, server_default=sa.text("'{}'")),
        *(sa.Column(name, sa.Text()) for name in TEXTS),
        *(sa.Column(name, sa.Integer()) for name in NUMBERS),
        sa.Column("seconds", sa.Float()),
        sa.Column("seed", sa.Numeric(20, 0)),
        sa.Column("notes", sa.Text(), nullable=False, server_default=""),
        sa.Column("takes_given", sa.Integer(), nullable=False, server_default=sa.text("0")),
        _moment("created_at"),
        _moment("updated_at"),
        sa.ForeignKeyConstraint(["project_id"], [f"{SCHEMA}.projects.id"]),
        sa.CheckConstraint("seed BETWEEN 0 AND 18446744073709551615", name="seed"),
        sa.CheckConstraint("frames >= 1", name="frames"),
        sa.CheckConstraint("frames IS NULL OR seconds IS NULL", name="length"),
        schema=SCHEMA,
    )
    op.create_index(
        "shots_project_id_code_key_key",
        "shots",
        ["project_id", "code_key"],
        unique=True,
        schema=SCHEMA,
    )
    op.create_index(
        "shots_project_id_sort_key_idx",
        "shots",
        ["project_id", "sort_key", "code_key"],
        schema=SCHEMA,
    )
    _create_takes()
    _create_reviews()
    op.add_column(
        "projects",
        sa.Column("shot_columns", JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb")),
        schema=SCHEMA,
    )
    with op.get_context().autocommit_block():
        op.execute(f"SET lock_timeout = '{INDEX_WAIT}'")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {INDEX} ON {SCHEMA}.production_jobs (project_id, shot)"
            " WHERE shot IS NOT NULL"
        )
        op.execute("SET lock_timeout = '10s'")


def downgrade() -> None:
    _drop()


def _drop() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {SCHEMA}.{INDEX}")
    op.execute(f"DROP TABLE IF EXISTS {SCHEMA}.reviews, {SCHEMA}.takes, {SCHEMA}.shots")
    op.execute(f"ALTER TABLE {SCHEMA}.projects DROP COLUMN IF EXISTS shot_columns")


def _create_takes() -> None:
    op.create_table(
        "takes",
        sa.Column("shot_id", sa.Uuid(), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("file_id", sa.Integer(), nullable=False, unique=True),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        _word("verdict", VERDICTS, nullable=True),
        sa.Column("is_picked", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("note", sa.Text(), nullable=False, server_default=""),
        sa.Column("reviewed_by", sa.Text()),
        sa.Column("reviewed_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["shot_id"], [f"{SCHEMA}.shots.id"]),
        sa.CheckConstraint("number >= 1", name="number"),
        schema=SCHEMA,
    )
    op.create_index(
        "takes_shot_id_key",
        "takes",
        ["shot_id"],
        unique=True,
        postgresql_where=sa.text("is_picked"),
        schema=SCHEMA,
    )


def _create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("shot_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        _word("action", ACTIONS, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("note", sa.Text()),
        sa.Column("reviewed_by", sa.Text(), nullable=False),
        _moment("reviewed_at"),
        sa.Column("changes", JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("is_undone", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.ForeignKeyConstraint(
            ["shot_id", "number"], [f"{SCHEMA}.takes.shot_id", f"{SCHEMA}.takes.number"]
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "reviews_shot_id_number_idx", "reviews", ["shot_id", "number", "id"], schema=SCHEMA
    )


def _word(name: str, allowed: tuple[str, ...], *, nullable: bool) -> sa.Column[str]:
    kind = sa.Enum(*allowed, name=name, native_enum=False, create_constraint=True, length=32)
    return sa.Column(name, kind, nullable=nullable)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.text("clock_timestamp()"),
    )

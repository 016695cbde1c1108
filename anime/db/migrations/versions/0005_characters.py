"""Characters and their versions; projects say more of themselves.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from anime.db.migrations import adoption

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"


def upgrade() -> None:
    for column in (_text("description"), _metadata(), _now("updated_at")):
        op.add_column("projects", column, schema=SCHEMA)
    for table in ("characters", "character_versions"):
        if adoption.exists(table):  # of an older service, in a shape of its own
            adoption.set_aside(table)
    _create_characters()
    _create_character_versions()


def downgrade() -> None:
    op.drop_table("character_versions", schema=SCHEMA)
    op.drop_table("characters", schema=SCHEMA)
    for column in ("updated_at", "metadata", "description"):
        op.drop_column("projects", column, schema=SCHEMA)


def _create_characters() -> None:
    op.create_table(
        "characters",
        _id(),
        sa.Column("project_id", sa.Uuid(), sa.ForeignKey(f"{SCHEMA}.projects.id")),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _text("description"),
        _metadata(),
        _now("created_at"),
        _now("updated_at"),
        schema=SCHEMA,
    )
    _unique(
        "characters_project_id_slug_key",
        "characters",
        ["project_id", "slug"],
        where="project_id IS NOT NULL",
    )
    _unique("characters_slug_key", "characters", ["slug"], where="project_id IS NULL")
    op.create_index(None, "characters", ["created_at", "id"], schema=SCHEMA)


def _create_character_versions() -> None:
    op.create_table(
        "character_versions",
        _id(),
        sa.Column(
            "character_id", sa.Uuid(), sa.ForeignKey(f"{SCHEMA}.characters.id"), nullable=False
        ),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("negative_prompt", sa.Text()),
        sa.Column(
            "loras", postgresql.JSONB(), nullable=False, server_default=sa.text("'[]'::jsonb")
        ),
        sa.Column("seed", sa.Numeric(20, 0)),
        _text("notes"),
        sa.Column("is_canonical", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        _now("created_at"),
        sa.CheckConstraint("number >= 1", name="number"),
        sa.CheckConstraint("seed BETWEEN 0 AND 18446744073709551615", name="seed"),
        schema=SCHEMA,
    )
    _unique(
        "character_versions_character_id_number_key",
        "character_versions",
        ["character_id", "number"],
    )
    _unique(
        "character_versions_canonical_key",
        "character_versions",
        ["character_id"],
        where="is_canonical",
    )


def _id() -> sa.Column:
    return sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.func.gen_random_uuid())


def _text(name: str) -> sa.Column:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _metadata() -> sa.Column:
    return sa.Column(
        "metadata", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb")
    )


def _now(name: str) -> sa.Column:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.func.clock_timestamp(),
    )


def _unique(name: str, table: str, columns: list[str], where: str | None = None) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text(where) if where else None,
    )

"""Reference pictures of characters, and who has made and approved their versions.

Revision: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
ROLES = ("face", "body", "outfit", "style")
OF_VERSIONS = {
    "created_by": sa.Text(),
    "approved_at": sa.DateTime(timezone=True),
    "approved_by": sa.Text(),
}


def upgrade() -> None:
    for name, kind in OF_VERSIONS.items():
        op.add_column("character_versions", sa.Column(name, kind), schema=SCHEMA)
    # Those that were canonical before are changed no more, either.
    op.execute(
        f"UPDATE {SCHEMA}.character_versions SET approved_at = created_at WHERE is_canonical"
    )
    op.create_table(
        "character_references",
        sa.Column("version_id", sa.Uuid(), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column(
            "role",
            sa.Enum(*ROLES, name="role", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], [f"{SCHEMA}.character_versions.id"]),
        sa.CheckConstraint("position >= 1", name="position"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("character_references", schema=SCHEMA)
    for name in reversed(OF_VERSIONS):
        op.drop_column("character_versions", name, schema=SCHEMA)

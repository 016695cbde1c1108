"""Styles of projects, in versions, and what each job's request became with them.

Revision: 0020
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"


def upgrade() -> None:
    op.create_table(
        "project_styles",
        sa.Column("project_id", sa.Uuid(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("fields", JSONB(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=False, server_default=""),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], [f"{SCHEMA}.projects.id"]),
        sa.CheckConstraint("version >= 1", name="version"),
        schema=SCHEMA,
    )
    op.add_column("production_jobs", sa.Column("composition", JSONB()), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("production_jobs", "composition", schema=SCHEMA)
    op.drop_table("project_styles", schema=SCHEMA)

"""What sweeps have seen, and how a swept file is known again: by source, and by content.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "anime_api"
OUTCOMES = "'organised', 'duplicate', 'quarantined', 'known', 'restored', 'left'"


def upgrade() -> None:
    op.create_table(
        "swept_files",
        sa.Column("folder", sa.LargeBinary(), primary_key=True),
        sa.Column("name", sa.LargeBinary(), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("source_kept", sa.Boolean(), nullable=False),
        sa.Column("file_id", sa.Integer()),
        sa.Column(
            "swept_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.clock_timestamp(),
        ),
        sa.CheckConstraint(f"outcome IN ({OUTCOMES})", name="outcome"),
        schema=SCHEMA,
    )
    # Both are empty on a table of the old services: building them reads it once and no more.
    op.create_index(
        "anime_files_source_path_sha256_key",
        "anime_files",
        ["source_path", "sha256"],
        unique=True,
        postgresql_where=sa.text("job_id IS NULL AND source_path IS NOT NULL"),
        schema=SCHEMA,
    )
    op.create_index(
        "anime_files_sha256_idx",
        "anime_files",
        ["sha256"],
        postgresql_where=sa.text("sha256 IS NOT NULL"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_index("anime_files_sha256_idx", "anime_files", schema=SCHEMA)
    op.drop_index("anime_files_source_path_sha256_key", "anime_files", schema=SCHEMA)
    op.drop_table("swept_files", schema=SCHEMA)

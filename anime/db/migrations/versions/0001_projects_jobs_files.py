"""Projects, jobs and files; the files' table of older services is adopted.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from anime.db.migrations import adoption

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "anime_api"


def upgrade() -> None:
    for table in ("projects", "production_jobs"):
        if adoption.exists(table):
            adoption.set_aside(table)
    _create_projects()
    _create_production_jobs()
    if adoption.exists("anime_files"):
        adoption.adopt(
            "anime_files",
            _columns_of_anime_files(),
            fill={"created_at": "COALESCE(organized_at, clock_timestamp())"},
        )
    else:
        op.create_table("anime_files", *_columns_of_anime_files(), schema=SCHEMA)
    _index_anime_files()


def downgrade() -> None:
    raise NotImplementedError("Going back from the first revision would delete the record.")


def _moment(name: str, **how: object) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **how)


def _now(name: str) -> sa.Column:
    return _moment(name, nullable=False, server_default=sa.func.clock_timestamp())


def _one_of(column: str, *words: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def _create_projects() -> None:
    op.create_table(
        "projects",
        sa.Column(
            "id", sa.Uuid(), primary_key=True, server_default=sa.func.gen_random_uuid()
        ),
        sa.Column("slug", sa.Text(), nullable=False, unique=True),
        sa.Column("name", sa.Text(), nullable=False),
        _now("created_at"),
        schema=SCHEMA,
    )


def _create_production_jobs() -> None:
    op.create_table(
        "production_jobs",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), sa.ForeignKey(f"{SCHEMA}.projects.id")),
        sa.Column("character", sa.Text()),
        sa.Column("shot", sa.Text()),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("params", postgresql.JSONB(), nullable=False),
        sa.Column("seed", sa.Numeric(20, 0), nullable=False),
        sa.Column("status", sa.String(32), nullable=False, server_default="queued"),
        sa.Column("stage", sa.String(32)),
        sa.Column("progress", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("attempt", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("prompt_id", sa.Uuid()),
        sa.Column("comfyui_url", sa.Text()),
        sa.Column("flow_run_id", sa.Uuid()),
        sa.Column("lease_owner", sa.Uuid()),
        _moment("lease_expires_at"),
        sa.Column("fence", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("error_kind", sa.String(32)),
        sa.Column("error_message", sa.Text()),
        sa.Column("output_path", sa.Text()),
        _now("created_at"),
        _now("updated_at"),
        _moment("started_at"),
        _moment("finished_at"),
        *_rules_of_production_jobs(),
        schema=SCHEMA,
    )
    for columns in (["created_at", "id"], ["status", "created_at"], ["project_id", "created_at"]):
        op.create_index(None, "production_jobs", columns, schema=SCHEMA)


def _rules_of_production_jobs() -> list[sa.CheckConstraint]:
    return [
        _one_of("type", "image", "video"),
        _one_of(
            "status", "queued", "processing", "cancelling", "completed", "failed", "cancelled"
        ),
        _one_of(
            "stage", "checking_vram", "submitting", "rendering", "organizing", "recording"
        ),
        _one_of(
            "error_kind",
            "invalid_workflow",
            "out_of_memory",
            "insufficient_vram",
            "comfyui_unreachable",
            "lost",
            "timeout",
            "node_error",
            "storage",
            "quarantined",
            "internal",
        ),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name="progress"),
        sa.CheckConstraint("seed BETWEEN 0 AND 18446744073709551615", name="seed"),
        sa.CheckConstraint("attempt >= 1", name="attempt"),
        sa.CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="lease"),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))",
            name="finished",
        ),
        sa.CheckConstraint("(status = 'failed') = (error_kind IS NOT NULL)", name="failed"),
    ]


def _columns_of_anime_files() -> list[sa.Column]:
    return [
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("filename", sa.String()),
        sa.Column("project_id", sa.Uuid()),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("file_type", sa.String()),
        sa.Column("file_path", sa.Text()),
        sa.Column("file_size", sa.BigInteger()),
        sa.Column("metadata", postgresql.JSONB()),
        _now("created_at"),
        _moment("organized_at"),
        sa.Column("sha256", sa.Text()),
        sa.Column("source_path", sa.Text()),
        sa.Column("state", sa.String(), nullable=False, server_default="present"),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("frames", sa.Integer()),
        sa.Column("media_type", sa.String()),
        sa.Column("thumbnail_path", sa.Text()),
    ]


def _index_anime_files() -> None:
    op.create_index(
        "anime_files_job_id_source_path_key",
        "anime_files",
        ["job_id", "source_path"],
        unique=True,
        postgresql_where=sa.text("source_path IS NOT NULL"),
        schema=SCHEMA,
    )
    for columns in (["created_at", "id"], ["job_id"], ["project_id"]):
        op.create_index(None, "anime_files", columns, schema=SCHEMA)

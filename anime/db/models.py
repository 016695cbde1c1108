"""The tables. What must always hold is a constraint here, so that no program can break it."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from anime.core.job_status import FailureKind, JobStatus, Stage
from anime.core.sweep_plan import ImportOutcome
from anime.schemas import GenerationType

SCHEMA = "anime_api"
FINAL = tuple(status for status in JobStatus if status.is_final)

# PostgreSQL's own names, so that an adopted table has the same ones as a new one.
_NAMES = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}


class UnsignedBigInteger(TypeDecorator[int]):
    """0 to 2^64-1: beyond BIGINT, hence NUMERIC."""

    impl = Numeric(20, 0)
    cache_ok = True

    def process_result_value(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """The number as Python counts."""
        del dialect
        return None if value is None else int(value)


class Base(DeclarativeBase):
    """All tables of ours."""

    metadata = MetaData(schema=SCHEMA, naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012  read once, by SQLAlchemy
        datetime: DateTime(timezone=True),
        str: Text,
        UUID: Uuid,
    }


def words(kind: type[StrEnum], name: str) -> Enum:
    """VARCHAR with a CHECK: a new word is a migration, but not one that rewrites the table."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda words: [word.value for word in words],
    )


class Project(Base):
    """A production. Its slug is its folder in the library, and stays when the name changes."""

    __tablename__ = "projects"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    details: Mapped[dict[str, Any]] = mapped_column(
        "metadata", JSONB, server_default=text("'{}'::jsonb")
    )
    # Fields of the columns of its shot lists, by heading, where somebody has said them.
    shot_columns: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ProductionJob(Base):
    """One generation: what was asked for, how far it is, and who works on it."""

    __tablename__ = "production_jobs"
    __table_args__ = (
        CheckConstraint("progress BETWEEN 0 AND 100", name="progress"),
        CheckConstraint("seed BETWEEN 0 AND 18446744073709551615", name="seed"),
        CheckConstraint("attempt >= 1", name="attempt"),
        CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="lease"),
        CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))",
            name="finished",
        ),
        CheckConstraint("(status = 'failed') = (error_kind IS NOT NULL)", name="failed"),
        Index(None, "created_at", "id"),
        Index(None, "status", "created_at"),
        Index(None, "project_id", "created_at"),
        Index(None, "type", "created_at", "id"),
        Index(None, "character", "created_at", "id"),
        Index(
            None,
            "characters",
            postgresql_using="gin",
            postgresql_where=text("characters IS NOT NULL"),
        ),
        Index(None, "project_id", "shot", postgresql_where=text("shot IS NOT NULL")),
        Index(
            "production_jobs_completed_idx",
            "finished_at",
            postgresql_where=text("status = 'completed'"),
        ),
        Index(
            None,
            *("error_kind", "created_at", "id"),
            postgresql_where=text("error_kind IS NOT NULL"),
        ),
        Index(None, "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id"))
    character: Mapped[str | None]
    # Where there are several: that one and the others.
    characters: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    shot: Mapped[str | None]
    type: Mapped[GenerationType] = mapped_column(words(GenerationType, "type"))
    workflow: Mapped[str]
    prompt: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(JSONB)  # the whole GenerationRequest, as given
    # The Composition that is rendered, if it is another or the job is a take of a shot.
    composition: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    seed: Mapped[int] = mapped_column(UnsignedBigInteger)

    status: Mapped[JobStatus] = mapped_column(
        words(JobStatus, "status"), server_default=JobStatus.QUEUED.value
    )
    stage: Mapped[Stage | None] = mapped_column(words(Stage, "stage"))
    progress: Mapped[int] = mapped_column(server_default=text("0"))
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    # Attempts up to this one do not count: somebody requeued the job after them.
    attempts_before: Mapped[int] = mapped_column(server_default=text("0"))
    prompt_id: Mapped[UUID | None]
    comfyui_url: Mapped[str | None]
    flow_run_id: Mapped[UUID | None]
    run_number: Mapped[int] = mapped_column(server_default=text("1"))  # of the runs dispatched
    # Runs of it that ended, or lost it, before it had ended; those that were deleted do not count.
    lost_runs: Mapped[int] = mapped_column(server_default=text("0"))
    batch_run_id: Mapped[UUID | None]  # the batch that created it, and renders it itself

    lease_owner: Mapped[UUID | None]
    lease_expires_at: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))

    error_kind: Mapped[FailureKind | None] = mapped_column(words(FailureKind, "error_kind"))
    error_message: Mapped[str | None]
    output_path: Mapped[str | None]
    # Addresses of the servers that failed it, which it is not sent to again.
    avoided_servers: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    servers_killed: Mapped[int] = mapped_column(server_default=text("0"))  # that died of it

    traceparent: Mapped[str | None]  # the span that it lies beneath, as W3C Trace Context writes it

    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


JOBS = cast("Table", ProductionJob.__table__)  # SQLAlchemy types what any FROM could be


class RenderSlot(Base):
    """A slot: one of the prompts in flight at one ComfyUI server, held or waited for.

    It belongs to its run for as long as the run shows life: past `expires_at` the row counts
    for nothing. `asked_at` is the order of the line; `server` and `held_since` are empty while it
    waits. `estimates` has the servers that can run it, each with the seconds of the render and of
    the load of `model`. `running_since`: the slots say that it is the one that renders there.
    """

    __tablename__ = "render_places"
    __table_args__ = (Index(None, "server", "held_since"),)

    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    server: Mapped[str | None]
    fence: Mapped[int] = mapped_column(BigInteger)  # of the job's lease: the older run yields
    model: Mapped[str] = mapped_column(server_default="")
    estimates: Mapped[dict[str, list[float]]] = mapped_column(
        JSONB, server_default=text("'{}'::jsonb")
    )
    expected_seconds: Mapped[float | None]  # of the render, with the load if it needs one
    holds_model: Mapped[bool | None]  # the server held it when it gave the slot
    reason: Mapped[str] = mapped_column(server_default="")  # why that server
    running_since: Mapped[datetime | None]
    is_interactive: Mapped[bool]
    asked_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    held_since: Mapped[datetime | None]
    expires_at: Mapped[datetime]


class WebhookDelivery(Base):
    """A message on a job that has ended, until it has arrived and for a while after.

    `next_attempt_at` is empty when it has arrived or was given up.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("delivered_at IS NULL OR next_attempt_at IS NULL", name="delivered"),
        Index(None, "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    job_id: Mapped[UUID] = mapped_column(unique=True)
    url: Mapped[str]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)  # a WebhookMessage
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime | None] = mapped_column(server_default=func.clock_timestamp())
    delivered_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class AnimeFile(Base):
    """One file of the library.

    Older services wrote to this table, and other programs read it: their columns keep name
    and meaning, may be empty, and refer to jobs and projects that have no row here (hence no
    foreign keys).
    """

    __tablename__ = "anime_files"
    __table_args__ = (
        # What a job has made is recorded once, however often the task is run.
        Index(
            "anime_files_job_id_source_path_key",
            "job_id",
            "source_path",
            unique=True,
            postgresql_where=text("source_path IS NOT NULL"),
        ),
        # What a sweep finds and no job has made is recorded once, however often it is swept.
        Index(
            "anime_files_source_path_sha256_key",
            "source_path",
            "sha256",
            unique=True,
            postgresql_where=text("job_id IS NULL AND source_path IS NOT NULL"),
        ),
        Index(None, "created_at", "id"),
        Index(None, "job_id"),
        Index(None, "project_id"),
        Index("anime_files_sha256_idx", "sha256", postgresql_where=text("sha256 IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    filename: Mapped[str | None] = mapped_column(String)
    project_id: Mapped[UUID | None]
    job_id: Mapped[UUID | None]
    file_type: Mapped[str | None] = mapped_column(String)
    file_path: Mapped[str | None]
    file_size: Mapped[int | None] = mapped_column(BigInteger)
    details: Mapped[Any | None] = mapped_column("metadata", JSONB)  # JSON of any producer
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    organized_at: Mapped[datetime | None]

    sha256: Mapped[str | None]
    source_path: Mapped[str | None]
    state: Mapped[str] = mapped_column(String, server_default="present")
    width: Mapped[int | None]
    height: Mapped[int | None]
    frames: Mapped[int | None]
    media_type: Mapped[str | None] = mapped_column(String)
    thumbnail_path: Mapped[str | None]
    colours: Mapped[str | None]  # of its thumbnail; None until that is first asked for


class SearchableFile(Base):
    """What a search looks at of a file. Triggers on `anime_files` keep it; nobody else writes.

    `terms` has the words of the prompt, of a song and of texts that no reader understood, and, as
    `project:…`, `kind:…`, `state:…`, `character:…` and `model:…`, what a file is found by besides;
    such texts are in lower case, models without folder, extension and hash. The index over them,
    `searchable_files_terms_idx`, is on a function of revision 0004.
    """

    __tablename__ = "searchable_files"
    __table_args__ = (
        Index(None, "created_at", "file_id"),
        Index(None, "job_id"),
        Index(None, "path_key"),
        Index(None, "state", postgresql_where=text("state <> 'present'")),
        Index(None, "project_id", "created_at", "file_id"),
        Index(None, "kind", "created_at", "file_id"),
        Index(None, "character", "created_at", "file_id"),
        Index(None, "seed", "created_at", "file_id"),
    )

    file_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    created_at: Mapped[datetime]
    project_id: Mapped[UUID | None]
    job_id: Mapped[UUID | None]
    kind: Mapped[str | None]
    state: Mapped[str]
    character: Mapped[str | None]
    seed: Mapped[str | None]
    path_key: Mapped[int | None] = mapped_column(BigInteger)  # hashtextextended(file_path, 0)
    terms: Mapped[str] = mapped_column(TSVECTOR)


class SweptFolder(Base):
    """Where a folder with swept files is, in bytes: what the digest of its path stands for."""

    __tablename__ = "swept_folders"

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    path: Mapped[bytes] = mapped_column(LargeBinary)


class SweptFile(Base):
    """A file outside the library that a sweep has seen, so that the next one can pass it by.

    Names are bytes, as the file system has them; `folder` is a digest of the absolute path, as
    a path can be longer than an index takes. A line counts while size and time are the same
    and the source was meant to stay.
    """

    __tablename__ = "swept_files"

    folder: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)  # BLAKE2, 16 bytes
    name: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[ImportOutcome] = mapped_column(words(ImportOutcome, "outcome"))
    source_kept: Mapped[bool]
    file_id: Mapped[int | None]  # of the content's row; no foreign key, like all that files have
    swept_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

"""What a run writes to PostgreSQL, a transaction each."""

from collections.abc import Mapping
from functools import partial
from uuid import UUID

from anime.assets.composer import Composer
from anime.assets.render_result import RenderResult
from anime.assets.store import RESTART_SECONDS
from anime.core.ids import client_id_of
from anime.core.job_status import JobStatus, Stage
from anime.core.labels import said_of_unkept
from anime.core.timeline import TimelineKind
from anime.db.repositories import (
    AssetRow,
    FileRepository,
    JobRepository,
    Lease,
    ProjectRepository,
    SentPromptRepository,
    TimelineRepository,
)
from anime.db.session import Database
from anime.errors import AnimeError, JobCancelled, LeaseLost
from anime.retry_policies import RECORD
from anime.schemas import FileRecord, GenerationRequest, JobSnapshot
from anime.settings import get_settings
from tasks.files import OrganisedOutputs, Thumbnail
from tasks.progress import Reporter
from tasks.retries import RECORD_DELAYS
from tasks.steps import step


# No task of its own, as all here but `record`: it would cost more than what it does.
# Twice is harmless: the row is inserted once, and the same owner gets its own lease again.
async def lease_job(
    database: Database,
    job_id: UUID,
    request: GenerationRequest,
    *,
    seed: int,
    run_id: UUID,
    owner: UUID,
    lease_seconds: float,
    traceparent: str | None = None,
) -> tuple[JobSnapshot, Lease | None]:
    """The job, as it was found or inserted now, and a lease; None if it is completed.

    `run_id`: the flow run that renders it; `owner`: who leases it, of whom a batch's run has many;
    `traceparent`: the run's span, if it is traced.

    Raises:
        LeaseLost: another run holds it, or it has failed before.
        JobCancelled: it was cancelled.
    """

    async def insert_and_lease() -> tuple[JobSnapshot, Lease | None]:
        async with database.session_scope() as session:
            jobs = JobRepository(session)
            found = await jobs.create(
                job_id,
                request,
                workflow=request.workflow_name,
                seed=seed,
                compose=partial(Composer(get_settings(), RESTART_SECONDS).kept, session),
            )
            lease = await jobs.lease(
                job_id, owner, seconds=lease_seconds, run_id=run_id, traceparent=traceparent
            )
        if lease is None:
            async with database.autocommit() as session:
                _refuse_unless_completed(await JobRepository(session).get(job_id))
        return found, lease

    return await RECORD.call(insert_and_lease)


# Twice is harmless: the lease's fencing token guards the row, and a prompt is recorded once.
async def begin_attempt(
    database: Database,
    lease: Lease,
    *,
    attempt: int,
    prompt_id: UUID,
    comfyui_url: str,
    client_id: str,
    reason: str = "",
) -> None:
    """Record the prompt's id, server and client before the prompt is submitted there.

    `reason` is why that server was chosen.
    """
    why = f"Attempt {attempt} at {comfyui_url}{f': {reason}' if reason else ''}."

    async def insert() -> None:
        async with database.session_scope() as session:
            await JobRepository(session).begin_attempt(
                lease, attempt=attempt, prompt_id=prompt_id, comfyui_url=comfyui_url
            )
            await SentPromptRepository(session).record(
                prompt_id,
                job_id=lease.job_id,
                server=comfyui_url,
                attempt=attempt,
                client_id=client_id,
            )
            await TimelineRepository(session).add(lease.job_id, TimelineKind.SERVER, why)

    await RECORD.call(insert)


async def client_of(database: Database, prompt_id: UUID) -> str:
    """The client that hears of a prompt which an earlier run has recorded."""

    async def read() -> str | None:
        async with database.autocommit() as session:
            return await SentPromptRepository(session).client_of(prompt_id)

    return await RECORD.call(read) or client_id_of(prompt_id)


async def check_lease(database: Database, lease: Lease, *, lease_seconds: float) -> None:
    """Make sure that the run may go on with the job, and renew its lease.

    Raises:
        JobCancelled: somebody asked to stop the job.
        LeaseLost: another run has it.
    """

    async def renew() -> None:
        async with database.autocommit() as session:
            await JobRepository(session).renew(lease, seconds=lease_seconds)

    await RECORD.call(renew)


# Twice is harmless: a file's row is unique by job and source, the fencing token guards the job.
@step("record", RECORD_DELAYS)
async def record(
    database: Database,
    lease: Lease,
    result: RenderResult,
    outputs: OrganisedOutputs,
    *,
    thumbnails: Mapping[str, Thumbnail],
    reporter: Reporter,
) -> list[FileRecord]:
    """The inserted rows of the files; the job is completed in the same transaction.

    Args:
        database: Where they are inserted.
        lease: The run's right to write to the job.
        result: The render result.
        outputs: The files in the library, and what else nodes have listed.
        thumbnails: The thumbnails, by SHA-256 of the file.
        reporter: Gets the stage.

    Raises:
        LeaseLost: another run has it, or it has ended otherwise.
        NotFound: somebody has deleted the job; its files stay, and a sweep or rebuild finds them.
    """
    await reporter.enter(Stage.RECORDING, f"Recording {len(outputs.placed)} file(s)")
    project, details = result.request.project, result.metadata()
    if outputs.unkept:
        details["not_kept"] = list(outputs.unkept)
    async with database.session_scope() as session:
        project_id = project and (await ProjectRepository(session).get_or_create(project)).id
        rows = await FileRepository(session).record(
            [
                AssetRow(
                    filename=file.path.name,
                    file_type=file.kind.file_type,
                    file_path=str(file.path),
                    file_size=file.size_bytes,
                    project_id=project_id or None,
                    job_id=result.job_id,
                    source_path=file.source,
                    sha256=file.sha256,
                    media_type=file.media_type,
                    width=file.width,
                    height=file.height,
                    frames=file.frames,
                    thumbnail_path=small and small.path,
                    colours=small and small.colours,
                    metadata=details | file.measures(),
                    created_at=result.finished_at,
                )
                for file in outputs.placed
                for small in (thumbnails.get(file.sha256),)
            ]
        )
        jobs = JobRepository(session)
        if outputs.unkept and not (await jobs.get(lease.job_id)).status.is_final:
            message = f"{len(rows)} file(s) made{said_of_unkept(outputs.unkept)}."
            await TimelineRepository(session).add(result.job_id, TimelineKind.ATTEMPT, message)
        await jobs.complete(lease, output_path=rows[0].file_path)
        return rows


# Twice is harmless: a failed job stays failed.
async def record_failure(database: Database, lease: Lease, error: AnimeError) -> None:
    """Record why the job failed and what to do."""

    async def fail() -> None:
        async with database.session_scope() as session:
            await JobRepository(session).fail(lease, error.kind, str(error))

    await RECORD.call(fail)


async def files_of(database: Database, job_id: UUID) -> list[FileRecord]:
    """The files a job has made."""
    async with database.autocommit() as session:
        return await FileRepository(session).of_job(job_id)


def _refuse_unless_completed(job: JobSnapshot) -> None:
    if job.status is JobStatus.CANCELLED:
        raise JobCancelled(f"Job {job.id} was cancelled.", "Generate it anew if it is wanted.")
    if job.status is JobStatus.FAILED:
        raise LeaseLost(f"Job {job.id} has failed before: {job.error}", "Generate it anew.")

"""The rows of a batch: written down at its beginning, read at its end."""

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE

from anime.comfyui.client import ComfyUIClient
from anime.core.batches import BatchRequest, jobs_of, possible_jobs_of
from anime.core.job_status import JobStatus
from anime.db.repositories import FileRepository, JobRepository, NewJob
from anime.db.session import Database
from anime.errors import AnimeError, ComfyUIError, DatabaseUnavailable
from anime.progress.publisher import ProgressPublisher
from anime.retry_policies import RECORD
from anime.schemas import FileRecord, GenerationRequest, JobSnapshot
from tasks.progress import Reporter
from tasks.retries import RECORD_DELAYS, worth_retrying

_LOOK_SECONDS = 1.0
_SHUTDOWN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class BatchJob:
    """The job that stands for one child of a batch. `status` is that at the beginning."""

    number: int
    job_id: UUID
    request: GenerationRequest
    status: JobStatus


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one child."""

    number: int
    request: GenerationRequest
    job: JobSnapshot
    files: tuple[FileRecord, ...]

    @property
    def reason(self) -> str:
        """Why there are no files, in words."""
        return self.job.error or f"it is {self.job.status}"


# Twice is harmless: a row is inserted once, whoever writes it.
@task(
    name="write down batch",
    cache_policy=NO_CACHE,
    retries=len(RECORD_DELAYS),
    retry_delay_seconds=RECORD_DELAYS,
    retry_condition_fn=worth_retrying,
)
async def create_batch_jobs(
    database: Database, batch: BatchRequest, flow_run_id: UUID | None
) -> list[BatchJob]:
    """The jobs of the batch, each with its row: done, under way, or new."""
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        known = await jobs.statuses(possible_jobs_of(batch))
        chosen = jobs_of(batch, known)
        new = {
            job_id: NewJob.of(job_id, child.request, flow_run_id)
            for job_id, child in chosen.items()
            if job_id not in known
        }
        await jobs.create_all(new)
    return [
        BatchJob(child.number, job_id, child.request, known.get(job_id, JobStatus.QUEUED))
        for job_id, child in chosen.items()
    ]


# Twice is harmless: it only reads.
@task(
    name="read outcomes",
    cache_policy=NO_CACHE,
    retries=len(RECORD_DELAYS),
    retry_delay_seconds=RECORD_DELAYS,
    retry_condition_fn=worth_retrying,
)
async def read_outcomes(database: Database, batch: Sequence[BatchJob]) -> list[BatchOutcome]:
    """What became of each job of the batch, in its order."""
    ids = [job.job_id for job in batch]
    async with database.session_scope() as session:
        jobs = await JobRepository(session).among(ids)
        files = await FileRepository(session).of_jobs(ids)
    return [
        BatchOutcome(
            each.number, each.request, jobs[each.job_id], tuple(files.get(each.job_id, ()))
        )
        for each in batch
    ]


async def wait_until_free(database: Database, job_id: UUID, *, timeout_seconds: float) -> None:
    """Return when no other run holds the job any more, or when the time is up.

    As long as PostgreSQL does not say so, somebody holds it.
    """
    give_up_at = time.monotonic() + timeout_seconds
    while time.monotonic() < give_up_at:
        with suppress(DatabaseUnavailable):
            async with database.session_scope() as session:
                if not await JobRepository(session).is_held(job_id):
                    return
        await asyncio.sleep(_LOOK_SECONDS)


async def has_ended(database: Database, job_id: UUID) -> bool:
    """Whether the job's state is final."""

    async def look() -> bool:
        async with database.session_scope() as session:
            return (await JobRepository(session).statuses([job_id]))[job_id].is_final

    return await RECORD.call(look)


# Twice is harmless: a failed job stays failed.
async def give_up(
    database: Database, publisher: ProgressPublisher, job: BatchJob, error: AnimeError
) -> None:
    """Write down that the job has failed although no run began it, and say so.

    Raises:
        LeaseLost: a live run holds it after all.
    """

    async def fail() -> JobSnapshot:
        async with database.session_scope() as session:
            return await JobRepository(session).fail_unleased(job.job_id, error.kind, str(error))

    failed = await RECORD.call(fail)
    if failed.status is JobStatus.FAILED:
        reporter = Reporter(publisher, job.job_id)
        reporter.begin(failed.attempt)
        await reporter.failed(error)


async def cancel_all(database: Database, comfy: ComfyUIClient, job_ids: Collection[UUID]) -> None:
    """Stop those of the jobs that have not ended, and their prompts; live runs do it themselves."""

    async def request_cancel() -> list[JobSnapshot]:
        async with database.session_scope() as session:
            jobs = JobRepository(session)
            known = await jobs.among(job_ids)
            going = [job for job in known.values() if not job.status.is_final]
            for job in sorted(going, key=lambda job: job.id):  # in one order, against deadlocks
                await jobs.request_cancel(job.id)
                await jobs.settle_cancellation(job.id)
            return going

    for job in await RECORD.call(request_cancel):
        if job.prompt_id is not None:
            with suppress(ComfyUIError):
                await comfy.cancel(job.prompt_id, timeout_seconds=_SHUTDOWN_SECONDS)

"""The rows of a batch's jobs: inserted at its beginning, read at its end."""

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from anime.assets.composer import Composer
from anime.assets.store import RESTART_SECONDS
from anime.comfyui.prompt_cancellation import stop_prompt
from anime.core.batches import BatchRequest, Child, each_child, jobs_of, possible_jobs_of
from anime.core.composition.equal_takes import refuse_equal_takes
from anime.core.composition.record import Composition
from anime.core.job_status import JobStatus
from anime.db.repositories import FileRepository, JobRepository, NewJob
from anime.db.session import Database
from anime.errors import AnimeError, DatabaseUnavailable
from anime.progress.publisher import ProgressPublisher
from anime.retry_policies import RECORD
from anime.schemas import FileRecord, GenerationRequest, JobSnapshot
from anime.settings import get_settings
from blocks.comfyui import ComfyUIServer
from tasks.progress import Reporter
from tasks.retries import RECORD_DELAYS
from tasks.steps import step

_POLL_SECONDS = 1.0
_SHUTDOWN_SECONDS = 5.0
_PUBLISHING_SECONDS = 30.0
_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class BatchJob:
    """The job of one child of a batch. `status` is that at the batch's beginning."""

    number: int
    job_id: UUID
    request_json: str  # a tenth of a request's memory, and a batch may have ten thousand
    status: JobStatus

    @classmethod
    def of(cls, job_id: UUID, child: Child, status: JobStatus) -> "BatchJob":
        """The job that stands for the child."""
        request = child.request.model_dump_json(exclude_unset=True)
        return cls(child.number, job_id, request, status)

    @property
    def request(self) -> GenerationRequest:
        """What is to be rendered, made anew."""
        return GenerationRequest.model_validate_json(self.request_json)


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """How one child ended. `seed` is the one that was asked for."""

    number: int
    seed: int | None
    job: JobSnapshot
    files: tuple[FileRecord, ...]

    @property
    def reason(self) -> str:
        """Why there are no files, in words."""
        return self.job.error or f"it is {self.job.status}"


# Twice is harmless: a row is inserted once.
@step("create batch jobs", RECORD_DELAYS)
async def create_batch_jobs(
    database: Database, batch: BatchRequest, flow_run_id: UUID | None
) -> list[BatchJob]:
    """The jobs of the batch, each with its row: completed, under way, or new.

    Raises:
        InvalidRequest: it would begin with takes that would be one picture.
    """
    found: list[BatchJob] = []
    composed: list[tuple[GenerationRequest, Composition]] = []
    has_begun = False
    composer, children = Composer(get_settings(), RESTART_SECONDS), each_child(batch)
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        while part := list(islice(children, _ROWS_AT_ONCE)):
            known = await jobs.statuses(possible_jobs_of(part))
            chosen = jobs_of(part, known)
            new = {job_id: each.request for job_id, each in chosen.items() if job_id not in known}
            compositions = await composer.compose_all(session, list(new.values()), with_shots=True)
            made = zip(new.items(), compositions, strict=True)
            rows = {
                job_id: NewJob.of(job_id, request, flow_run_id, composition)
                for (job_id, request), composition in made
            }
            await jobs.create_all(rows)
            composed += [(row.request, row.composition) for row in rows.values() if row.composition]
            found += [
                BatchJob.of(job_id, child, known.get(job_id, JobStatus.QUEUED))
                for job_id, child in chosen.items()
            ]
            has_begun = has_begun or bool(known)
        if not has_begun:  # it begins, perhaps without having been checked: in Prefect's form
            refuse_equal_takes(composed)
    return found


# Twice is harmless: it only reads.
@step("read outcomes", RECORD_DELAYS)
async def read_outcomes(database: Database, batch: Sequence[BatchJob]) -> list[BatchOutcome]:
    """How each job of the batch ended, in the order of the batch; none that was deleted."""
    ids = [job.job_id for job in batch]
    async with database.session_scope() as session:
        jobs = await JobRepository(session).among(ids)
        files = await FileRepository(session).of_jobs(ids)
    return [
        BatchOutcome(
            each.number, each.request.seed, jobs[each.job_id], tuple(files.get(each.job_id, ()))
        )
        for each in batch
        if each.job_id in jobs
    ]


async def wait_until_free(database: Database, job_id: UUID, *, timeout_seconds: float) -> None:
    """Wait until no other run holds the job any more, or the time is up.

    While PostgreSQL does not answer, the job counts as held.
    """
    give_up_at = time.monotonic() + timeout_seconds
    while time.monotonic() < give_up_at:
        with suppress(DatabaseUnavailable):
            async with database.session_scope() as session:
                if not await JobRepository(session).is_held(job_id):
                    return
        await asyncio.sleep(_POLL_SECONDS)


async def has_ended(database: Database, job_id: UUID) -> bool:
    """Whether the job's state is final, or somebody has deleted it."""

    async def is_final() -> bool:
        async with database.session_scope() as session:
            statuses = await JobRepository(session).statuses([job_id])
        return all(status.is_final for status in statuses.values())

    return await RECORD.call(is_final)


# Twice is harmless: a failed job stays failed.
async def record_child_failure(
    database: Database, publisher: ProgressPublisher, job: BatchJob, error: AnimeError
) -> None:
    """Record and publish that the job has failed although no run began it.

    Raises:
        LeaseLost: a live run holds it after all.
    """

    async def fail() -> JobSnapshot:
        async with database.session_scope() as session:
            return await JobRepository(session).fail_unleased(job.job_id, error.kind, str(error))

    failed = await RECORD.call(fail)
    if failed.status is JobStatus.FAILED:
        await Reporter(publisher, job.job_id, failed).failed(error)


# Twice is harmless: what has ended is left as it is, and so is the last event that is published.
async def cancel_all(
    database: Database,
    publisher: ProgressPublisher,
    comfyui: ComfyUIServer,
    job_ids: Collection[UUID],
) -> None:
    """Cancel the jobs that have not ended, and their prompts; live runs stop by themselves."""

    async def request_cancel() -> list[JobSnapshot]:
        async with database.session_scope() as session:
            return await JobRepository(session).cancel_all(job_ids)

    stopped = await RECORD.call(request_cancel)
    async with asyncio.TaskGroup() as group:
        group.create_task(_publish_cancelled(publisher, stopped))
        for job in stopped:
            group.create_task(_stop_prompt_of(job, comfyui))


async def _publish_cancelled(publisher: ProgressPublisher, jobs: Sequence[JobSnapshot]) -> None:
    with suppress(TimeoutError):  # a silent Redis costs each last event its time
        async with asyncio.timeout(_PUBLISHING_SECONDS):
            for job in jobs:
                if job.status is JobStatus.CANCELLED:
                    await Reporter(publisher, job.id, job).cancelled()


async def _stop_prompt_of(job: JobSnapshot, comfyui: ComfyUIServer) -> None:
    if job.prompt_id is not None and job.comfyui_url is not None:
        async with comfyui.client(job.comfyui_url) as comfy:
            await stop_prompt(comfy, job.prompt_id, timeout_seconds=_SHUTDOWN_SECONDS)

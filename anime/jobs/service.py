"""Where orders come in and are called off, with what goes on behind it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from anime.core.job_status import JobStatus
from anime.db.repositories import Dispatch
from anime.db.session import Database
from anime.jobs.admission import QueueLimit
from anime.jobs.cancellation import JobCanceller
from anime.jobs.dispatcher import RunDispatcher
from anime.jobs.reconciler import Reconciler
from anime.jobs.redis_queue import RedisQueueConsumer
from anime.jobs.submission import JobSubmission
from anime.progress.publisher import ProgressPublisher
from anime.schemas import Cancellation, GenerationRequest, JobSnapshot
from anime.settings import Settings
from anime.settings.addresses import redis_address

# While runs are under way Prefect lets an order wait; one at a time, workers would wait with it.
DISPATCHERS = 3
_SHUTDOWN_SECONDS = 0.5
_SHUTDOWN_ROUNDS = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobService:
    """What a process that takes orders needs."""

    intake: JobSubmission
    runs: RunDispatcher
    canceller: JobCanceller

    async def accept(
        self, request: GenerationRequest, *, job_id: UUID | None = None
    ) -> JobSnapshot:
        """The job, written down; its run is ordered behind the answer. Raises as `take_on`."""
        job = await self.intake.take_on(request, job_id=job_id)
        if job.status is JobStatus.QUEUED and job.flow_run_id is None:
            self.runs.soon(Dispatch(job.id, request.model_dump(mode="json")))
        return job

    async def cancel(self, job_id: UUID) -> Cancellation:
        """What became of the job. Raises as `JobCanceller.cancel`."""
        return await self.canceller.cancel(job_id)

    def reconciler(self) -> Reconciler:
        """Who brings this desk's jobs and Prefect's runs together."""
        return Reconciler(self.intake.database, self.runs, self.canceller)


@asynccontextmanager
async def open_job_service(
    settings: Settings, database: Database, publisher: ProgressPublisher
) -> AsyncIterator[JobService]:
    """A desk at which nothing happens by itself."""
    limit = QueueLimit(settings.queue_limit)
    async with RunDispatcher(settings, database, publisher) as runs:
        intake = JobSubmission(settings, database, publisher, limit)
        yield JobService(intake, runs, JobCanceller(settings, database, publisher, runs))


@asynccontextmanager
async def background_work(job_service: JobService, *, takes_old_queue: bool) -> AsyncIterator[None]:
    """The desk at work: runs are ordered and looked after, for as long as the block lasts.

    `takes_old_queue`: jobs that other programs put into Redis are taken on, too.
    """
    work = [job_service.runs.work() for _ in range(DISPATCHERS)]
    work.append(job_service.reconciler().run_forever())
    url = redis_address(job_service.intake.settings)
    if takes_old_queue and url is not None:
        work.append(RedisQueueConsumer(url, job_service).consume())
    tasks = [asyncio.create_task(each) for each in work]
    for task in tasks:
        task.add_done_callback(_log_failure)
    try:
        yield
    finally:
        await job_service.runs.finish()
        await _end(tasks)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel the tasks, and again: redis-py can swallow a cancellation up to Python 3.11.

    https://github.com/python/cpython/issues/86296
    """
    left = set(tasks)
    for _ in range(_SHUTDOWN_ROUNDS):
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_SHUTDOWN_SECONDS)
        if not left:
            return
    _log.error("%d parts of the desk cannot be stopped", len(left))


def _log_failure(task: asyncio.Task[None]) -> None:
    """Work at the desk has no end of its own: an error in it is a bug, and its job is not done."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("A part of the desk has stopped; start it anew", exc_info=error)

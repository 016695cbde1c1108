"""Where orders come in and are called off, with what goes on behind it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from anime.addresses import redis_address
from anime.core.job_status import JobStatus
from anime.db.repositories import Order
from anime.db.session import Database
from anime.orders.limit import QueueLimit
from anime.orders.old_queue import OldQueue
from anime.orders.reconcile import Reconciler
from anime.orders.runs import RunOrders
from anime.orders.stopping import Stopper
from anime.orders.taking_on import Intake
from anime.progress import ProgressPublisher
from anime.schemas import Cancellation, GenerationRequest, JobSnapshot
from anime.settings import Settings

# While runs are under way Prefect lets an order wait; one at a time, workers would wait with it.
ORDERS_AT_A_TIME = 3
_GOODBYE_SECONDS = 0.5
_GOODBYES = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a process that takes orders needs."""

    intake: Intake
    runs: RunOrders
    stopper: Stopper

    async def accept(
        self, request: GenerationRequest, *, job_id: UUID | None = None
    ) -> JobSnapshot:
        """The job, written down; its run is ordered behind the answer. Raises as `take_on`."""
        job = await self.intake.take_on(request, job_id=job_id)
        if job.status is JobStatus.QUEUED and job.flow_run_id is None:
            self.runs.soon(Order(job.id, request.model_dump(mode="json")))
        return job

    async def cancel(self, job_id: UUID) -> Cancellation:
        """What became of the job. Raises as `Stopper.cancel`."""
        return await self.stopper.cancel(job_id)

    def reconciler(self) -> Reconciler:
        """Who brings this desk's jobs and Prefect's runs together."""
        return Reconciler(self.intake.database, self.runs, self.stopper)


@asynccontextmanager
async def open_desk(
    settings: Settings, database: Database, publisher: ProgressPublisher
) -> AsyncIterator[Desk]:
    """A desk at which nothing happens by itself."""
    limit = QueueLimit(settings.queue_limit)
    async with RunOrders(settings, database, publisher) as runs:
        intake = Intake(settings, database, publisher, limit)
        yield Desk(intake, runs, Stopper(settings, database, publisher, runs))


@asynccontextmanager
async def staffed(desk: Desk, *, takes_old_queue: bool) -> AsyncIterator[None]:
    """The desk at work: runs are ordered and looked after, for as long as the block lasts.

    `takes_old_queue`: jobs that other programs put into Redis are taken on, too.
    """
    work = [desk.runs.work() for _ in range(ORDERS_AT_A_TIME)]
    work.append(desk.reconciler().keep_on())
    url = redis_address(desk.intake.settings)
    if takes_old_queue and url is not None:
        work.append(OldQueue(url, desk).consume())
    tasks = [asyncio.create_task(each) for each in work]
    for task in tasks:
        task.add_done_callback(_look_why_it_ended)
    try:
        yield
    finally:
        await desk.runs.finish()
        await _end(tasks)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel the tasks, and again: redis-py can swallow a cancellation up to Python 3.11.

    https://github.com/python/cpython/issues/86296
    """
    left = set(tasks)
    for _ in range(_GOODBYES):
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_GOODBYE_SECONDS)
        if not left:
            return
    _log.error("%d parts of the desk cannot be stopped", len(left))


def _look_why_it_ended(task: asyncio.Task[None]) -> None:
    """Work at the desk has no end of its own: an error in it is a bug, and its job is not done."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("A part of the desk has stopped; start it anew", exc_info=error)

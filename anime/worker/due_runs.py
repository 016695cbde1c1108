"""The due runs that a worker starts next: no queue waits for another."""

import time
from collections.abc import AsyncIterator, Collection, Iterable
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType

from anime.core.work_queues import WorkQueue, queue_named
from anime.worker.prefect_internals import PrefectWorkerHooks
from anime.worker.run_pool import RunPool

QUEUE_NAMES_SECONDS = 30.0  # a queue that a person adds is polled after at most so long
MAX_RUNS_PER_REQUEST = 200  # Prefect refuses a higher limit
# Prefect calls a deployment not ready whose queue nobody has polled for a minute.
IDLE_SECONDS = 20.0


class DueRuns:
    """The due runs of one worker's pool.

    None is remembered: Prefect gives a run to whoever claims it, finished by another worker or not.
    """

    def __init__(self) -> None:
        self._names: dict[UUID, str] = {}  # of the pool's queues, by id
        self._read_at: float | None = None  # by time.monotonic()
        self._found_none_at: float | None = None  # by the same; in a poll of all queues

    def forget(self) -> None:
        """Read the pool's queues again at the next poll."""
        self._read_at = None

    async def runs(
        self, worker: PrefectWorkerHooks, run_pool: RunPool, among: Collection[WorkQueue]
    ) -> AsyncIterator[tuple[WorkQueue, FlowRun]]:
        """The most urgent runs of these queues.

        Each must be started before the next is taken from the iterator.

        Raises:
            ObjectNotFound: the pool, or a queue of it, is gone.
            httpx.HTTPError: the server does not answer.
        """
        names = await self._queue_names(worker)
        for _ in among:  # each round fills a queue's limit, or is the last
            open_queues = [queue for queue in among if run_pool.capacity(queue)]
            queues = {name for name in names.values() if queue_named(name) in open_queues}
            if not queues:
                return
            is_of_all = len(open_queues) == len(WorkQueue)
            if is_of_all and self._was_idle() and not await _are_any_due(worker):
                return
            # The server still lists the runs that are just being claimed.
            limit = sum(map(run_pool.capacity, open_queues)) + run_pool.unclaimed_count
            due = await worker.scheduled_runs(min(limit, MAX_RUNS_PER_REQUEST), queues)
            if is_of_all:
                self._found_none_at = None if due else time.monotonic()
            for queue_id, run in due:
                queue = queue_named(names.get(queue_id))
                if run.id not in run_pool and run_pool.capacity(queue):
                    yield queue, run
            if len(due) < limit:
                return  # a full answer may hide the runs of another queue

    def _was_idle(self) -> bool:
        at = self._found_none_at
        return at is not None and time.monotonic() - at < IDLE_SECONDS

    async def _queue_names(self, worker: PrefectWorkerHooks) -> dict[UUID, str]:
        now = time.monotonic()
        if self._read_at is None or now - self._read_at > QUEUE_NAMES_SECONDS:
            found = await worker.api.read_work_queues(work_pool_name=worker.pool_name)
            self._names = _selected({each.id: each.name for each in found}, worker.only_queues)
            self._read_at = now
        return self._names


def _selected(names: dict[UUID, str], only: Iterable[str]) -> dict[UUID, str]:
    selected = set(only) or set(names.values())
    return {queue_id: name for queue_id, name in names.items() if name in selected}


async def _are_any_due(worker: PrefectWorkerHooks) -> bool:
    """Whether to poll, which costs Prefect's server several times the CPU of this question."""
    scheduled = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    due = FlowRunFilterNextScheduledStartTime(before_=datetime.now(UTC))
    return bool(
        await worker.api.count_flow_runs(
            flow_run_filter=FlowRunFilter(state=scheduled, next_scheduled_start_time=due),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[worker.pool_name])),
        )
    )

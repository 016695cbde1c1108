"""Which runs that are due a worker begins: no queue waits for another."""

import time
from collections.abc import AsyncIterator, Iterable
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from anime.core.work_queues import WorkQueue, queue_named
from anime.worker.prefect_internals import PrefectWorkerHooks
from anime.worker.run_pool import RunPool

QUEUES_KNOWN_SECONDS = 30.0  # a queue made by hand is polled after so long at most
MOST_IN_ONE_ANSWER = 200  # Prefect refuses a higher limit


class DueRuns:
    """What the server has for one worker."""

    def __init__(self) -> None:
        self._names: dict[UUID, str] = {}  # of the pool's queues, by id
        self._asked_at: float | None = None  # by time.monotonic()

    def forget(self) -> None:
        """Ask again for the pool's queues."""
        self._asked_at = None

    async def runs(
        self, worker: PrefectWorkerHooks, run_pool: RunPool
    ) -> AsyncIterator[tuple[WorkQueue, FlowRun]]:
        """The most urgent runs, each to be begun before the next is asked for.

        Raises:
            ObjectNotFound: the pool, or a queue of it, is gone.
            httpx.HTTPError: the server does not answer.
        """
        names = await self._names_of(worker)
        for _ in WorkQueue:  # each turn fills a queue's limit, or is the last
            open_queues = [queue for queue in WorkQueue if run_pool.room(queue)]
            wanted = {name for name in names.values() if queue_named(name) in open_queues}
            if not wanted:
                return
            # The server still shows those that are being claimed this moment.
            limit = sum(map(run_pool.room, open_queues)) + len(run_pool)
            due = await worker.scheduled_runs(min(limit, MOST_IN_ONE_ANSWER), wanted)
            for queue_id, run in due:
                queue = queue_named(names.get(queue_id))
                if run.id not in run_pool and run_pool.room(queue):
                    yield queue, run
            if len(due) < limit:
                return  # else the runs of one queue may hide those of another

    async def _names_of(self, worker: PrefectWorkerHooks) -> dict[UUID, str]:
        now = time.monotonic()
        if self._asked_at is None or now - self._asked_at > QUEUES_KNOWN_SECONDS:
            found = await worker.api.read_work_queues(work_pool_name=worker.pool_name)
            self._names = _chosen({each.id: each.name for each in found}, worker.only_queues)
            self._asked_at = now
        return self._names


def _chosen(names: dict[UUID, str], only: Iterable[str]) -> dict[UUID, str]:
    chosen = set(only) or set(names.values())
    return {queue_id: name for queue_id, name in names.items() if name in chosen}

"""Which runs a worker starts next, and how often it asks Prefect for them."""

import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import FlowRun

from anime.core.work_queues import WorkQueue
from anime.net.saved_blocks import SavedBlockTypes
from anime.worker.due_runs import DueRuns
from anime.worker.prefect_internals import PrefectWorkerHooks
from anime.worker.run_pool import RunPool

IDS = {queue: uuid4() for queue in WorkQueue}


class Pool:
    """Stands in for a worker's runs: so many may be under way in each queue."""

    def __init__(self, limit: int) -> None:
        self.limit, self.runs, self.unclaimed_count = limit, dict[UUID, WorkQueue](), 0

    def __len__(self) -> int:
        return len(self.runs)

    def __contains__(self, run_id: UUID) -> bool:
        return run_id in self.runs

    def capacity(self, queue: WorkQueue) -> int:
        return self.limit - list(self.runs.values()).count(queue)


class Server:
    """Stands in for Prefect: the runs that are due, by queue in the order of priority."""

    pool_name, only_queues = "anime", frozenset[str]()

    def __init__(self, due: dict[WorkQueue, int]) -> None:
        self.due = [(IDS[queue], a_run()) for queue in WorkQueue for _ in range(due.get(queue, 0))]
        self.asked: list[tuple[int, list[str]]] = []
        self.counts = 0
        self.api = self

    async def read_work_queues(self, work_pool_name: str) -> list[SimpleNamespace]:
        assert work_pool_name == self.pool_name
        return [SimpleNamespace(id=IDS[queue], name=str(queue)) for queue in WorkQueue]

    async def scheduled_runs(
        self, limit: int, queues: Collection[str]
    ) -> list[tuple[UUID, FlowRun]]:
        self.asked.append((limit, sorted(queues)))
        found = {IDS[WorkQueue(name)] for name in queues}
        return [each for each in self.due if each[0] in found][:limit]

    async def count_flow_runs(
        self, *, flow_run_filter: FlowRunFilter, work_pool_filter: WorkPoolFilter
    ) -> int:
        assert work_pool_filter.model_dump()["name"]["any_"] == [self.pool_name]
        assert flow_run_filter.model_dump()["next_scheduled_start_time"]["before_"] is not None
        self.counts += 1
        return len(self.due)

    def claim(self, *runs: UUID) -> None:
        self.due = [each for each in self.due if each[1].id not in runs]


def a_run() -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), estimated_run_time=timedelta())


async def start(
    server: Server, pool: Pool, *among: WorkQueue, due_runs: DueRuns | None = None
) -> list[UUID]:
    """Start what is due in these queues; the runs, in their order."""
    started = []
    worker, runs = cast("PrefectWorkerHooks", server), cast("RunPool", pool)
    async for queue, run in (due_runs or DueRuns()).runs(worker, runs, among or tuple(WorkQueue)):
        assert pool.capacity(queue) > 0
        pool.runs[run.id] = queue
        started.append(run.id)
    return started


async def test_a_full_queue_hides_no_other() -> None:
    server = Server({WorkQueue.INTERACTIVE: 50, WorkQueue.BATCH: 1})
    pool = Pool(2)
    await start(server, pool)
    assert sorted(pool.runs.values()) == [WorkQueue.BATCH, *[WorkQueue.INTERACTIVE] * 2]


async def test_after_the_end_of_a_run_prefect_is_asked_for_one_of_its_queue() -> None:
    server, pool = Server({WorkQueue.INTERACTIVE: 9, WorkQueue.BATCH: 1}), Pool(4)
    first, *others = await start(server, pool, WorkQueue.INTERACTIVE)
    assert [len(others), *pool.runs.values()] == [3, *[WorkQueue.INTERACTIVE] * 4]
    server.claim(first, *others)
    del pool.runs[first], server.asked[:]
    assert await start(server, pool, WorkQueue.INTERACTIVE) == [server.due[0][1].id]
    assert server.asked == [(1, ["interactive"])]


async def test_nothing_is_asked_for_a_queue_that_is_full() -> None:
    server, pool = Server({WorkQueue.INTERACTIVE: 9}), Pool(4)
    await start(server, pool)
    del server.asked[:]
    assert await start(server, pool, WorkQueue.INTERACTIVE) == []
    assert server.asked == []


async def test_an_idle_pool_is_polled_seldom_and_what_is_due_begins_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, pool, due_runs = Server({}), Pool(4), DueRuns()
    for _ in range(3):
        assert await start(server, pool, due_runs=due_runs) == []
    assert (len(server.asked), server.counts) == (1, 2)
    server.due = [(IDS[WorkQueue.BATCH], a_run())]
    assert await start(server, pool, due_runs=due_runs) == [server.due[0][1].id]
    await start(server, pool, due_runs=due_runs)  # as long as some are due, each time
    assert (len(server.asked), server.counts) == (3, 3)
    server.due = []
    await start(server, pool, due_runs=due_runs)
    later = time.monotonic() + 21
    monkeypatch.setattr("anime.worker.due_runs.time", SimpleNamespace(monotonic=lambda: later))
    await start(server, pool, due_runs=due_runs)  # or Prefect would call its deployments not ready
    assert (len(server.asked), server.counts) == (5, 3)


async def test_what_waits_for_a_full_queue_is_not_counted_at_each_poll() -> None:
    server, pool, due_runs = Server({}), Pool(1), DueRuns()
    await start(server, pool, due_runs=due_runs)
    server.due = [(IDS[WorkQueue.BATCH], a_run()) for _ in range(9)]
    for _ in range(3):
        await start(server, pool, due_runs=due_runs)
    assert (list(pool.runs.values()), server.counts) == ([WorkQueue.BATCH], 1)


class Documents:
    """Stands in for Prefect's client: the blocks that are saved, and how often they are read."""

    def __init__(self) -> None:
        self.slugs: list[str] = []
        self.reads = 0

    async def request(self, *_: object, **__: object) -> Any:  # as httpx's response
        self.reads += 1
        found = [{"block_type": {"slug": slug}} for slug in self.slugs]
        return SimpleNamespace(json=lambda: found)


async def test_saved_blocks_are_read_once_for_runs_that_waited_together() -> None:
    documents, types = Documents(), SavedBlockTypes()
    client = cast("PrefectClient", documents)
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    assert await types.read(client, long_ago) == frozenset()
    documents.slugs = ["comfyui-server"]
    assert await types.read(client, long_ago) == frozenset()
    assert documents.reads == 1
    # Who saves a block and then makes a run gets it, however soon; so does who waited for long.
    assert await types.read(client, datetime.now(UTC)) == {"comfyui-server"}
    assert await types.read(client, None) == {"comfyui-server"}
    assert documents.reads == 3


async def test_saved_blocks_are_not_remembered_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    documents, types = Documents(), SavedBlockTypes()
    client = cast("PrefectClient", documents)
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    await types.read(client, long_ago)
    later = time.monotonic() + 11
    monkeypatch.setattr("anime.net.saved_blocks.time", SimpleNamespace(monotonic=lambda: later))
    await types.read(client, long_ago)
    assert documents.reads == 2

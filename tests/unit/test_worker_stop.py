"""A worker that stops lets every run that it has begun end by itself."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from anime.core.work_queues import WorkQueue
from anime.worker import run_pool
from anime.worker.due_runs import DueRuns
from anime.worker.live_run import LiveRun
from anime.worker.run_pool import RunPool
from anime.worker.warm_worker import WarmWorker


class NoThread:
    """Stands in for an event-loop thread, whose Prefect client would start a server."""

    is_usable = True

    def __init__(self, number: int) -> None: ...

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_pool, "LoopThread", NoThread)


def a_run() -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), estimated_run_time=timedelta())


@pytest.mark.parametrize("seconds", [None, 60.0])
async def test_a_run_that_begins_while_the_pool_is_waited_for_is_waited_for_too(
    seconds: float | None,
) -> None:
    pool = RunPool(2, on_run_ended=lambda _: None)
    ended: list[str] = []

    async def last(run: LiveRun) -> None:
        for _ in range(100):  # longer than a look at what is left takes
            await asyncio.sleep(0)
        ended.append("last")

    async def first(_: LiveRun) -> None:
        pool.start(a_run(), last, queue=WorkQueue.BATCH)
        ended.append("first")

    pool.start(a_run(), first, queue=WorkQueue.BATCH)
    await pool.wait_until_idle(seconds)
    pool.close()
    assert ended == ["first", "last"]


async def test_the_wait_for_runs_ends_at_its_time_out() -> None:
    pool = RunPool(1, on_run_ended=lambda _: None)
    goes_on = asyncio.Event()

    async def waits(_: LiveRun) -> None:
        await goes_on.wait()

    pool.start(a_run(), waits, queue=WorkQueue.BATCH)
    await pool.wait_until_idle(0.01)
    assert len(pool) == 1
    goes_on.set()
    await pool.wait_until_idle(None)
    pool.close()


async def test_a_worker_that_is_told_to_stop_while_it_polls_starts_none_of_what_it_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = WarmWorker(work_pool_name="any", limit=2)
    monkeypatch.setattr(WarmWorker, "is_synced", True)

    async def stopped_meanwhile(*_: object) -> AsyncIterator[tuple[WorkQueue, FlowRun]]:
        worker.restart("after some runs")
        yield WorkQueue.BATCH, a_run()

    monkeypatch.setattr(DueRuns, "runs", stopped_meanwhile)
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: False}):  # there is no server
        assert await worker.get_and_submit_flow_runs() == []
    assert len(worker.run_pool) == 0

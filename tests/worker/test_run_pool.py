"""Threads that go from run to run, and runs that do not let go of theirs."""

import asyncio
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from itertools import count
from uuid import UUID

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Pending, Running

from anime.core.work_queues import WorkQueue
from anime.retry_policies import RECORD
from anime.worker import orphans
from anime.worker.live_run import LiveRun
from anime.worker.loop_thread import LoopThread
from anime.worker.process_identity import ProcessIdentity
from anime.worker.run_control import EndReason, hand_back
from anime.worker.run_pool import RunPool
from tests.support.prefect_outage import prefect_outage
from tests.support.waiting import HUNG_SECONDS
from tests.worker.conftest import Site
from tests.worker.sample_flows import hangs_when_cancelled

HANGS = hangs_when_cancelled.fn.__name__


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anime.worker.live_run.SHUTDOWN_SECONDS", 0.3)
    monkeypatch.setattr("anime.worker.live_run.INTERRUPT_SECONDS", 0.3)


@pytest.fixture
def run_pool(site: Site) -> RunPool:
    """One pool, known to the site's Prefect."""
    del site  # whose settings it takes over
    return RunPool(1, on_run_ended=lambda _: None)


async def say(word: str, *, after_seconds: float = 0) -> str:
    await asyncio.sleep(after_seconds)
    return word


async def test_a_loop_thread_that_was_just_made_is_ready_for_one_run_after_another(
    site: Site,
) -> None:
    del site
    async with asyncio.timeout(HUNG_SECONDS):
        loop_thread = LoopThread(1)
        for word in ("first", "second"):
            assert await loop_thread.run(partial(say, word)) == word
        await asyncio.sleep(1)  # by then it has its client
        assert await loop_thread.run(partial(say, "third")) == "third"
    assert loop_thread.is_usable
    loop_thread.close()


async def test_a_run_called_off_before_it_was_claimed_does_not_end_the_next_one_in_its_thread(
    site: Site, run_pool: RunPool
) -> None:
    said: list[str] = []

    async def is_refused(live: LiveRun) -> None:
        live.end(EndReason.CANCELLED)

    async def works(live: LiveRun) -> None:
        said.append(await live.loop_thread.run(partial(say, "unharmed", after_seconds=1.5)))

    for serve in (is_refused, works):
        run = await site.run(await site.start("sleeps", path=site.path))
        await run_pool.start(run, serve, queue=WorkQueue.BATCH)
    run_pool.close()
    assert said == ["unharmed"]


async def test_a_cancellation_whose_hook_hangs_is_settled_and_its_place_is_free(
    site: Site, run_pool: RunPool
) -> None:
    run = await _cancelling(site)

    async def serve(live: LiveRun) -> None:
        await live.execute(f"tests.worker.sample_flows.{HANGS}", site.client)

    async with asyncio.timeout(HUNG_SECONDS):
        await run_pool.start(run, serve, queue=WorkQueue.BATCH, end_reason=EndReason.CANCELLED)
    run_pool.close()
    assert (await site.run(run.id)).state_name == "Cancelled"
    assert run_pool.capacity(WorkQueue.BATCH) == 1


async def test_a_hook_that_hangs_after_its_run_was_abandoned_is_given_up_too(
    site: Site, run_pool: RunPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoopThread, "interrupt", lambda *_: None)
    run = await _cancelling(site)

    async def serve(live: LiveRun) -> None:
        live.flow = hangs_when_cancelled
        assert live._escalation is not None
        await live._escalation
        await live._settle(site.client, None)

    async with asyncio.timeout(HUNG_SECONDS):
        await run_pool.start(run, serve, queue=WorkQueue.BATCH, end_reason=EndReason.CANCELLED)
    run_pool.close()
    assert (await site.run(run.id)).state_name == "Cancelled"


@pytest.mark.parametrize("refused", ["as it begins", "as it ends"])
async def test_a_run_that_prefect_fails_goes_on_later(
    site: Site, run_pool: RunPool, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    run_id = await site.start("sleeps", path=site.path)
    run, states = await _claimed(site, run_id), count(1)
    failing = {"as it begins": 1, "as it ends": 2}[refused]
    async with prefect_outage(monkeypatch, HTTPStatus.INTERNAL_SERVER_ERROR) as outage:
        outage.begin(lambda request: _sets_a_state(request) and next(states) == failing)
        await _execute(site, run_pool, run)
    assert outage.refusals == 1
    assert (await site.run(run_id)).state_name == "AwaitingRetry"
    await _execute(site, run_pool, await _claimed(site, run_id))
    run_pool.close()
    assert (await site.run(run_id)).state_name == "Completed"
    assert len(site.notes("end")) == failing


async def test_a_run_that_prefect_fails_without_end_crashes(
    site: Site, run_pool: RunPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.worker.live_run.RECORD", replace(RECORD, attempts=2))
    run_id = await site.start("sleeps", path=site.path)
    async with prefect_outage(monkeypatch, HTTPStatus.INTERNAL_SERVER_ERROR) as outage:
        for state in ("AwaitingRetry", "Crashed"):
            outage.end()
            run = await _claimed(site, run_id)
            outage.begin(lambda request: _sets_a_state(request) and not outage.refused.is_set())
            await _execute(site, run_pool, run)
            assert (await site.run(run_id)).state_name == state
    run_pool.close()


def _sets_a_state(request: httpx.Request) -> bool:
    return request.url.path.endswith("/set_state")


async def _claimed(site: Site, run_id: UUID) -> FlowRun:
    await site.client.set_flow_run_state(run_id, Pending(), force=True)
    return await site.run(run_id)


async def _execute(site: Site, run_pool: RunPool, run: FlowRun) -> None:
    """Have the pool execute the claimed run of `sleeps`."""

    async def serve(live: LiveRun) -> None:
        await live.execute("tests.worker.sample_flows.sleeps", site.client)

    async with asyncio.timeout(HUNG_SECONDS):
        await run_pool.start(run, serve, queue=WorkQueue.BATCH)


async def test_a_run_deleted_while_runs_are_looked_through_is_passed_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, lost = await _cancelling(site), await _cancelling(site)
    await site.client.delete_flow_run(gone.id)

    async def found_before(*_: object) -> list[FlowRun]:
        return [gone, lost]

    monkeypatch.setattr(orphans, "_under_way", found_before)
    identity = ProcessIdentity.of_this_process(site.folder)
    left = await orphans.rescue(site.client, site.pool, frozenset[UUID](), identity, site.folder)
    assert [run.id for run in left] == [lost.id]


async def test_workers_that_stopped_are_not_taken_for_workers_that_died_of_the_run(
    site: Site,
) -> None:
    run = await _lost(site)
    for _ in range(orphans.MAX_DEATHS):
        await hand_back(site.client, run, "Its worker stopped; another one goes on.")
        await site.client.set_flow_run_state(run.id, Running(), force=True)
    identity = ProcessIdentity.of_this_process(site.folder)
    await orphans.rescue(site.client, site.pool, frozenset[UUID](), identity, site.folder)
    rescued = await site.run(run.id)
    assert (rescued.run_count, rescued.state_name) == (orphans.MAX_DEATHS + 1, "AwaitingRetry")


async def _cancelling(site: Site) -> FlowRun:
    """A run of this process, which it has lost; somebody has cancelled it."""
    run = await _lost(site)
    await site.client.set_flow_run_state(run.id, Cancelling())
    return await site.run(run.id)


async def _lost(site: Site) -> FlowRun:
    """A run that is under way in this process, which does not know it."""
    run_id = await site.start(HANGS)
    await site.client.update_flow_run(
        run_id, infrastructure_pid=str(ProcessIdentity.of_this_process(site.folder))
    )
    await site.client.set_flow_run_state(run_id, Running(), force=True)
    return await site.run(run_id)

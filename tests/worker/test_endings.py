"""How runs and workers end: cancelled, drained, killed."""

import asyncio
import signal

import pytest

from tests.support.waiting import HUNG_SECONDS
from tests.worker.conftest import Site


@pytest.mark.parametrize("flow", ["sleeps", "sleeps_in_a_thread", "calls_another"])
async def test_a_cancelled_run_stops_runs_its_hook_and_ends_cancelled(
    served_site: Site, flow: str
) -> None:
    run_id = await served_site.start(flow, path=served_site.path, seconds=600)
    await served_site.until_noted("begin")
    await served_site.cancel(run_id)
    assert (await served_site.until(run_id)).state_name == "Cancelled"
    assert str(run_id) in {run for run, *_ in served_site.notes("hook")}
    assert served_site.notes("end") == []
    after = await served_site.until(await served_site.start("sleeps", path=served_site.path))
    assert after.state_name == "Completed"


async def test_the_flows_a_cancelled_run_had_called_are_cancelled_with_it(
    served_site: Site,
) -> None:
    run_id = await served_site.start("calls_another", path=served_site.path, seconds=600)
    await served_site.until_noted("begin")
    [[called, *_]] = served_site.notes("begin")
    await served_site.cancel(run_id)
    await served_site.until(run_id, "Cancelled")
    assert (await served_site.run(called)).state_name == "Cancelled"  # type: ignore[arg-type]  # text does
    assert {run for run, *_ in served_site.notes("hook")} == {called, str(run_id)}


async def test_an_endless_loop_can_be_cancelled(served_site: Site) -> None:
    [worker] = served_site.workers
    run_id = await served_site.start("spins", path=served_site.path)
    await served_site.until_noted("begin")
    await served_site.cancel(run_id)
    assert (await served_site.until(run_id)).state_name == "Cancelled"
    assert len(served_site.notes("hook")) == 1
    assert worker.process.poll() is None


async def test_a_stopped_worker_lets_its_runs_end_and_takes_no_new_ones(site: Site) -> None:
    worker = await site.start_worker(limit=1, ANIME_WORKER_GRACE_SECONDS="600")
    running = await site.start("waits", path=site.path)
    waiting = await site.start("waits", path=site.path)
    await site.until_noted("begin")
    worker.process.send_signal(signal.SIGTERM)
    await worker.until_it_says("1 under way have 600 s to end")
    site.let_them_end()
    assert await asyncio.to_thread(worker.process.wait, HUNG_SECONDS) == 0
    assert (await site.run(running)).state_name == "Completed"
    assert (await site.run(waiting)).state_name == "Scheduled"


@pytest.mark.parametrize("flow", ["waits", "waits_in_a_thread"])
async def test_what_a_stopped_worker_cannot_end_goes_on_elsewhere(site: Site, flow: str) -> None:
    worker = await site.start_worker(limit=2, ANIME_WORKER_GRACE_SECONDS="0.2")
    runs_started = [await site.start(flow, path=site.path) for _ in range(3)]
    await site.until_noted("begin", 2)
    assert await worker.end(signal.SIGTERM) == 0
    states = {(await site.run(run_id)).state_name for run_id in runs_started}
    assert states == {"AwaitingRetry", "Scheduled"}
    assert site.notes("hook") == []
    site.let_them_end()
    await site.start_worker()
    runs = await site.until_all(runs_started)
    assert [run.state_name for run in runs] == ["Completed"] * 3
    assert sorted(run.run_count for run in runs) == [1, 2, 2]


async def test_a_killed_workers_runs_are_taken_up_by_the_next_one(site: Site) -> None:
    worker = await site.start_worker(limit=2)
    runs_started = [await site.start("waits", path=site.path) for _ in range(3)]
    await site.until_noted("begin", 2)
    await worker.end(signal.SIGKILL)
    site.let_them_end()
    await site.start_worker()
    runs = await site.until_all(runs_started)
    assert [run.state_name for run in runs] == ["Completed"] * 3
    assert sorted(run.run_count for run in runs) == [1, 2, 2]


async def test_the_live_worker_beside_it_keeps_its_own_runs(site: Site) -> None:
    live = await site.start_worker(limit=1)
    kept = await site.start("waits", path=site.path)
    await site.until_noted("begin")
    dead = await site.start_worker(limit=1)
    lost = await site.start("waits", path=site.path)
    await site.until_noted("begin", 2)
    await dead.end(signal.SIGKILL)
    await site.start_worker(limit=1)
    await site.until_noted("begin", 3)
    site.let_them_end()
    assert [run.run_count for run in await site.until_all([kept, lost], "Completed")] == [1, 2]
    assert live.process.poll() is None


async def test_a_cancellation_that_the_dead_worker_missed_is_settled_by_the_next(
    site: Site,
) -> None:
    worker = await site.start_worker()
    run_id = await site.start("sleeps", path=site.path, seconds=600)
    await site.until_noted("begin")
    await worker.end(signal.SIGKILL)
    await site.cancel(run_id)
    await site.start_worker()
    assert (await site.until(run_id)).state_name == "Cancelled"
    assert len(site.notes("hook")) == 1
    assert len(site.notes("begin")) == 1


async def test_a_run_that_kills_its_worker_each_time_is_given_up(site: Site) -> None:
    run_id = await site.start("kills_its_process", path=site.path)
    for _ in range(3):
        worker = await site.start_worker()
        await asyncio.to_thread(worker.process.wait, HUNG_SECONDS)
    await site.start_worker()
    run = await site.until(run_id)
    assert run.state_name == "Crashed"
    assert "died 3 times" in str(run.state and run.state.message)
    assert len(site.notes("begin")) == 3


async def test_a_deleted_run_frees_its_place(site: Site) -> None:
    await site.start_worker(limit=1)
    run_id = await site.start("sleeps", path=site.path, seconds=600)
    await site.until_noted("begin")
    await site.client.delete_flow_run(run_id)
    after = await site.until(await site.start("sleeps", path=site.path))
    assert after.state_name == "Completed"

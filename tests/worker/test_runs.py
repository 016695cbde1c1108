"""What a warm worker does with runs, good and bad."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from anime.core.assets import AssetRow
from anime.db.repositories import FileRepository, JobRepository, ShotQuery
from anime.db.session import Database
from anime.jobs.shots import import_shots, takes_of
from anime.progress.keys import worker_channel
from anime.schemas import GenerationRequest
from anime.worker.flow_loader import Entrypoints
from tests.stack.conftest import StackUnderTest
from tests.support.waiting import HUNG_SECONDS
from tests.worker.conftest import Site

EACH_TALKS_LINES = 40
COMPLETE = """
UPDATE anime_api.production_jobs SET status = 'completed', finished_at = now() WHERE id = :id
"""


async def test_sync_and_async_flows_end_completed_in_one_process(served_site: Site) -> None:
    [worker] = served_site.workers
    orders = [
        await served_site.start(flow, path=served_site.path)
        for flow in ("sleeps", "sleeps_in_a_thread", "sleeps", "sleeps_in_a_thread")
    ]
    runs = await served_site.until_all(orders)
    assert [run.state_name for run in runs] == ["Completed"] * 4
    assert {pid for _, pid, _ in served_site.notes("end")} == {str(worker.process.pid)}


async def test_a_run_begins_within_seconds_although_only_polled_for(site: Site) -> None:
    await site.start_worker(ANIME_REDIS_URL="redis://127.0.0.1:9/1")
    # A worker also looks when a run ends: each of these waits for the look after that.
    runs = [await site.until(await site.start("sleeps", path=site.path)) for _ in range(3)]
    delays = [
        (run.start_time - run.expected_start_time).total_seconds()
        for run in runs
        if run.start_time and run.expected_start_time
    ]
    assert len(delays) == 3
    # Of several, as a busy machine takes its time; Prefect's own workers ask every 10 s.
    assert min(delays) < 8


async def test_a_ring_on_redis_makes_a_worker_look_that_would_poll_much_later(
    site: Site, stack: StackUnderTest
) -> None:
    await site.start_worker(PREFECT_WORKER_QUERY_SECONDS="3600")
    async with stack.redis() as redis, asyncio.timeout(HUNG_SECONDS):
        while (await redis.pubsub_numsub(worker_channel(site.pool)))[0][1] == 0:
            await asyncio.sleep(0.05)
        for number in range(1, 4):  # a worker looks by itself when it starts, and when a run ends
            await site.start("sleeps", path=site.path, seconds=3600)
            await redis.publish(worker_channel(site.pool), "")
            await site.until_noted("begin", number)
    assert site.notes("end") == []


async def test_a_worker_told_to_run_once_ends_when_its_runs_have_ended(site: Site) -> None:
    orders = [await site.start("sleeps", path=site.path, seconds=1) for _ in range(2)]
    worker = await site.start_worker("--run-once")
    assert await asyncio.to_thread(worker.process.wait, HUNG_SECONDS) == 0
    assert [(await site.run(run_id)).state_name for run_id in orders] == ["Completed"] * 2


async def test_a_run_whose_parameters_nobody_checked_ends_with_the_name_of_what_does_not_fit(
    served_site: Site,
) -> None:
    orders = {
        "steps": await served_site.start("flows.generate.generate", prompt="a fox", steps=-3),
        "shade": await served_site.start("flows.generate.generate", prompt="a fox", shade="teal"),
    }
    for name, order in orders.items():
        run = await served_site.until(order)
        assert run.state is not None
        assert run.state.is_failed() or run.state.is_crashed()
        assert name in str(run.state.message)


async def test_no_more_runs_than_the_limit_at_a_time(site: Site) -> None:
    await site.start_worker(limit=2)
    orders = [await site.start("waits", path=site.path) for _ in range(6)]
    await site.until_noted("begin", 2)
    site.let_them_end()
    await site.until_all(orders)
    assert _most_at_once(site) == 2


async def test_interactive_runs_go_before_those_of_a_batch(site: Site) -> None:
    await site.start_worker(limit=1)
    first = await site.start("sleeps", path=site.path, seconds=3600)
    await site.until_noted("begin")
    for _ in range(3):
        await site.start("sleeps", path=site.path)
    urgent = await site.start("sleeps", "interactive", path=site.path)
    await site.until(urgent, "Completed")
    assert [run for run, *_ in site.notes("begin")][:2] == [str(first), str(urgent)]


@pytest.mark.parametrize("limit", [1, 4])
async def test_as_many_batches_as_there_may_be_hold_up_neither_people_nor_maintenance(
    site: Site, limit: int
) -> None:
    await site.start_worker(limit=limit)
    batches = [await site.start("sleeps", path=site.path, seconds=3600) for _ in range(limit + 2)]
    await site.until_noted("begin", limit)
    for queue in ("interactive", "maintenance"):
        run = await site.until(await site.start("sleeps", queue, path=site.path))
        assert run.state_name == "Completed"
    begun = {UUID(run) for run, *_ in site.notes("begin")}
    assert len(begun & set(batches)) == limit, "the limit still bounds batches"


async def test_many_who_wait_hide_no_other_queue(site: Site) -> None:
    await site.start_worker(limit=1)
    people = [
        await site.start("sleeps", "interactive", path=site.path, seconds=3600) for _ in range(10)
    ]
    await site.until_noted("begin")
    for queue in ("maintenance", "batch", "default"):
        run = await site.until(await site.start("sleeps", queue, path=site.path))
        assert run.state_name == "Completed"
    begun = {UUID(run) for run, *_ in site.notes("begin")}
    assert len(begun & set(people)) == 1


async def test_a_worker_for_one_queue_leaves_the_others_alone(site: Site) -> None:
    await site.start_worker("--work-queue", "interactive")
    batch = await site.start("sleeps", path=site.path)
    for _ in range(2):
        await site.until(await site.start("sleeps", "interactive", path=site.path), "Completed")
    assert (await site.run(batch)).state_name == "Scheduled"


async def test_logs_and_prints_of_runs_side_by_side_do_not_mix(served_site: Site) -> None:
    words = ["dusk", "dawn", "noon"]
    orders = {word: await served_site.start("talks", word=word) for word in words}
    await served_site.until_all(list(orders.values()), "Completed")
    for word, run_id in orders.items():
        said = await served_site.logs(run_id, " (logged|printed) ", at_least=EACH_TALKS_LINES)
        assert len(said) == EACH_TALKS_LINES
        assert {line.split()[0] for line in said} == {word}


async def test_a_timeout_ends_a_run_of_any_kind_and_one_that_blocks_its_loop(
    served_site: Site,
) -> None:
    flows = ("is_too_slow", "is_too_slow_in_a_thread", "spins_beyond_its_time")
    orders = [await served_site.start(flow) for flow in flows]
    assert [run.state_name for run in await served_site.until_all(orders)] == ["TimedOut"] * 3


async def test_runs_that_raise_exit_or_leave_tasks_behind_take_nobody_along(
    served_site: Site,
) -> None:
    [worker] = served_site.workers
    good = await served_site.start("waits", path=served_site.path)
    bad = [await served_site.start(flow) for flow in ("raises", "exits", "leaves_tasks_behind")]
    ends = [run.state_name for run in await served_site.until_all(bad)]
    assert ends == ["Failed", "Crashed", "Completed"]
    served_site.let_them_end()
    assert (await served_site.until(good)).state_name == "Completed"
    assert worker.process.poll() is None


async def test_a_deployment_made_anew_is_heard_of_after_a_moment(site: Site) -> None:
    flow_id = await site.client.create_flow_from_name("renamed")

    async def deploy(entrypoint: str) -> UUID:
        return await site.client.create_deployment(
            flow_id, "renamed", entrypoint=entrypoint, work_pool_name=site.pool
        )

    trusting, doubting = Entrypoints(cache_seconds=HUNG_SECONDS), Entrypoints(cache_seconds=0)
    for entrypoint in ("module.old", "module.new"):
        deployment = await deploy(entrypoint)
        assert await trusting.read(deployment, site.client) == "module.old"
        assert await doubting.read(deployment, site.client) == entrypoint
    await site.client.delete_deployment(deployment)
    assert await doubting.read(deployment, site.client) is None


async def test_an_entrypoint_that_cannot_be_imported_crashes_its_run_with_the_reason(
    served_site: Site,
) -> None:
    broken = await served_site.until(await served_site.start("tests.worker.broken_flow.flow"))
    assert broken.state is not None
    assert broken.state.name == "Crashed"
    assert "left_out_of_the_requirements" in str(broken.state.message)
    good = await served_site.until(await served_site.start("sleeps", path=served_site.path))
    assert good.state_name == "Completed"


async def test_a_run_that_blocks_its_loop_is_named_in_the_log_and_holds_nobody_up(
    site: Site,
) -> None:
    worker = await site.start_worker()
    spinning = await site.start("spins", path=site.path)
    await site.until_noted("begin")
    good = await site.until(await site.start("sleeps", path=site.path))
    assert good.state_name == "Completed"
    await worker.until_it_says("has blocked its event loop")
    assert str(spinning) in worker.log
    assert "sample_flows.py" in worker.log


async def test_a_worker_that_grew_too_large_begins_anew_and_goes_on(site: Site) -> None:
    worker = await site.start_worker(ANIME_WORKER_MAX_MB="400")
    hog = await site.start("hogs", megabytes=500)
    assert (await site.until(hog)).state_name == "Completed"
    await worker.until_it_says("started!", times=2)
    after = await site.until(await site.start("sleeps", path=site.path))
    assert after.state_name == "Completed"
    assert worker.process.poll() is None


async def test_a_worker_begins_anew_after_so_many_runs_and_loses_none(site: Site) -> None:
    patience = str(HUNG_SECONDS)  # however slow the machine, no run is handed back
    worker = await site.start_worker(
        limit=2, ANIME_WORKER_MAX_RUNS="3", ANIME_WORKER_GRACE_SECONDS=patience
    )
    orders = [await site.start("sleeps", path=site.path, seconds=0.3) for _ in range(6)]
    runs = await site.until_all(orders)
    assert {(run.state_name, run.run_count) for run in runs} == {("Completed", 1)}
    assert worker.log.count("started!") >= 2


async def test_two_workers_on_one_pool_share_the_runs_and_run_none_twice(site: Site) -> None:
    workers = await asyncio.gather(site.start_worker(limit=2), site.start_worker(limit=2))
    orders = [await site.start("waits", path=site.path) for _ in range(10)]
    await site.until_noted("begin", 4)  # as many as both may have at a time
    site.let_them_end()
    await site.until_all(orders, "Completed")
    begun = site.notes("begin")
    assert sorted(UUID(run) for run, *_ in begun) == sorted(orders)
    assert {pid for _, pid, _ in begun} == {str(worker.process.pid) for worker in workers}


@pytest.mark.parametrize("pool_type", ["anime-warm", "process"], indirect=True)
@pytest.mark.parametrize("kind", ["anime-warm", "process"])
async def test_both_types_of_worker_serve_the_same_pool_and_deployments(
    site: Site, kind: str
) -> None:
    # Prefect's own has an interpreter, as its runs have; ours has one in the whole stack.
    await site.start_worker(kind=kind, is_forked=kind == "anime-warm")
    run = await site.until(await site.start("sleeps", path=site.path))
    assert run.state_name == "Completed"


def _most_at_once(site: Site) -> int:
    changes = [(float(at), 1) for *_, at in site.notes("begin")]
    changes += [(float(at), -1) for *_, at in site.notes("end")]
    now = most = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


async def test_a_review_waits_suspended_and_is_recorded_when_somebody_has_answered(
    served_site: Site, stack: StackUnderTest
) -> None:
    project = f"Review {uuid4().hex[:8]}"
    job_id, request = uuid4(), GenerationRequest(prompt="a roof", project=project, shot="sc1")
    async with Database(stack.record.settings["database_url"]) as database:
        await import_shots(database, project, "code,prompt\nsc1,a roof\n")
        async with database.session_scope() as session:
            await JobRepository(session).create(job_id, request, workflow="txt2img", seed=7)
            # Or the stack's monitor would find it waiting, and have it rendered: a second take.
            await session.execute(text(COMPLETE), {"id": job_id})
            file = AssetRow(
                filename="a.png", file_type="image", file_path="/a.png", file_size=1, job_id=job_id
            )
            await FileRepository(session).record([file])
        order = await served_site.start("flows.review.review", project=project, shot="sc1")
        await served_site.until(order, "Suspended")
        busy = await served_site.start("sleeps", path=served_site.path)
        assert (await served_site.until(busy)).state_name == "Completed"
        await served_site.client.resume_flow_run(
            order, run_input={"take": 1, "action": "pick", "by": "ann"}
        )
        ended = await served_site.until(order)
        assert ended.state_name == "Completed"
        [take] = await takes_of(database, project, ShotQuery(), ["sc1"])
    assert (take.is_picked, take.reviewed_by) == (True, "ann")

"""Jobs that nobody works on: found whatever ended their runs, and brought to their end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import event, func, select, text

from anime.core.batches import BatchRequest, expand, jobs_of
from anime.core.job_status import FailureKind, JobStatus, Stage
from anime.core.recovery import MAX_RUNS_LOST
from anime.core.timeline import TimelineKind
from anime.db.models import WebhookDelivery
from anime.db.repositories import JobRepository, NewJob
from anime.jobs.background import background_work
from anime.jobs.monitor import Monitor, MonitorCounts
from anime.progress.publisher import ProgressPublisher, follow_job
from anime.progress.snapshot_reader import SnapshotReader
from tasks.progress import Reporter
from tests.integration.job_service import REQUEST, Office, open_office
from tests.integration.old_client import execute
from tests.integration.prefect_peer import PrefectPeer, running_prefect_peer
from tests.support.waiting import HUNG_SECONDS

LEASE_SECONDS = 5  # the shortest that there is
OPEN_JOBS = 10_000


@pytest_asyncio.fixture
async def prefect() -> AsyncIterator[PrefectPeer]:
    async with running_prefect_peer() as peer:
        yield peer


@pytest_asyncio.fixture
async def office(database_url: str, redis_url: str, prefect: PrefectPeer) -> AsyncIterator[Office]:
    given = {"lease_seconds": LEASE_SECONDS, "webhook_secret": SecretStr("a key of the studio's")}
    async with open_office(database_url, redis_url, prefect, **given) as office:
        yield office


async def rendering(office: Office, *, seconds: float = 600) -> tuple[UUID, UUID]:
    """A job that its run has begun, and that run."""
    job = await office.service.admit(REQUEST)
    await office.monitor()
    run_id = (await office.job(job.id)).flow_run_id
    assert run_id is not None
    await office.begin(job.id, run_id, seconds=seconds)
    return job.id, run_id


async def given_back(office: Office, job_id: UUID, run_id: UUID) -> None:
    """What a run does last when it is stopped."""
    lease = await office.begin(job_id, run_id)
    async with office.database.session_scope() as session:
        await JobRepository(session).release(lease)


async def until_dispatched(office: Office) -> MonitorCounts:
    """What the first step did that dispatched something, once PostgreSQL is up for long enough."""
    async with asyncio.timeout(HUNG_SECONDS):
        while not (done := await office.monitor()).dispatched:
            await asyncio.sleep(0.1)  # a lease gives no sign when it lapses
    return done


async def decisions(office: Office, job_id: UUID) -> list[str]:
    timeline = await office.service.lookup.timeline(job_id)
    return [each.message for each in timeline if each.kind is TimelineKind.DECISION]


async def test_f60_a_run_deleted_in_prefect_while_it_renders_is_replaced(
    office: Office, prefect: PrefectPeer
) -> None:
    job_id, run_id = await rendering(office)
    prefect.runs.clear()
    assert await office.monitor() == MonitorCounts(), "a live lease says that it goes on"
    await given_back(office, job_id, run_id)
    assert await office.monitor() == MonitorCounts(dispatched=1)
    assert list(prefect.runs) == [f"{job_id}:2"]
    job = await office.job(job_id)
    assert (job.status, job.attempt) == (JobStatus.PROCESSING, 1)
    assert str(job.flow_run_id) == prefect.runs[f"{job_id}:2"]["id"]
    assert await decisions(office, job_id) == [
        "Its run is gone from Prefect: a new run goes on with it."
    ]
    assert await office.monitor() == MonitorCounts()


async def test_f56_fifty_jobs_wait_on_when_prefect_has_lost_its_database(
    office: Office, prefect: PrefectPeer
) -> None:
    jobs = [await office.service.admit(REQUEST) for _ in range(50)]
    prefect.run_state = "SCHEDULED"
    assert (await office.monitor()).dispatched == 50
    prefect.runs.clear()
    assert (await office.monitor()).dispatched == 50
    assert set(prefect.runs) == {f"{job.id}:2" for job in jobs}
    assert await office.monitor() == MonitorCounts()
    assert {job.status for job in await office.jobs()} == {JobStatus.QUEUED}


async def test_f60_a_job_goes_on_when_its_worker_died_on_another_host(
    office: Office, prefect: PrefectPeer
) -> None:
    job_id, run_id = await rendering(office, seconds=0.01)
    assert await until_dispatched(office) == MonitorCounts(dispatched=1)
    assert set(prefect.runs) == {str(job_id), f"{job_id}:2"}
    assert prefect.states[str(run_id)] == "CRASHED", "nobody else would end it"
    assert await decisions(office, job_id) == ["Its run shows no life: a new run goes on with it."]


async def test_f60_a_job_goes_on_after_three_dead_workers(
    office: Office, prefect: PrefectPeer
) -> None:
    job_id, run_id = await rendering(office, seconds=0.01)
    prefect.states[str(run_id)] = "CRASHED"
    prefect.run_message = "Its worker died 3 times while it ran."
    assert await until_dispatched(office) == MonitorCounts(dispatched=1)
    assert (await office.job(job_id)).status is JobStatus.PROCESSING


async def test_f60_a_job_that_kills_its_workers_is_given_up_in_the_end(
    office: Office, prefect: PrefectPeer
) -> None:
    job_id, run_id = await rendering(office)
    prefect.run_state = "CRASHED"
    for _ in range(MAX_RUNS_LOST):
        await given_back(office, job_id, run_id)
        await office.monitor()
        run_id = (await office.job(job_id)).flow_run_id or run_id
    job = await office.job(job_id)
    assert (job.status, job.error_kind) == (JobStatus.FAILED, FailureKind.INTERNAL)
    assert len(prefect.runs) == MAX_RUNS_LOST
    assert await office.monitor() == MonitorCounts()


async def test_f60_the_children_of_a_dead_batch_go_on_by_themselves(
    office: Office, prefect: PrefectPeer
) -> None:
    batch, children = uuid4(), [uuid4() for _ in range(3)]
    prefect.add_run(batch, "the batch")
    async with office.database.session_scope() as session:
        new = {job_id: NewJob(REQUEST, "txt2img", 1, batch) for job_id in children}
        await JobRepository(session).create_all(new)
    await office.begin(children[0], uuid4())
    assert await office.monitor() == MonitorCounts(), "the batch renders another child"
    await given_back(office, children[1], uuid4())
    assert await office.monitor() == MonitorCounts(), "the batch renders another child"
    prefect.states[str(batch)] = "CRASHED"
    assert await office.monitor() == MonitorCounts(dispatched=2)
    assert set(prefect.runs) == {"the batch", *(f"{child}:2" for child in children[1:])}


async def test_f60_a_batch_whose_run_has_died_goes_on_in_a_new_run_of_it(
    office: Office, prefect: PrefectPeer
) -> None:
    asked = BatchRequest(name="storm", prompts=["rain", "wind", "snow"])
    batch, children = uuid4(), jobs_of(expand(asked), {})
    prefect.add_run(batch, "the batch", parameters=asked.model_dump(mode="json"))
    async with office.database.session_scope() as session:
        new = {job_id: NewJob.of(job_id, each.request, batch) for job_id, each in children.items()}
        await JobRepository(session).create_all(new)
    first, *others = children
    lease = await office.begin(first, uuid4())
    prefect.states[str(batch)] = "CRASHED"
    assert await office.monitor() == MonitorCounts(dispatched=2)
    async with office.database.session_scope() as session:
        await JobRepository(session).release(lease)
    assert await office.monitor() == MonitorCounts(dispatched=1)
    assert set(prefect.runs) == {"the batch", f"{batch}:next"}, "all in one run"
    again = prefect.runs[f"{batch}:next"]
    assert BatchRequest.model_validate(again["parameters"]) == asked
    assert {str((await office.job(each)).flow_run_id) for each in children} == {again["id"]}
    prefect.run_state = "SCHEDULED"
    assert await office.monitor() == MonitorCounts(), "it waits for a worker"
    timeline = await office.service.lookup.timeline(others[0])
    assert timeline[-1].message == f"Run {again['id']} of its batch was made for it in Prefect."


async def test_f60_the_children_of_a_batch_that_shows_no_life_go_on_by_themselves(
    office: Office, prefect: PrefectPeer, database_url: str
) -> None:
    batch, child, other = uuid4(), uuid4(), uuid4()
    prefect.add_run(batch, "the batch")
    a_minute_passes = (
        "UPDATE anime_api.production_jobs SET updated_at = now() - interval '1 minute'"
    )
    async with office.database.session_scope() as session:
        new = {job_id: NewJob(REQUEST, "txt2img", 1, batch) for job_id in (child, other)}
        await JobRepository(session).create_all(new)
    assert await office.monitor() == MonitorCounts(), "it may be about to begin with them"
    await execute(database_url, a_minute_passes)
    lease = await office.begin(other, uuid4())
    async with office.database.session_scope() as session:
        await JobRepository(session).fail(lease, FailureKind.NODE_ERROR, "It went wrong.")
    assert await office.monitor() == MonitorCounts(), "it has ended another child just now"
    await execute(database_url, a_minute_passes)
    assert await office.monitor() == MonitorCounts(dispatched=1)
    assert (list(prefect.runs)[1:], prefect.states) == ([f"{child}:2"], {str(batch): "CRASHED"})


async def test_the_waiting_jobs_of_a_cancelled_batch_are_cancelled_many_at_a_time(
    office: Office, prefect: PrefectPeer
) -> None:
    """Nobody else cancels them when Prefect has ended a run of it that no worker had."""
    batch = uuid4()
    prefect.add_run(batch, "the batch")
    prefect.states[str(batch)] = "CANCELLED"
    async with office.database.session_scope() as session:
        new = {uuid4(): NewJob(REQUEST, "txt2img", 1, batch) for _ in range(20)}
        await JobRepository(session).create_all(new)
    assert await office.monitor() == MonitorCounts(cancelled=20)
    assert {job.status for job in await office.jobs()} == {JobStatus.CANCELLED}


async def test_the_jobs_of_a_cancelled_run_of_a_batch_are_left_to_another_that_renders_them(
    office: Office, prefect: PrefectPeer
) -> None:
    first, second, ended = uuid4(), uuid4(), uuid4()
    asked = {
        run_id: BatchRequest(name="storm", prompts=["rain", "wind"]) for run_id in (first, ended)
    }
    asked[second] = BatchRequest(name="storm", prompts=["wind", "snow"])
    for run_id, batch in asked.items():
        told = batch.model_dump(mode="json")
        prefect.add_run(run_id, str(run_id), flow="batch", parameters=told)
    prefect.states |= {str(first): "CANCELLED", str(ended): "FAILED"}
    children = jobs_of(expand(asked[first]), {})
    async with office.database.session_scope() as session:
        new = {job_id: NewJob.of(job_id, each.request, first) for job_id, each in children.items()}
        await JobRepository(session).create_all(new)
    assert await office.monitor() == MonitorCounts(cancelled=1)
    assert {job.prompt: job.status for job in await office.jobs()} == {
        "rain": JobStatus.CANCELLED,
        "wind": JobStatus.QUEUED,
    }
    assert await decisions(office, [*children][1]) == [
        f"Run {first} of its batch was cancelled: run {second} goes on with it."
    ]
    prefect.states[str(second)] = "CANCELLED"
    assert await office.monitor() == MonitorCounts(cancelled=1), "nobody is left to render it"


async def test_prefect_is_asked_once_for_the_runs_of_many_cancelled_batches(
    office: Office, prefect: PrefectPeer
) -> None:
    for number in range(3):
        told = BatchRequest(name=f"storm {number}", prompts=["rain"]).model_dump(mode="json")
        prefect.add_run(run_id := uuid4(), str(run_id), flow="batch", parameters=told)
        prefect.states[str(run_id)] = "CANCELLED"
        async with office.database.session_scope() as session:
            new = {uuid4(): NewJob(REQUEST, "txt2img", 1, run_id)}
            await JobRepository(session).create_all(new)
    assert await office.monitor() == MonitorCounts(cancelled=3)
    assert prefect.listed_runs == 1
    assert await office.monitor() == MonitorCounts()
    assert prefect.listed_runs == 1


async def test_other_jobs_go_on_while_nobody_knows_which_runs_of_a_batch_there_are(
    office: Office, prefect: PrefectPeer
) -> None:
    lost, run_id = await rendering(office)
    await given_back(office, lost, run_id)
    batch = uuid4()
    told = BatchRequest(name="storm", prompts=["rain"]).model_dump(mode="json")
    prefect.add_run(batch, str(batch), flow="batch", parameters=told)
    prefect.states |= {str(batch): "CANCELLED", str(run_id): "CRASHED"}
    async with office.database.session_scope() as session:
        await JobRepository(session).create_all({uuid4(): NewJob(REQUEST, "txt2img", 1, batch)})
    prefect.lists_runs = False
    assert await office.monitor() == MonitorCounts(dispatched=1)
    prefect.lists_runs = True
    assert await office.monitor() == MonitorCounts(cancelled=1)


async def test_no_job_is_hidden_by_the_jobs_of_batches_that_wait(
    office: Office, prefect: PrefectPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few large batches have more jobs than one step looks at."""
    waiting, dead = uuid4(), uuid4()
    for run_id, count in ((waiting, 3), (dead, 1)):
        prefect.add_run(run_id, str(run_id))
        async with office.database.session_scope() as session:
            new = {uuid4(): NewJob(REQUEST, "txt2img", 1, run_id) for _ in range(count)}
            await JobRepository(session).create_all(new)
    prefect.states[str(waiting)] = "SCHEDULED"
    job_id, run_id = await rendering(office)
    await given_back(office, job_id, run_id)
    del prefect.runs[str(job_id)]
    prefect.states[str(dead)] = "CRASHED"
    monkeypatch.setattr("anime.jobs.monitor.MAX_JOBS", 3)
    assert await office.monitor() == MonitorCounts(dispatched=2)


async def test_two_monitors_replace_a_run_once(
    office: Office, database_url: str, redis_url: str, prefect: PrefectPeer
) -> None:
    job_id, run_id = await rendering(office)
    await given_back(office, job_id, run_id)
    prefect.runs.clear()
    async with open_office(database_url, redis_url, prefect) as other:
        done = await asyncio.gather(office.monitor(), other.monitor())
        assert sorted(each.dispatched for each in done) == [0, 1]
        assert await other.monitor() == MonitorCounts()
    assert list(prefect.runs) == [f"{job_id}:2"]


async def test_a_run_that_gives_up_its_job_wakes_the_monitor(
    office: Office, prefect: PrefectPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.jobs.monitor.EVERY_SECONDS", 2.0 * HUNG_SECONDS)
    job_id, run_id = await rendering(office, seconds=2 * HUNG_SECONDS)
    async with background_work(office.service, takes_redis_queue=False):
        prefect.runs.clear()
        await given_back(office, job_id, run_id)
        await prefect.until_runs(1)
    assert list(prefect.runs) == [f"{job_id}:2"]


async def failed(office: Office, kind: FailureKind, **asked: str) -> UUID:
    job = await office.service.admit(REQUEST.model_copy(update=asked))
    lease = await office.begin(job.id, uuid4())
    async with office.database.session_scope() as session:
        await JobRepository(session).fail(lease, kind, "It went wrong.")
    await office.service.canceller.publish(await office.job(job.id))
    return job.id


async def test_a_requeued_job_waits_again_and_its_new_end_is_told(
    office: Office, prefect: PrefectPeer, redis_url: str
) -> None:
    job_id = await failed(
        office, FailureKind.QUARANTINED, webhook_url="https://studio.example/hook"
    )
    [ended] = [each async for each in follow_job(redis_url, job_id)]
    assert ended.status is JobStatus.FAILED
    requeued = await office.service.requeue(job_id)
    assert requeued is not None
    assert (requeued.status, requeued.error_kind) == (JobStatus.QUEUED, None)
    assert list(prefect.runs) == [f"{job_id}:2"]
    async with office.database.session_scope() as session:
        assert await session.scalar(select(func.count()).select_from(WebhookDelivery)) == 0
    lease = await office.begin(job_id, uuid4())
    async with office.database.session_scope() as session:
        await JobRepository(session).fail(lease, FailureKind.LOST, "Again.")
        assert await session.scalar(select(func.count()).select_from(WebhookDelivery)) == 1
    kinds = [each.kind for each in await office.service.lookup.timeline(job_id)]
    assert kinds == [
        *(TimelineKind.SUBMITTED, TimelineKind.RUN, TimelineKind.END),
        *(TimelineKind.PERSON, TimelineKind.RUN, TimelineKind.RUN, TimelineKind.END),
    ]


@pytest.mark.parametrize("is_away", [False, True])
async def test_whoever_listens_hears_what_becomes_of_a_requeued_job(
    office: Office, redis_url: str, *, is_away: bool
) -> None:
    """Redis may be away when it is requeued, and its former run may publish its failure late."""
    job_id = await failed(office, FailureKind.COMFYUI_UNREACHABLE)
    late = await office.job(job_id)
    publisher = ProgressPublisher(None) if is_away else office.service.publisher
    assert await replace(office.service, publisher=publisher).requeue(job_id) is not None
    await office.service.canceller.publish(late)
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        snapshot = await SnapshotReader(redis, office.database).snapshot(job_id)
    assert (snapshot.fields["status"], snapshot.is_final) == ("queued", False)
    assert not snapshot.fields.keys() & {"error", "error_kind"}
    found = await office.job(job_id)
    lease = await office.begin(job_id, uuid4())
    reporter = Reporter(office.service.publisher, job_id, found, fence=lease.fence)
    await reporter.enter(Stage.RENDERING, "Rendering")
    async with office.database.session_scope() as session:
        await JobRepository(session).complete(lease, output_path="/library/a.png")
    await reporter.completed(["/library/a.png"])
    seq = snapshot.published_seq
    told = [each.status async for each in follow_job(redis_url, job_id, after_seq=seq)]
    assert told == ["processing", "completed"]


async def test_only_a_failed_job_is_requeued(office: Office) -> None:
    job_id, _ = await rendering(office)
    assert await office.service.requeue(job_id) is None
    assert (await office.job(job_id)).status is JobStatus.PROCESSING


async def test_a_step_with_ten_thousand_open_jobs_costs_few_statements(
    office: Office, prefect: PrefectPeer
) -> None:
    template = await office.service.admit(REQUEST)
    copied = "workflow, prompt, params, seed, type"
    async with office.database.session_scope() as session:
        await session.execute(
            text(
                f"INSERT INTO anime_api.production_jobs (id, flow_run_id, {copied}) "
                f"SELECT gen_random_uuid(), gen_random_uuid(), {copied} "
                "FROM anime_api.production_jobs, generate_series(2, :jobs) WHERE id = :id"
            ),
            {"jobs": OPEN_JOBS, "id": template.id},
        )
        known = await session.scalars(text("SELECT flow_run_id FROM anime_api.production_jobs"))
        for run_id in known:
            if run_id is not None:
                prefect.add_run(run_id, str(run_id))
    prefect.run_state = "SCHEDULED"
    await office.monitor()
    statements = list[str]()
    engine = office.database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    assert await office.monitor() == MonitorCounts()
    assert len(statements) <= 20, statements


async def test_a_run_that_comes_back_while_it_is_decided_about_keeps_its_job(
    office: Office, prefect: PrefectPeer, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, run_id = await rendering(office)
    await given_back(office, job_id, run_id)
    replace_runs = Monitor._replace_runs

    async def come_back_first(monitor: Monitor, *arguments: Any) -> Any:
        await office.begin(job_id, run_id)
        return await replace_runs(monitor, *arguments)

    monkeypatch.setattr(Monitor, "_replace_runs", come_back_first)
    a_minute_passes = (
        "UPDATE anime_api.production_jobs SET updated_at = now() - interval '1 minute'"
    )
    await execute(database_url, a_minute_passes)
    assert await office.monitor() == MonitorCounts()
    assert prefect.states.get(str(run_id)) != "CRASHED"
    assert await decisions(office, job_id) == []

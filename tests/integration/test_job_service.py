"""Taking jobs on and bringing them to Prefect, whatever is down meanwhile."""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from opentelemetry import trace
from pydantic import SecretStr
from sqlalchemy import text

from anime.api.app import create_app
from anime.core.ids import prompt_id_of
from anime.core.job_status import FailureKind, JobStatus
from anime.core.recovery import MAX_STARTS_LOST
from anime.db.repositories import (
    DispatchRepository,
    JobRepository,
    NewJob,
    SentPromptRepository,
    TimelineRepository,
)
from anime.errors import DatabaseUnavailable, PrefectUnavailable, QueueFull
from anime.jobs.background import background_work
from anime.jobs.dispatcher import RunDispatcher
from anime.jobs.low_disk import DiskGuard
from anime.jobs.monitor import Monitor, MonitorCounts
from anime.jobs.redis_queue import RedisQueueConsumer
from anime.jobs.servers.watcher import ServerWatcher
from anime.net.prefect_api import TRACEPARENT_LABEL, PrefectApi
from anime.progress.publisher import follow_job
from anime.progress.redis_feed import RedisFeed
from anime.retry_policies import RetryPolicy
from anime.settings import Settings
from anime.webhooks.deliverer import Deliverer
from tests.integration.job_service import REQUEST, Office, open_office
from tests.integration.old_client import execute
from tests.integration.prefect_peer import PrefectPeer, running_prefect_peer
from tests.support.waiting import HUNG_SECONDS


@pytest_asyncio.fixture
async def prefect() -> AsyncIterator[PrefectPeer]:
    async with running_prefect_peer() as peer:
        yield peer


@pytest_asyncio.fixture
async def office(database_url: str, redis_url: str, prefect: PrefectPeer) -> AsyncIterator[Office]:
    async with open_office(database_url, redis_url, prefect, queue_limit=3) as office:
        yield office


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API, which reconciles for as long as it runs."""
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://localhost:8330"
        ) as client,
    ):
        yield client


@pytest_asyncio.fixture
async def client(office: Office) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(office.settings) as client:
        yield client


async def test_f17_a_full_queue_is_429_and_nothing_that_was_taken_is_lost(
    client: httpx.AsyncClient, office: Office, prefect: PrefectPeer
) -> None:
    keys = [{"Idempotency-Key": f"take {number}"} for number in range(4)]
    order = {"prompt": "rain"}
    answers = [await client.post("/api/anime/generate", json=order, headers=key) for key in keys]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert answers[3].json()["type"] == "urn:anime:problem:queue-full"
    assert int(answers[3].headers["retry-after"]) > 0
    repeated = await client.post("/api/anime/generate", json=order, headers=keys[0])
    assert repeated.json() == answers[0].json()
    taken = {answer.json()["job_id"] for answer in answers[:3]}
    assert {str(job.id) for job in await office.jobs()} == taken
    await prefect.until_runs(3)
    assert set(prefect.runs) == taken


LOOPS = [
    (RunDispatcher, "dispatch"),
    (Monitor, "step"),
    (ServerWatcher, "step"),
    (DiskGuard, "step"),
    (RedisQueueConsumer, "_consume"),
    (Deliverer, "_begin_due"),
    (RedisFeed, "_catch_up"),
]


async def test_a_loop_of_the_api_that_meets_a_bug_begins_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.jobs.background.DISPATCHERS", 1)
    at_once = RetryPolicy(first_seconds=0, longest_seconds=0)
    monkeypatch.setattr("anime.retry_policies.BACKGROUND_LOOP", at_once)
    calls: Counter[type] = Counter()
    goes_on = asyncio.Event()

    def break_once(owner: type, name: str) -> None:
        works = getattr(owner, name)

        async def step(*given: Any, **named: Any) -> Any:
            calls[owner] += 1
            if calls[owner] == 1:
                raise LookupError("a bug")
            if len(calls) == len(LOOPS) and min(calls.values()) > 1:
                goes_on.set()
            return await works(*given, **named)

        monkeypatch.setattr(owner, name, step)

    for owner, name in LOOPS:
        break_once(owner, name)
    secret = SecretStr("whsec_" + b64encode(bytes(32)).decode())
    settings = office.settings.model_copy(update={"webhook_secret": secret})
    async with running_api(settings) as client:
        for prompt in ("rain", "snow"):
            answer = await client.post("/api/anime/generate", json={"prompt": prompt})
            assert answer.status_code == 202
        async with asyncio.timeout(HUNG_SECONDS):
            await goes_on.wait()


async def test_room_in_the_queue_comes_with_each_job_that_begins(office: Office) -> None:
    jobs = [await office.service.submit(REQUEST) for _ in range(3)]
    with pytest.raises(QueueFull):
        await office.service.submit(REQUEST)
    await office.begin(jobs[0].id, uuid4())
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            try:
                await office.service.submit(REQUEST)
            except QueueFull:
                await asyncio.sleep(0.1)  # the count is a second old at most
            else:
                break
    assert len(await office.jobs()) == 4


async def test_a_burst_gets_the_room_there_is_and_repeats_take_none(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.jobs.admission.COUNT_SECONDS", 3600.0)  # it counts once
    job_id = uuid4()
    for _ in range(5):
        await office.service.submit(REQUEST, job_id=job_id)
    burst = (office.service.submit(REQUEST) for _ in range(6))
    answers = await asyncio.gather(*burst, return_exceptions=True)
    assert sum(isinstance(answer, QueueFull) for answer in answers) == 4
    assert len(await office.jobs()) == 3


async def test_the_jobs_of_a_batch_take_no_room_and_are_left_to_it(
    office: Office, prefect: PrefectPeer
) -> None:
    async with office.database.session_scope() as session:
        run = uuid4()
        new = {uuid4(): NewJob(REQUEST, "txt2img", 1, run) for _ in range(5)}
        await JobRepository(session).create_all(new)
    prefect.add_run(run, "the batch")
    prefect.states[str(run)] = "SCHEDULED"
    await office.service.admit(REQUEST)
    assert await office.monitor() == MonitorCounts(dispatched=1)
    assert len(prefect.runs) == 2


async def test_f56_with_prefect_down_a_job_is_taken_and_its_run_ordered_when_it_is_back(
    office: Office, prefect: PrefectPeer
) -> None:
    prefect.refuses_runs = True
    async with running_api(office.settings) as client:  # it ends: one reconciles at a time
        answer = await client.post("/api/anime/generate", json={"prompt": "rain"})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert await office.monitor() == MonitorCounts()
    known, prefect.deployments = prefect.deployments, {}
    with pytest.raises(PrefectUnavailable):
        await office.monitor()
    prefect.refuses_runs, prefect.deployments = False, known
    assert await office.monitor() == MonitorCounts(dispatched=1)
    [job] = await office.jobs()
    assert str(job.flow_run_id) == prefect.runs[answer.json()["job_id"]]["id"]
    assert await office.monitor() == MonitorCounts()


async def test_f56_with_the_database_down_it_is_503_and_no_run_is_ordered(
    office: Office, prefect: PrefectPeer
) -> None:
    dead = SecretStr("postgresql://nobody@127.0.0.1:9/nothing")
    async with running_api(office.settings.model_copy(update={"database_url": dead})) as client:
        answer = await client.post("/api/anime/generate", json={"prompt": "rain"})
    assert (answer.status_code, int(answer.headers["retry-after"])) == (503, 5)
    assert prefect.runs == {}


async def test_a_process_that_starts_orders_what_another_left(
    office: Office, prefect: PrefectPeer, database_url: str
) -> None:
    left = await office.service.admit(REQUEST)
    await execute(database_url, "UPDATE anime_api.production_jobs SET created_at = '2026-01-01Z'")
    async with background_work(office.service, takes_redis_queue=False):
        await prefect.until_runs(1)
    assert list(prefect.runs) == [str(left.id)]


async def test_a_deployment_that_was_made_anew_is_found_by_its_name(
    office: Office, prefect: PrefectPeer
) -> None:
    async with background_work(office.service, takes_redis_queue=False):
        await office.service.submit(REQUEST)
        await prefect.until_runs(1)
        renewed = prefect.deployments["generate/generate"] = uuid4()
        await office.service.submit(REQUEST)
        await prefect.until_runs(2)
    assert [run["deployment"] for run in prefect.runs.values()][1] == str(renewed)


async def test_an_order_that_prefect_refuses_holds_up_no_other(
    office: Office, prefect: PrefectPeer
) -> None:
    refused, sound = [await office.service.admit(REQUEST) for _ in range(2)]
    prefect.refused_keys.add(str(refused.id))
    assert await office.monitor() == MonitorCounts(dispatched=1)
    assert list(prefect.runs) == [str(sound.id)]
    assert (await office.job(refused.id)).status is JobStatus.QUEUED


async def test_only_one_process_at_a_time_looks_after_the_orders(
    office: Office, database_url: str, redis_url: str, prefect: PrefectPeer
) -> None:
    await office.service.admit(REQUEST)
    async with open_office(database_url, redis_url, prefect) as other:
        done = await asyncio.gather(office.monitor(), other.monitor())
    assert sorted(each.dispatched for each in done) == [0, 1]


async def test_a_run_is_made_with_its_name_and_tags_and_checked_by_nobody_but_the_flow(
    office: Office, prefect: PrefectPeer
) -> None:
    asked = REQUEST.model_copy(update={"project": "Neon", "shot": "s01"})
    job = await office.service.admit(asked)
    await office.monitor()
    run = prefect.runs[str(job.id)]
    assert run["name"] == f"Neon / {REQUEST.prompt}"
    assert run["tags"] == ["image", "project:Neon", "shot:s01"]
    assert run["enforce_parameter_schema"] is False


@pytest.mark.parametrize("ends", ["CRASHED", "FAILED"])
async def test_a_run_that_died_before_its_job_began_is_ordered_anew_a_few_times(
    office: Office, prefect: PrefectPeer, ends: str
) -> None:
    job = await office.service.admit(REQUEST)
    prefect.run_state, prefect.run_message = ends, "no such parameter: shade"
    steps = [await office.monitor() for _ in range(MAX_STARTS_LOST + 1)]
    assert [step.dispatched for step in steps] == [1] * MAX_STARTS_LOST + [0]
    assert list(prefect.runs) == [str(job.id), f"{job.id}:2", f"{job.id}:3"]
    ended = await office.job(job.id)
    assert (ended.status, ended.error_kind) == (JobStatus.FAILED, FailureKind.INTERNAL)
    assert f"{ends.lower()}: no such parameter: shade" in (ended.error or "")


async def test_a_run_cancelled_in_prefect_before_it_began_cancels_its_job(
    office: Office, prefect: PrefectPeer
) -> None:
    jobs = [await office.service.admit(REQUEST) for _ in range(2)]
    await office.monitor()
    prefect.states[prefect.runs[str(jobs[0].id)]["id"]] = "CANCELLED"
    assert await office.monitor() == MonitorCounts(cancelled=1)
    assert [(await office.job(job.id)).status for job in jobs] == ["cancelled", "queued"]


async def test_f30_a_job_that_waits_never_starts_and_only_its_own_run_is_cancelled(
    client: httpx.AsyncClient, office: Office, prefect: PrefectPeer
) -> None:
    jobs = [await office.service.admit(REQUEST) for _ in range(2)]
    while len(prefect.runs) < 2:  # the API reconciles as well, and one has its turn at a time
        await office.monitor()
    address = f"/api/anime/generation/{jobs[0].id}/cancel"
    answers = [(await client.post(address)).json() for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["cancelled", "cancelled"]
    assert [answer["detail"] for answer in answers] == [
        "It is cancelled.",
        "It was cancelled before; nothing is changed.",
    ]
    assert [(await office.job(job.id)).status for job in jobs] == ["cancelled", "queued"]
    assert [prefect.state_of(job.id) for job in jobs] == ["CANCELLED", "RUNNING"]


async def test_f30_a_job_cancelled_while_its_run_is_ordered_leaves_no_run(
    office: Office, prefect: PrefectPeer
) -> None:
    job = await office.service.submit(REQUEST)
    await office.service.cancel(job.id)
    async with background_work(office.service, takes_redis_queue=False):
        await prefect.until_runs(1)
    assert prefect.state_of(job.id) == "CANCELLED"


async def test_f30_with_prefect_down_a_job_is_cancelled_all_the_same(
    office: Office, prefect: PrefectPeer
) -> None:
    job = await office.service.admit(REQUEST)
    await office.monitor()
    prefect.is_ill = True
    assert (await office.service.cancel(job.id)).status is JobStatus.CANCELLED
    assert (await office.job(job.id)).status is JobStatus.CANCELLED


async def test_f30_what_is_cancelled_stays_so_though_its_run_cannot_be_looked_up(
    office: Office, prefect: PrefectPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [await office.service.admit(REQUEST) for _ in range(2)]
    await office.monitor()
    lease = await office.begin(jobs[1].id, uuid4())
    assert (await office.service.cancel(jobs[1].id)).status is JobStatus.CANCELLING
    async with office.database.session_scope() as session:
        await JobRepository(session).release(lease)

    async def away(*_: object) -> NoReturn:
        raise DatabaseUnavailable("PostgreSQL is away.")

    monkeypatch.setattr(DispatchRepository, "of_job", away)
    assert (await office.service.cancel(jobs[0].id)).status is JobStatus.CANCELLED
    assert await office.monitor() == MonitorCounts(cancelled=1)
    assert [(await office.job(job.id)).status for job in jobs] == ["cancelled", "cancelled"]


async def test_the_run_of_a_job_whose_run_has_died_is_cancelled_once(
    office: Office, prefect: PrefectPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await office.service.admit(REQUEST)
    await office.monitor()
    lease = await office.begin(job.id, uuid4())
    async with office.database.session_scope() as session:
        await JobRepository(session).release(lease)
    cancelled, cancel_run = [], PrefectApi.cancel_run

    async def count(api: PrefectApi, run_id: UUID, message: str) -> None:
        cancelled.append(str(run_id))
        await cancel_run(api, run_id, message)

    monkeypatch.setattr(PrefectApi, "cancel_run", count)
    assert (await office.service.cancel(job.id)).status is JobStatus.CANCELLED
    assert cancelled == [prefect.runs[str(job.id)]["id"]]


async def test_one_job_of_a_batch_can_be_cancelled_and_the_batch_goes_on(
    office: Office, prefect: PrefectPeer
) -> None:
    one, other, run = uuid4(), uuid4(), uuid4()
    async with office.database.session_scope() as session:
        new = {job_id: NewJob(REQUEST, "txt2img", 1, run) for job_id in (one, other)}
        await JobRepository(session).create_all(new)
    assert (await office.service.cancel(one)).status is JobStatus.CANCELLED
    assert (await office.job(other)).status is JobStatus.QUEUED
    assert prefect.states == {}


async def test_f32_what_was_about_to_be_cancelled_when_its_run_died_is_cancelled(
    office: Office, redis_url: str
) -> None:
    job = await office.service.admit(REQUEST)
    lease = await office.begin(job.id, uuid4())
    assert (await office.service.cancel(job.id)).status is JobStatus.CANCELLING
    assert await office.monitor() == MonitorCounts()
    async with office.database.session_scope() as session:
        await JobRepository(session).release(lease)
    assert await office.monitor() == MonitorCounts(cancelled=1)
    events = [event.status async for event in follow_job(redis_url, job.id, after_seq=0)]
    assert events == ["queued", "cancelling", "cancelled"]


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """The URL of a server that takes connections and says nothing."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client leaves
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_f30_a_job_whose_run_has_died_is_cancelled_though_its_server_says_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.jobs.cancellation.STOP_SECONDS", 0.2)
    job = await office.service.admit(REQUEST)
    prompt_id = prompt_id_of(job.id, 1)
    lease = await office.begin(job.id, uuid4())
    async with silent_server() as url:
        async with office.database.session_scope() as session:
            jobs, sent = JobRepository(session), SentPromptRepository(session)
            await jobs.begin_attempt(lease, attempt=1, prompt_id=prompt_id, comfyui_url=url)
            await sent.record(prompt_id, job_id=job.id, server=url, attempt=1)
            await jobs.release(lease)
        assert (await office.service.cancel(job.id)).status is JobStatus.CANCELLED
        async with office.database.autocommit() as session:
            [left] = await SentPromptRepository(session).unsettled_at(url)
    assert left.has_moved, "it is stopped there once the server answers"


async def test_a_prompt_that_does_not_stop_is_told_once(
    office: Office,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    has_stopped = False

    async def stop(*_: object, **__: object) -> bool:
        return has_stopped

    monkeypatch.setattr("anime.jobs.cancellation.stop_prompt", stop)
    job = await office.service.admit(REQUEST)
    prompt_id, url = prompt_id_of(job.id, 1), "http://127.0.0.1:9"
    lease = await office.begin(job.id, uuid4())
    async with office.database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.begin_attempt(lease, attempt=1, prompt_id=prompt_id, comfyui_url=url)
        await jobs.request_cancel(job.id)
        await jobs.release(lease)

    async def told() -> list[str]:
        await office.monitor()
        await office.monitor()
        assert (await office.job(job.id)).status is JobStatus.CANCELLING
        async with office.database.autocommit() as session:
            entries = await TimelineRepository(session).of_job(job.id)
        return [each.message for each in entries if "still runs" in each.message]

    assert await told() == []
    async with office.database.session_scope() as session:
        at = text("UPDATE anime_api.production_jobs SET updated_at = '2026-11-03 09:15+00'")
        await session.execute(at)
    message = (
        f"{url} still runs prompt {prompt_id}, which it has been asked to stop since "
        "2026-11-03 09:15 UTC. Restart that ComfyUI to end it."
    )
    assert await told() == [message]
    assert caplog.text.count(message) == 1
    has_stopped = True
    assert await office.monitor() == MonitorCounts(cancelled=1)
    events = [event async for event in follow_job(redis_url, job.id, after_seq=0)]
    assert [event.message for event in events[-2:]] == [message, "Cancelled"]


async def test_a_job_whose_request_no_version_knows_fails_and_whoever_follows_it_hears_so(
    office: Office, redis_url: str
) -> None:
    job = await office.service.admit(REQUEST)
    unknown = """params || '{"colour": "red"}'"""
    async with office.database.session_scope() as session:
        await session.execute(text(f"UPDATE anime_api.production_jobs SET params = {unknown}"))
    await office.monitor()
    assert (await office.job(job.id)).status is JobStatus.FAILED
    async with asyncio.timeout(HUNG_SECONDS):
        events = [event.status async for event in follow_job(redis_url, job.id, after_seq=0)]
    assert events == ["queued", "failed"]


async def test_a_job_stays_in_its_trace_whichever_run_renders_it(
    office: Office, prefect: PrefectPeer
) -> None:
    asked = trace.SpanContext(trace_id=7, span_id=8, is_remote=True)
    with trace.use_span(trace.NonRecordingSpan(asked)):
        job = await office.service.submit(REQUEST)
    assert job.trace_id == f"{7:032x}"
    async with background_work(office.service, takes_redis_queue=False):
        await prefect.until_runs(1)
    async with office.database.session_scope() as session:
        await JobRepository(session).fail_unleased(job.id, FailureKind.LOST, "Nobody.")
    await office.service.requeue(job.id)
    labels = [run["labels"] for run in prefect.runs.values()]
    assert labels == [{TRACEPARENT_LABEL: f"00-{7:032x}-{8:016x}-00"}] * 2


async def test_a_job_that_was_submitted_without_a_trace_has_that_of_its_first_run(
    office: Office,
) -> None:
    job = await office.service.admit(REQUEST)
    assert job.trace_id is None
    for number in (1, 2):
        async with office.database.session_scope() as session:
            spans = f"00-{number:032x}-{number:016x}-01"
            lease = await JobRepository(session).lease(
                job.id, uuid4(), seconds=60, traceparent=spans
            )
            assert lease is not None
            await JobRepository(session).release(lease)
    assert (await office.job(job.id)).trace_id == f"{1:032x}"

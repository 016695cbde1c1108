"""PostgreSQL goes away, has no room or refuses, in each step: what was rendered is kept."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import make_url

from anime.assets.rebuild import rebuild
from anime.core.job_status import JobStatus, Stage
from anime.db.repositories import JobRepository
from anime.errors import DatabaseUnavailable
from anime.jobs.monitor import MonitorCounts
from anime.retry_policies import RECORD
from anime.schemas import GenerationRequest
from anime.settings import get_settings
from flows.generate import generate
from tasks.batches import wait_until_free
from tasks.progress import Reporter
from tasks.records import record
from tests.flows.conftest import RehearsalStudio
from tests.integration.job_service import open_office
from tests.integration.old_client import execute
from tests.integration.prefect_peer import running_prefect_peer
from tests.integration.progress_peer import gateway_settings, running_api
from tests.own_postgres import OwnPostgres, own_postgres
from tests.support.waiting import HUNG_SECONDS

SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 2}  # any fields of a request
OUTAGE_SECONDS = 0.5
CUT_OTHERS = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> ALL(%s)"
)
Mishap = Callable[[UUID], Awaitable[None]]


@pytest_asyncio.fixture(scope="module")
async def module_postgres(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[OwnPostgres]:
    async with own_postgres(tmp_path_factory.mktemp("own")) as postgres:
        yield postgres


@pytest_asyncio.fixture
async def postgres(module_postgres: OwnPostgres) -> OwnPostgres:
    """Up, whatever the test before has done, and without its server, whose port others may have."""
    await module_postgres.start()
    async with await connect(module_postgres.url) as connection:
        await connection.execute("DELETE FROM anime_api.comfyui_servers")
    return module_postgres


@pytest.fixture
def database_url(postgres: OwnPostgres) -> str:
    """What the studio works with: the server that these tests may stop."""
    return postgres.url


class Steps:
    """Lets something happen the moment a run enters a stage, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered: list[Stage] = []
        self._mishaps: dict[Stage, Mishap] = {}
        told = Reporter.enter

        async def enter(reporter: Reporter, stage: Stage, message: str) -> None:
            self.entered.append(stage)
            await told(reporter, stage, message)
            if mishap := self._mishaps.pop(stage, None):
                await mishap(reporter._job_id)

        monkeypatch.setattr(Reporter, "enter", enter)

    def at(self, stage: Stage, mishap: Mishap) -> None:
        self._mishaps[stage] = mishap


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


async def made_once(studio: RehearsalStudio, job_id: UUID) -> None:
    """The job is completed with one file and one row, from one render."""
    async with httpx.AsyncClient(base_url=studio.comfyui_url) as comfyui:
        rendered = (await comfyui.get("/history")).json()
    job = await studio.newest_job()
    assert (job.id, job.status, job.attempt) == (job_id, JobStatus.COMPLETED, 1)
    assert [str(path) for path in studio.library_files()] == await rows_of(studio, job_id)
    assert len(rendered) == 1


async def rows_of(studio: RehearsalStudio, job_id: UUID) -> list[str]:
    """Where the rows of the job's files say that they are; the tests share one database."""
    return [file.file_path for file in await studio.files() if file.job_id == job_id]


@pytest.mark.parametrize("stage", [Stage.RENDERING, Stage.RECORDING])
async def test_f50_a_database_that_is_restarted_in_any_step_costs_no_picture(
    studio: RehearsalStudio, postgres: OwnPostgres, steps: Steps, stage: Stage
) -> None:
    async def restart(_: UUID) -> None:
        await postgres.stop()
        await postgres.start()

    job_id = uuid4()
    steps.at(stage, restart)
    await asyncio.wait_for(generate(prompt="a restart", job_id=job_id, **SMALL), HUNG_SECONDS)
    await made_once(studio, job_id)


@pytest.mark.parametrize("stage", list(Stage))
async def test_f50_a_database_that_is_away_in_any_step_costs_no_picture(
    studio: RehearsalStudio, postgres: OwnPostgres, steps: Steps, stage: Stage
) -> None:
    async def go_away(_: UUID) -> None:
        await postgres.stop()
        asyncio.get_running_loop().call_later(OUTAGE_SECONDS, back.set)

    async def come_back() -> None:
        await back.wait()
        await postgres.start()

    job_id, back = uuid4(), asyncio.Event()
    steps.at(stage, go_away)
    async with asyncio.timeout(HUNG_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(come_back())
        await generate(prompt="an outage", job_id=job_id, **SMALL)
    await made_once(studio, job_id)


async def test_f50_a_run_that_begins_while_the_database_is_away_waits_for_it(
    studio: RehearsalStudio, postgres: OwnPostgres
) -> None:
    async def come_back() -> None:
        await asyncio.sleep(OUTAGE_SECONDS)
        await postgres.start()

    job_id = uuid4()
    await postgres.stop()
    async with asyncio.timeout(HUNG_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(come_back())
        await generate(prompt="an early bird", job_id=job_id, **SMALL)
    await made_once(studio, job_id)


async def test_f50_after_an_outage_longer_than_all_patience_the_row_comes_later(
    studio: RehearsalStudio,
    postgres: OwnPostgres,
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def go_away(_: UUID) -> None:
        await postgres.stop()

    job_id = uuid4()
    monkeypatch.setenv("ANIME_LEASE_SECONDS", "5")
    get_settings.cache_clear()
    steps.at(Stage.RECORDING, go_away)
    with monkeypatch.context() as impatient:
        impatient.setattr("anime.runs.generation.record", inspect.unwrap(record))
        impatient.setattr("tasks.records.RECORD", replace(RECORD, attempts=1))
        with pytest.raises(DatabaseUnavailable):
            await generate(prompt="a long outage", job_id=job_id, **SMALL)
    [path] = studio.library_files()
    await postgres.start()
    report = await rebuild(studio.database, studio.library, zone=UTC)
    assert (report.files_added, await rows_of(studio, job_id)) == (1, [str(path)])
    async with (
        running_prefect_peer() as prefect,
        open_office(postgres.url, studio.redis_url, prefect, lease_seconds=HUNG_SECONDS) as careful,
        open_office(postgres.url, studio.redis_url, prefect, lease_seconds=5) as office,
    ):
        assert await careful.monitor() == MonitorCounts(), "a run may have lived through the outage"
        async with asyncio.timeout(HUNG_SECONDS):
            while not (await office.monitor()).dispatched:
                await asyncio.sleep(0.1)  # a lease gives no sign when it lapses
    await generate(prompt="a long outage", job_id=job_id, **SMALL)
    await made_once(studio, job_id)


async def test_f50_a_job_that_another_run_holds_is_waited_for_through_a_restart(
    studio: RehearsalStudio, postgres: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.batches._POLL_SECONDS", 0.05)
    job_id, owner = uuid4(), uuid4()
    async with studio.database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create(job_id, GenerationRequest(prompt="held"), workflow="txt2img", seed=1)
        lease = await jobs.lease(job_id, owner, seconds=600)
    waiting = asyncio.create_task(
        wait_until_free(studio.database, job_id, timeout_seconds=HUNG_SECONDS)
    )
    await postgres.stop()
    await asyncio.wait([waiting], timeout=OUTAGE_SECONDS)
    await postgres.start()
    assert not waiting.done()
    assert lease is not None
    async with studio.database.session_scope() as session:
        await JobRepository(session).release(lease)
    await asyncio.wait_for(waiting, HUNG_SECONDS)


async def test_f50_a_server_without_a_free_connection_is_waited_for(
    studio: RehearsalStudio, postgres: OwnPostgres, steps: Steps
) -> None:
    async def take_all(_: UUID) -> None:
        taken.extend(await every_connection(postgres.url))
        steps.at(Stage.RECORDING, give_back)  # when it tries again

    async def give_back(_: UUID) -> None:
        for connection in taken:
            await connection.close()

    job_id = uuid4()
    taken: list[psycopg.AsyncConnection[Any]] = []  # rows of any shape
    steps.at(Stage.RECORDING, take_all)
    async with asyncio.timeout(HUNG_SECONDS):
        await generate(prompt="a crowd", job_id=job_id, **SMALL)
    assert steps.entered.count(Stage.RECORDING) > 1, "it was never refused"
    await made_once(studio, job_id)


async def every_connection(url: str) -> list[psycopg.AsyncConnection[Any]]:
    """All connections that the server has, those of others cut."""
    taken = [await connect(url)]
    [most] = await (await taken[0].execute("SHOW max_connections")).fetchone() or [0]
    async with asyncio.timeout(HUNG_SECONDS):
        while len(taken) < int(most):
            try:
                taken.append(await connect(url))
            except psycopg.OperationalError:
                await taken[0].execute(CUT_OTHERS, [[each.info.backend_pid for each in taken]])
    return taken


async def test_f50_a_transaction_that_could_not_be_serialized_is_done_again(
    studio: RehearsalStudio,
    postgres: OwnPostgres,
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def write_first(job_id: UUID) -> None:
        rival = await connect(postgres.url, autocommit=False)
        await rival.execute(
            "UPDATE anime_api.production_jobs SET progress = progress WHERE id = %s", [job_id]
        )
        tasks.append(asyncio.create_task(commit_once_waited_for(rival)))

    job_id, tasks = uuid4(), list[asyncio.Task[None]]()
    monkeypatch.setattr(
        "anime.runs.execution._HEARTBEAT_SECONDS", 3600.0
    )  # nobody else writes to the job
    steps.at(Stage.RECORDING, write_first)
    async with isolated(postgres.url, "repeatable read"):
        await generate(prompt="two writers", job_id=job_id, **SMALL)
    await asyncio.gather(*tasks)
    assert steps.entered.count(Stage.RECORDING) == 2
    await made_once(studio, job_id)


async def connect(url: str, *, autocommit: bool = True) -> psycopg.AsyncConnection[Any]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return await psycopg.AsyncConnection.connect(plain, autocommit=autocommit)


@asynccontextmanager
async def isolated(url: str, level: str) -> AsyncIterator[None]:
    """New sessions have that isolation level by default."""
    name = make_url(url).database
    await execute(url, f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    try:
        yield
    finally:
        await execute(url, f"ALTER DATABASE {name} RESET default_transaction_isolation")


async def commit_once_waited_for(rival: psycopg.AsyncConnection[Any]) -> None:
    """Let the other transaction find the row changed since it began."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with rival, asyncio.timeout(HUNG_SECONDS):
        while True:
            await rival.execute("SELECT pg_stat_clear_snapshot()")
            if await (await rival.execute(waiting)).fetchone() != (0,):
                return
            await asyncio.sleep(0.02)


async def test_f50_while_the_database_is_away_the_api_says_so_and_nothing_is_half_made(
    postgres: OwnPostgres, redis_url: str
) -> None:
    jobs, parameters = "/api/anime/jobs", {"prompt": "afterwards"}
    async with (
        running_api(gateway_settings(postgres.url, redis_url)) as api,
        httpx.AsyncClient(base_url=api.http_url, trust_env=False) as client,
    ):
        before = (await client.get(jobs)).json()
        await postgres.stop()
        answers = [
            await client.post("/api/anime/generate", json=parameters),
            await client.post("/api/anime/projects", json={"name": "Half Made"}),
            await client.post(f"/api/anime/generation/{uuid4()}/cancel"),
            await client.get(f"/api/anime/generation/{uuid4()}/status"),
            await client.get(jobs),
            await client.get("/api/anime/files"),
        ]
        health = await client.get("/health")
        await postgres.start()
        assert (await client.get(jobs)).json() == before
        projects = (await client.get("/api/anime/projects")).json()["items"]
        taken = await client.post("/api/anime/generate", json=parameters)
        status = await client.get(f"/api/anime/generation/{taken.json()['job_id']}/status")
    assert [answer.status_code for answer in answers] == [503] * len(answers)
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
    assert (health.status_code, projects) == (200, [])
    assert (taken.status_code, status.json()["status"]) == (202, "queued")

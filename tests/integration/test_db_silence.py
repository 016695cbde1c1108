"""PostgreSQL's answers are lost on the way: whoever waits for one learns of it in time."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from inspect import unwrap
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text

from anime.assets.render_result import RenderResult
from anime.comfyui.models import HistoryEntry
from anime.core.paths import FileKind
from anime.db.advisory_lock import SWEEP, advisory_lock
from anime.db.migrate import revision, upgrade
from anime.db.models import ProductionJob
from anime.db.notifications import NotificationListener
from anime.db.repositories import (
    FileRepository,
    JobRepository,
    ProjectRepository,
    TimelineRepository,
)
from anime.db.session import Database
from anime.errors import DatabaseUnavailable, is_retryable
from anime.progress.publisher import ProgressPublisher
from anime.retry_policies import RECORD
from anime.schemas import GenerationRequest
from tasks.files import OrganisedOutputs, PlacedFile
from tasks.progress import Reporter
from tasks.records import begin_attempt, record
from tasks.render_records import leave_server
from tests.integration.old_client import execute
from tests.integration.silent_proxy import SilentProxy, silent_proxy
from tests.support.waiting import HUNG_SECONDS

SHORT_SECONDS = 0.5
IS_WAITED_FOR = (
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    f" AND clock_timestamp() - query_start > '{3 * SHORT_SECONDS} s'"
)
PING = text("SELECT 1")
PLACED = PlacedFile(
    path=Path("/library/a.png"),
    source="a.png",
    kind=FileKind.IMAGES,
    media_type="image/png",
    sha256="ab" * 32,
    size_bytes=1,
)


@pytest_asyncio.fixture
async def proxy(database_url: str) -> AsyncIterator[SilentProxy]:
    async with silent_proxy(database_url) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def long_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine gives those that come at all."""
    monkeypatch.setattr("anime.db.bounded.ANSWER_TIMEOUT_SECONDS", HUNG_SECONDS)


@contextmanager
def short_answers() -> Iterator[None]:
    """One that does not come soon is given up on, while the block lasts."""
    with pytest.MonkeyPatch.context() as impatient:
        impatient.setattr("anime.db.bounded.ANSWER_TIMEOUT_SECONDS", SHORT_SECONDS)
        yield


async def ping(database: Database) -> object:
    async with database.session_scope() as session:
        return await session.scalar(PING)


async def test_an_answer_that_never_comes_is_given_up_on_and_its_connection_replaced(
    proxy: SilentProxy,
) -> None:
    async with asyncio.timeout(HUNG_SECONDS), Database(proxy.url, pool_size=1) as database:
        assert await ping(database) == 1
        proxy.silence_open()
        with short_answers(), pytest.raises(DatabaseUnavailable, match="answer") as lost:
            await ping(database)
        assert is_retryable(lost.value)
        assert await ping(database) == 1
    assert proxy.connections == 2


async def test_five_answers_that_never_come_do_not_stop_a_pool_of_five(proxy: SilentProxy) -> None:
    async with asyncio.timeout(HUNG_SECONDS), Database(proxy.url) as database:
        await asyncio.gather(*(ping(database) for _ in range(5)))
        proxy.silence_all()
        with short_answers():
            pings = (ping(database) for _ in range(5))
            lost = await asyncio.gather(*pings, return_exceptions=True)
        assert [type(each) for each in lost] == [DatabaseUnavailable] * 5
        proxy.answer()
        assert await asyncio.gather(*(ping(database) for _ in range(5))) == [1] * 5


async def test_a_commit_whose_answer_is_lost_is_an_error_and_nothing_is_half_read(
    proxy: SilentProxy, database: Database
) -> None:
    async def write() -> None:
        async with proxied.session_scope() as session:
            await ProjectRepository(session).get_or_create("Rain City")

    async with asyncio.timeout(HUNG_SECONDS), Database(proxy.url, pool_size=1) as proxied:
        proxy.silence_at(b"COMMIT")
        with short_answers(), pytest.raises(DatabaseUnavailable):
            await write()
        async with proxied.session_scope() as session:  # another connection: the next answer fits
            assert await session.scalar(text("SELECT 'its own'")) == "its own"
        await write()  # twice is harmless, as after any lost connection
    async with database.session_scope() as session:
        assert await session.scalar(text("SELECT count(*) FROM anime_api.projects")) == 1


async def test_a_session_may_name_a_time_of_its_own(proxy: SilentProxy) -> None:
    async with asyncio.timeout(HUNG_SECONDS), Database(proxy.url, pool_size=1) as database:
        proxy.silence_at(b"SELECT 1")
        with pytest.raises(DatabaseUnavailable):
            async with database.session_scope(answer_seconds=SHORT_SECONDS) as session:
                await session.execute(PING)
        async with database.session_scope(answer_seconds=2 * SHORT_SECONDS) as session:
            await session.execute(PING)
        # The time was that session's: the next one, on the same connection, has the usual one.
        async with database.session_scope() as session:
            await session.execute(text(f"SELECT pg_sleep({3 * SHORT_SECONDS})"))
    assert proxy.connections == 2


async def test_a_connection_that_was_forgotten_while_idle_is_replaced_unnoticed(
    proxy: SilentProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.db.liveness.PING_TIMEOUT_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr("anime.db.liveness.IDLE_SECONDS", 0.0)
    async with asyncio.timeout(HUNG_SECONDS), Database(proxy.url, pool_size=1) as database:
        assert await ping(database) == 1
        proxy.silence_open()
        assert await ping(database) == 1


async def test_whoever_waits_for_a_notification_hears_it_though_the_connection_was_forgotten(
    proxy: SilentProxy, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.db.notifications.CHECK_SECONDS", SHORT_SECONDS)
    channel, name = "a_channel", str(uuid4())
    async with Database(proxy.url) as database:
        worker_channel = NotificationListener(database.address, channel)
    try:
        async with asyncio.timeout(HUNG_SECONDS):
            with worker_channel.listening_to(name) as notified:
                await notified.wait()  # set once it listens
                notified.clear()
                proxy.silence_open()
                await notified.wait()  # set once it listens anew
                notified.clear()
                await execute(database_url, f"SELECT pg_notify('{channel}', '{name}')")
                await notified.wait()
    finally:
        await worker_channel.close()


async def test_a_notification_that_comes_while_the_connection_is_checked_is_heard(
    proxy: SilentProxy, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.db.notifications.CHECK_SECONDS", 0.0)  # it is checked all the time
    async with Database(proxy.url) as database:
        worker_channel = NotificationListener(database.address, "a_channel")
    try:
        async with asyncio.timeout(HUNG_SECONDS):
            with worker_channel.listening_to("shot 7") as notified:
                for _ in range(20):
                    await notified.wait()
                    notified.clear()
                    await execute(database_url, "SELECT pg_notify('a_channel', 'shot 7')")
                await notified.wait()
        assert proxy.connections == 1
    finally:
        await worker_channel.close()


async def test_the_only_one_learns_that_its_connection_is_lost(proxy: SilentProxy) -> None:
    async with Database(proxy.url) as database:
        address = database.address
    async with asyncio.timeout(HUNG_SECONDS), advisory_lock(address, SWEEP) as turn:
        assert turn is not None
        await turn.confirm()
        proxy.silence_open()
        with short_answers(), pytest.raises(DatabaseUnavailable):
            await turn.confirm()


async def test_a_migration_whose_answer_is_lost_says_so(
    proxy: SilentProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.db.migrate.MIGRATION_TIMEOUT_SECONDS", SHORT_SECONDS)
    async with asyncio.timeout(HUNG_SECONDS):
        proxy.silence_at(b"alembic_version")
        with pytest.raises(DatabaseUnavailable):
            await upgrade(proxy.url)
        proxy.silence_at(b"alembic_version")
        with short_answers(), pytest.raises(DatabaseUnavailable):
            await revision(proxy.url)


async def test_a_migration_may_take_longer_than_a_query(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(database_url) as database, database.session_scope() as session:
        await session.execute(text("LOCK anime_api.alembic_version"))
        with short_answers():
            waiting = asyncio.create_task(upgrade(database_url))
            async with asyncio.timeout(HUNG_SECONDS):
                while not await execute(database_url, IS_WAITED_FOR):
                    assert not waiting.done()
    await waiting


async def test_connections_ask_tcp_to_notice_a_lost_route(proxy: SilentProxy) -> None:
    async with Database(proxy.url) as database, database.autocommit() as session:
        raw = await (await session.connection()).get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        with socket.socket(fileno=socket.dup(driver.fileno())) as asked:
            options = [
                asked.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                asked.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                asked.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                asked.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
                asked.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
            ]
    assert options == [1, 15, 5, 3, 30_000]


async def test_what_a_run_writes_again_as_the_answer_was_lost_is_there_once(
    proxy: SilentProxy, database: Database
) -> None:
    job_id, owner, prompt_id, server = uuid4(), uuid4(), uuid4(), "http://gpu:8188"
    request = GenerationRequest(prompt="a fox")
    async with database.session_scope() as session:
        job = await JobRepository(session).create(job_id, request, workflow="txt2img", seed=7)
        lease = await JobRepository(session).lease(job_id, owner, seconds=HUNG_SECONDS)
    assert lease is not None
    outputs = OrganisedOutputs([PLACED], unkept=("text of node 23",))
    result = RenderResult(
        job_id=job_id,
        request=request,
        seed=7,
        attempt=1,
        prompt_id=prompt_id,
        graph={},
        entry=HistoryEntry(prompt_id=str(prompt_id), succeeded=True),
        comfyui_url=server,
        comfyui_version="0.33.0",
        submitted_at=datetime(2026, 11, 22, tzinfo=UTC),
    )
    reporter = Reporter(ProgressPublisher(None), job_id, job)
    async with Database(proxy.url, pool_size=1) as far:
        with short_answers():
            proxy.silence_at(b"COMMIT")
            await begin_attempt(
                *(far, lease),
                attempt=1,
                prompt_id=prompt_id,
                comfyui_url=server,
                client_id="anime",
            )
            proxy.silence_at(b"COMMIT")
            await leave_server(
                *(far, lease, server),
                why="It died.",
                avoids=True,
                was_killed=True,
                ended_prompt=None,
            )
            proxy.silence_at(b"COMMIT")
            write = partial(unwrap(record), far, lease, result, outputs)
            await RECORD.call(partial(write, thumbnails={}, reporter=reporter))
    async with database.session_scope() as session:
        timeline = await TimelineRepository(session).of_job(job_id)
        row = await session.get_one(ProductionJob, job_id)
        files = await FileRepository(session).of_job(job_id)
    assert (row.servers_killed, row.avoided_servers, len(files)) == (1, [server], 1)
    assert [each.message for each in timeline] == [
        "Submitted.",
        f"Run {owner} began it.",
        f"Attempt 1 at {server}.",
        "It died.",
        "1 file(s) made; not kept: text of node 23.",
        "Completed: /library/a.png",
    ]

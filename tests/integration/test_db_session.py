"""What a program is told when the database is not there or not well."""

import asyncio
import socket
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from anime.db.address import name_of, parse_address
from anime.db.advisory_lock import SWEEP, advisory_lock
from anime.db.dump import dump, snapshot
from anime.db.migrate import upgrade
from anime.db.repositories import ProjectRepository
from anime.db.session import Database
from anime.errors import ConfigurationError, DatabaseUnavailable, is_retryable
from tests.integration.old_client import execute
from tests.support.ports import lasting_port
from tests.support.waiting import HUNG_SECONDS

PING = text("SELECT 1")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_any_postgresql_url_is_taken(scheme: str) -> None:
    address = parse_address(f"{scheme}://studio:secret@db:5433/anime")
    assert address.drivername == "postgresql+psycopg"
    assert name_of(address) == "the database anime on db:5433"


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://u:secret@db/x", "postgresql://u:secret@db"]
)
def test_a_url_that_will_not_do_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ANIME_DATABASE_URL") as refused:
        Database(url)
    assert "secret" not in str(refused.value)


async def test_a_server_that_is_down_is_named_without_its_password() -> None:
    closed_port = lasting_port()
    url = f"postgresql://studio:s3cret@127.0.0.1:{closed_port}/anime"
    async with Database(url) as database:
        with pytest.raises(DatabaseUnavailable) as down:
            async with database.session_scope() as session:
                await session.execute(PING)
    assert f"the database anime on 127.0.0.1:{closed_port}" in str(down.value)
    assert "anime up" in down.value.todo
    assert "ANIME_DATABASE_URL" in down.value.todo
    assert "s3cret" not in str(down.value)
    assert is_retryable(down.value)
    with pytest.raises(DatabaseUnavailable):
        await upgrade(url)


async def test_a_server_whose_sockets_lie_in_a_folder_with_a_space_is_reached_by_all(
    database_url: str, tmp_path: Path
) -> None:
    sockets = tmp_path / "家 +1"
    sockets.symlink_to(str(make_url(database_url).query["host"]))
    url = make_url(database_url).set(query={"host": str(sockets)}).render_as_string()
    async with asyncio.timeout(HUNG_SECONDS), Database(url) as database:
        async with advisory_lock(database.address, SWEEP) as turn:
            assert turn is not None
        notifications = database.listener("a_channel")
        with notifications.listening_to("anything") as notified:
            await notified.wait()  # as soon as it listens
        await notifications.close()
        async with snapshot(database.address) as moment:
            await dump(database.address, tmp_path / "dump", moment)
    assert (tmp_path / "dump" / "toc.dat").is_file()


async def test_a_server_that_accepts_and_says_nothing_is_given_up_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("anime.db.bounded.CONNECT_TIMEOUT_SECONDS", 2)  # libpq's smallest
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://studio@127.0.0.1:{mute.getsockname()[1]}/anime"
        async with Database(url) as database:
            with pytest.raises(DatabaseUnavailable, match="timeout"):
                async with database.session_scope() as session:
                    await session.execute(PING)


async def test_a_database_that_does_not_exist_is_named(database_url: str) -> None:
    url = make_url(database_url).set(database="nowhere").render_as_string(hide_password=False)
    async with Database(url) as database:
        with pytest.raises(DatabaseUnavailable, match='database "nowhere" does not exist'):
            async with database.session_scope() as session:
                await session.execute(PING)


async def test_connections_that_the_server_ended_are_replaced(
    database: Database, database_url: str
) -> None:
    async with database.session_scope() as session:
        await session.execute(PING)
    await execute(
        database_url,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    async with database.session_scope() as session:
        assert await session.scalar(PING) == 1


@pytest.mark.usefixtures("new_sessions")
async def test_credentials_that_change_while_a_connection_opens_fail_nobody(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_PASSWORD", "any: the tests' server asks for none")
    address = make_url(database_url).set(password="SECRET").render_as_string(hide_password=False)
    newest = count()
    monkeypatch.setattr(
        "anime.db.credentials.known_value", lambda text: f"{text}?generation={next(newest)}"
    )
    async with Database(address.replace("SECRET", "{env:STUDIO_PASSWORD}")) as database:
        backends = set()
        for _ in range(3):
            async with database.autocommit() as session:
                backends.add(await session.scalar(text("SELECT pg_backend_pid()")))
    assert len(backends) == 3


async def test_a_connection_that_is_lost_within_a_transaction_is_worth_a_retry(
    database: Database, database_url: str
) -> None:
    async def lose_connection() -> None:
        async with database.session_scope() as session:
            pid = await session.scalar(text("SELECT pg_backend_pid()"))
            await execute(database_url, f"SELECT pg_terminate_backend({pid}, 10000)")
            await session.execute(PING)

    with pytest.raises(DatabaseUnavailable) as lost:
        await lose_connection()
    assert is_retryable(lost.value)


async def test_a_pool_without_a_free_connection_says_so(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.db.session.POOL_TIMEOUT_SECONDS", 0.05)
    async with Database(database_url, pool_size=1) as database, database.session_scope() as held:
        await held.execute(PING)
        with pytest.raises(DatabaseUnavailable, match="came free"):
            async with database.session_scope() as waiting:
                await waiting.execute(PING)


async def test_a_block_that_raises_changes_nothing(database: Database) -> None:
    async def write_and_raise() -> None:
        async with database.session_scope() as session:
            await ProjectRepository(session).get_or_create("Rain City")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_and_raise()
    async with database.session_scope() as session:
        assert await session.scalar(text("SELECT count(*) FROM anime_api.projects")) == 0


async def test_a_run_that_is_cancelled_gives_its_connection_back(database_url: str) -> None:
    async with Database(database_url, pool_size=1) as database:

        async def wait_long() -> None:
            async with database.session_scope() as session:
                started.set()
                await session.execute(text("SELECT pg_sleep(30)"))

        started = asyncio.Event()
        task = asyncio.create_task(wait_long())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(HUNG_SECONDS), database.session_scope() as session:
            assert await session.scalar(PING) == 1


async def test_moments_come_back_in_utc_whatever_the_server_thinks(database: Database) -> None:
    async with database.session_scope() as session:
        assert await session.scalar(text("SHOW TimeZone")) == "UTC"

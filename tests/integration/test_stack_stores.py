"""The embedded PostgreSQL and Valkey: they keep their data, and keep others out."""

import os
import re
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import psutil
import psycopg
import pytest
import redis.asyncio
from sqlalchemy import make_url

from anime.errors import ConfigurationError, StackError
from anime.stack.home import prepare_home
from anime.stack.postgres import EmbeddedPostgres, prepare_postgres
from anime.stack.postgres_cluster import prepare_cluster
from anime.stack.supervisor import Supervisor
from tests.support.embedded import embedded_postgres, embedded_valkey


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    prepare_home(tmp_path)
    postgres = prepare_postgres(tmp_path)
    yield postgres
    postgres.remove_sockets()
    postgres.discard()


async def connect(url: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return await psycopg.AsyncConnection.connect(address, autocommit=True)


async def ask(url: str, question: str) -> object:
    async with await connect(url) as connection:
        row = await (await connection.execute(question)).fetchone()
    return row[0] if row else None


async def test_both_databases_are_there_and_each_driver_reaches_its_own(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path) as urls:
        assert await ask(urls.database, "SELECT current_database()") == "anime_production"
        prefect = make_url(urls.prefect)
        connection = await asyncpg.connect(
            host=prefect.query["host"], user=prefect.username, database=prefect.database
        )
        try:
            await connection.execute("CREATE EXTENSION pg_trgm")  # Prefect's migrations want it
            found = await connection.fetchval("SELECT current_database()")
        finally:
            await connection.close()
    assert found == "anime_production_prefect"


async def test_postgresql_listens_on_no_port_and_in_a_private_folder(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path) as urls:
        assert await ask(urls.database, "SHOW listen_addresses") == ""
        assert await ask(urls.database, "SHOW fsync") == "on"
        folder = Path(str(make_url(urls.database).query["host"]))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_another_role_does_not_get_in(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path) as urls:
        stranger = make_url(urls.database).set(username="postgres").render_as_string()
        with pytest.raises(psycopg.OperationalError, match="eer authentication failed"):
            await connect(stranger)


async def test_data_outlives_a_kill_of_all_and_a_stale_pid_file(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    supervisor = Supervisor()
    await supervisor.start(postgres.part(tmp_path))
    await postgres.create_databases()
    async with await connect(postgres.urls.database) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS seed")
    os.kill(supervisor.running()["postgresql"].pid, signal.SIGKILL)
    await supervisor.stop()
    # The number in the pid file is now that of another living process.
    pid_file = postgres.data / "postmaster.pid"
    pid_file.write_text(re.sub(r"^\d+", str(os.getpid()), pid_file.read_text()))
    again, supervisor = prepare_postgres(tmp_path), Supervisor()
    await supervisor.start(again.part(tmp_path))
    try:
        assert await ask(again.urls.database, "SELECT seed FROM kept") == 7
    finally:
        await supervisor.stop()


async def test_a_server_on_the_same_data_is_named(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    supervisor = Supervisor()
    await supervisor.start(postgres.part(tmp_path))
    pid = supervisor.running()["postgresql"].pid
    try:
        with pytest.raises(StackError, match=rf"already runs .*process {pid}\)"):
            prepare_postgres(tmp_path)
    finally:
        await supervisor.stop()


async def test_data_of_another_major_version_are_an_error(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    (postgres.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(ConfigurationError, match="written by PostgreSQL 12; the one installed is"):
        prepare_cluster(tmp_path)


async def test_an_interrupted_first_start_is_made_good(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path):
        pass
    prepare_home(tmp_path)
    unfinished = prepare_cluster(tmp_path).base
    (unfinished / "data").rename(unfinished / "data.new")
    async with embedded_postgres(tmp_path) as urls:
        assert await ask(urls.database, "SELECT 1") == 1


async def test_a_long_path_moves_the_sockets_only(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    async with embedded_valkey(home) as url, redis.asyncio.from_url(url) as client:
        assert await client.ping()
        assert len(url) < 60
    assert not Path(url.removeprefix("unix://").split("?")[0]).parent.exists()


async def test_valkey_keeps_its_data_and_opens_no_port(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url, redis.asyncio.from_url(url) as client:
        await client.set("shot", "7")
        assert await client.config_get("port") == {"port": "0"}
        pid = (await client.info("server"))["process_id"]
    assert not psutil.pid_exists(pid)
    async with embedded_valkey(tmp_path) as url, redis.asyncio.from_url(url) as client:
        assert await client.get("shot") == b"7"


async def test_valkey_lives_in_database_1_in_a_private_folder(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        assert url.endswith("/valkey.sock?db=1")
        assert stat.S_IMODE((tmp_path / "valkey").stat().st_mode) == 0o700

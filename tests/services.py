"""Real services: one of each for all tests that run in a process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

import pytest
import pytest_asyncio
from sqlalchemy import make_url

from anime.db.migrate import upgrade
from anime.db.session import Database
from anime.stack.postgres import DATABASE
from tests.integration.old_client import execute
from tests.support import kept_sessions
from tests.support.embedded import embedded_postgres, embedded_valkey
from tests.support.prepared_cluster import prepared_clusters
from tests.support.pristine_database import PristineDatabase

TEMPLATE = "migrated"
_numbers = count(1)


def _with_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


async def _create(server: str, template: str) -> str:
    name = f"test_{next(_numbers)}"
    # A third of the time that it takes to write the copy into the log as well.
    await execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return name


async def _drop(server: str, name: str) -> None:
    await execute(server, f"DROP DATABASE {name} WITH (FORCE)")


class MigratedDatabases:
    """Databases of one server, lent to one test at a time; cleared, they serve the next.

    To create one costs a quarter of a second of a processor where files are slow to create.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._spare: list[tuple[str, PristineDatabase]] = []

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[str]:
        """A database without rows, for as long as the block lasts."""
        if self._spare:
            name, pristine = self._spare.pop()
        else:
            name = await _create(self._server, TEMPLATE)
            kept_sessions.keep_sessions(make_url(_with_database(self._server, name)))
            pristine = await PristineDatabase.of(_with_database(self._server, name))
        url = _with_database(self._server, name)
        try:
            yield url
        finally:
            if await pristine.restore():
                self._spare.append((name, pristine))
            else:
                await pristine.aclose()
                kept_sessions.end_sessions(make_url(url))
                await _drop(self._server, name)

    async def close(self) -> None:
        """Let go of those that nobody uses."""
        for _, pristine in self._spare:
            await pristine.aclose()


@pytest_asyncio.fixture(scope="session")
async def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """An embedded PostgreSQL, by the URL of a database that no test uses."""
    async with AsyncExitStack() as stack:
        with prepared_clusters():
            folder = tmp_path_factory.mktemp("services")
            urls = await stack.enter_async_context(embedded_postgres(folder))
        for name in ("fsync", "full_page_writes", "synchronous_commit"):  # it lives for minutes
            await execute(urls.database, f"ALTER SYSTEM SET {name} = off")
        await execute(urls.database, "SELECT pg_reload_conf()")
        await execute(urls.database, f"CREATE DATABASE {TEMPLATE} TEMPLATE {DATABASE}")
        await upgrade(_with_database(urls.database, TEMPLATE))  # no copy where nothing is forked
        yield urls.database


@pytest_asyncio.fixture(scope="session")
async def migrated_databases(postgres_url: str) -> AsyncIterator[MigratedDatabases]:
    """The databases of that server that `database_url` lends."""
    databases = MigratedDatabases(postgres_url)
    yield databases
    await databases.close()


@pytest.fixture
def new_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection of the test has a session of its own, and no other is there."""
    kept_sessions.end_spare()
    monkeypatch.setattr(kept_sessions, "MOST_SPARE", 0)


@pytest_asyncio.fixture
async def database_url(migrated_databases: MigratedDatabases) -> AsyncIterator[str]:
    """A migrated database without rows, for one test."""
    async with migrated_databases.lend() as url:
        yield url


@pytest_asyncio.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database that was never migrated, for one test."""
    name = await _create(postgres_url, "template0")
    try:
        yield _with_database(postgres_url, name)
    finally:
        await _drop(postgres_url, name)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool of connections to `database_url`."""
    async with Database(database_url) as database:
        yield database


@pytest_asyncio.fixture(scope="session")
async def redis_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """An embedded Valkey."""
    async with embedded_valkey(tmp_path_factory.mktemp("valkey")) as url:
        yield url

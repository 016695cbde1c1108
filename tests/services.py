"""Real services: fixtures that the test folders take what they need from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
import pytest_asyncio
from sqlalchemy import make_url

from anime.db.migrate import upgrade
from anime.db.session import Database
from anime.stack.postgres import embedded_postgres
from anime.stack.valkey import embedded_valkey
from tests.integration.old_client import execute

TEMPLATE = "migrated"
_numbers = count(1)


def _with_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@asynccontextmanager
async def _own_database(server: str, template: str) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    # A third of the time that it takes to write the copy into the log as well.
    await execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield _with_database(server, name)
    finally:
        await execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture(scope="session")
async def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """An embedded PostgreSQL, by the URL of a database that no test uses."""
    async with embedded_postgres(tmp_path_factory.mktemp("services")) as urls:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):  # it lives for minutes
            await execute(urls.database, f"ALTER SYSTEM SET {name} = off")
        await execute(urls.database, "SELECT pg_reload_conf()")
        await execute(urls.database, f"CREATE DATABASE {TEMPLATE}")
        await upgrade(_with_database(urls.database, TEMPLATE))
        yield urls.database


@pytest_asyncio.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """A migrated database without rows, for one test."""
    async with _own_database(postgres_url, TEMPLATE) as url:
        yield url


@pytest_asyncio.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database that was never migrated, for one test."""
    async with _own_database(postgres_url, "template0") as url:
        yield url


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

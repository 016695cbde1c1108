"""PostgreSQL and Valkey as `anime up` has them, without the rest."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anime.stack.postgres import PostgresUrls, serving_postgres
from anime.stack.valkey import serving_valkey


@asynccontextmanager
async def embedded_valkey(home: Path) -> AsyncIterator[str]:
    """A running Valkey with its data below `home`; yields its URL."""
    async with serving_valkey(home) as valkey:
        yield valkey.url


@asynccontextmanager
async def embedded_postgres(home: Path) -> AsyncIterator[PostgresUrls]:
    """A running PostgreSQL with its data below `home`, deleted at the end."""
    postgres = None
    try:
        async with serving_postgres(home) as postgres:
            yield postgres.urls
    finally:
        if postgres:
            postgres.discard()

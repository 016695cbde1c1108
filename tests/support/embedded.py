"""PostgreSQL and Valkey as `anime up` has them, without the rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anime.stack.home import prepare_home
from anime.stack.postgres import PostgresUrls, serving_postgres
from anime.stack.supervisor import Supervisor
from anime.stack.valkey import prepare_valkey


@asynccontextmanager
async def embedded_valkey(home: Path) -> AsyncIterator[str]:
    """A running Valkey with its data below `home`; yields its URL."""
    prepare_home(home)
    valkey = await asyncio.to_thread(prepare_valkey, home)
    supervisor = Supervisor()
    try:
        await supervisor.start(valkey.part(home / "logs"))
        yield valkey.url
    finally:
        await supervisor.stop()
        valkey.remove_sockets()


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

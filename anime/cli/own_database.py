"""The studio's database and Redis for commands that work while nothing else runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anime.settings import Settings


@asynccontextmanager
async def own_database_url(settings: "Settings") -> AsyncIterator[str]:
    """The URL; if none is set and no stack runs, the embedded one is started for the block.

    Raises:
        StackError: the embedded one does not start.
    """
    from anime.settings.addresses import database_address

    if settings.database_url is not None:
        yield database_address(settings)
        return
    from anime.stack.postgres import serving_postgres

    async with serving_postgres(settings.home) as postgres:
        yield postgres.urls.database


@asynccontextmanager
async def own_redis_url(settings: "Settings") -> AsyncIterator[str | None]:
    """The same of Redis; None if there is none, and the embedded one has never run.

    Raises:
        ConfigurationError: the stack starts just now.
        StackError: the embedded one does not start.
    """
    from anime.settings.addresses import redis_address
    from anime.stack.home import locked_home
    from anime.stack.valkey import DATA, serving_valkey

    if settings.redis_url is not None or not (settings.home / DATA).is_dir():
        yield redis_address(settings)
        return
    async with locked_home(settings.home), serving_valkey(settings.home) as valkey:
        yield valkey.url

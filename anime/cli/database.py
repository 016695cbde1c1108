"""Reading the database from a command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from anime.settings import Settings


@asynccontextmanager
async def database_session(settings: "Settings") -> "AsyncIterator[AsyncSession]":
    """One transaction in the studio's database.

    Raises:
        ConfigurationError: no database is known.
        DatabaseUnavailable: it does not answer.
    """
    from anime.db.session import Database
    from anime.settings.addresses import database_address

    async with (
        Database(database_address(settings)) as database,
        database.session_scope() as session,
    ):
        yield session

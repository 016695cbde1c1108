"""One at a time in the whole studio: a lock that PostgreSQL frees when its holder dies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from psycopg import Error
from sqlalchemy import URL

from anime.db.address import libpq_url, name_of
from anime.db.bounded import BoundedConnection, connect_arguments
from anime.errors import DatabaseUnavailable

BACKUP = 0x6261636B7570  # "backup"
SWEEP = 0x7377656570  # "sweep"


class AdvisoryLock:
    """The right to be the only one, for as long as the connection that holds it lives."""

    def __init__(self, connection: BoundedConnection, address: URL) -> None:
        self._connection = connection
        self._address = address

    async def confirm(self) -> None:
        """Make sure that it still is ours.

        Raises:
            DatabaseUnavailable: the connection was lost, and somebody else may have taken over.
        """
        try:
            await self._connection.execute("SELECT 1")
        except Error as fault:
            raise _lost(self._address) from fault


@asynccontextmanager
async def advisory_lock(address: URL, key: int) -> AsyncIterator[AdvisoryLock | None]:
    """A turn for as long as the block lasts; None when another program has it.

    A session's advisory lock on a connection of its own: it needs no clearing up, whatever
    happens to the process.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    try:
        connection = await BoundedConnection.connect(
            libpq_url(address), autocommit=True, **connect_arguments(address)
        )
    except Error as fault:
        raise _lost(address) from fault
    try:
        yield AdvisoryLock(connection, address) if await _lock(connection, address, key) else None
    finally:
        with suppress(Error):
            # Closing would free it, too, but a moment later: the next one need not wait for that.
            await connection.execute("SELECT pg_advisory_unlock_all()")
        await connection.close()


async def _lock(connection: BoundedConnection, address: URL, key: int) -> bool:
    try:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (key,))
        got = await cursor.fetchone()
    except Error as fault:
        raise _lost(address) from fault
    return bool(got and got[0])


def _lost(address: URL) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"PostgreSQL does not serve {name_of(address)}.",
        "Start everything with `anime up`, or correct ANIME_DATABASE_URL; sweep again then.",
    )

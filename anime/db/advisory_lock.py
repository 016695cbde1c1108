"""One at a time in the whole studio: a lock that PostgreSQL frees when its holder dies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from psycopg import AsyncConnection, Error
from sqlalchemy import URL

from anime.db.address import name_of
from anime.errors import DatabaseUnavailable

SWEEP = 0x7377656570  # "sweep"
CONNECT_TIMEOUT_SECONDS = 5


class AdvisoryLock:
    """The right to be the only one, for as long as the connection that holds it lives."""

    def __init__(self, connection: AsyncConnection, address: URL) -> None:
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
    url = address.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await AsyncConnection.connect(
            url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            keepalives_idle=30,  # seconds: it says nothing for as long as a batch takes
        )
    except Error as fault:
        raise _lost(address) from fault
    async with connection:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (key,))
        got = await cursor.fetchone()
        try:
            yield AdvisoryLock(connection, address) if got and got[0] else None
        finally:
            # Closing would free it, too, but a moment later: the next one need not wait for that.
            with suppress(Error):
                await connection.execute("SELECT pg_advisory_unlock_all()")


def _lost(address: URL) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"PostgreSQL does not serve {name_of(address)}.",
        "Start everything with `anime up`, or correct ANIME_DATABASE_URL; sweep again then.",
    )

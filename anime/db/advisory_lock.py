"""One at a time in the whole studio: a lock that PostgreSQL frees when its holder dies."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from psycopg import Error, sql
from psycopg.errors import LockNotAvailable
from sqlalchemy import URL

from anime.db.address import libpq_url, name_of
from anime.db.bounded import BoundedConnection, connect_arguments
from anime.errors import DatabaseUnavailable

BACKUP = 0x6261636B7570  # "backup"
SWEEP = 0x7377656570  # "sweep"
LOW_DISK = 0x6469736B  # "disk": shared by all who find theirs low


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
async def advisory_lock(
    address: URL, key: int, *, is_shared: bool = False, wait_seconds: float = 0.0
) -> AsyncIterator[AdvisoryLock | None]:
    """A turn for as long as the block lasts; None when another program has it, after so long.

    `is_shared`: others that share it may have it as well.

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
        has_turn = await _lock(
            connection, address, key, is_shared=is_shared, wait_seconds=wait_seconds
        )
        yield AdvisoryLock(connection, address) if has_turn else None
    finally:
        with suppress(Error):
            # Closing would free it, too, but a moment later: the next one need not wait for that.
            await connection.execute("SELECT pg_advisory_unlock_all()")
        await connection.close()


async def _lock(
    connection: BoundedConnection, address: URL, key: int, *, is_shared: bool, wait_seconds: float
) -> bool:
    name = f"pg_{'' if wait_seconds else 'try_'}advisory_lock{'_shared' if is_shared else ''}"
    query = sql.SQL("SELECT {}(%s)").format(sql.Identifier(name))
    try:
        await connection.execute(f"SET lock_timeout = {math.ceil(1000 * wait_seconds)}")
        got = await (await connection.execute(query, (key,))).fetchone()
    except LockNotAvailable:
        return False
    except Error as fault:
        raise _lost(address) from fault
    return got != (False,)  # one that waits says nothing


def _lost(address: URL) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"PostgreSQL does not serve {name_of(address)}.",
        "Start everything with `anime up`, or correct ANIME_DATABASE_URL; sweep again then.",
    )

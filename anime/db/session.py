"""Connections and transactions: `session_scope` is the only place that commits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from anime.db.address import parse_address
from anime.db.error_messages import errors_explained
from anime.db.liveness import replace_dead_connections
from anime.db.notifications import NotificationListener

NOTIFY_CHANNEL = "anime_bells"  # NOTIFY: a word of `notifications`, for the run of that job
CONNECT_TIMEOUT_SECONDS = 5
POOL_TIMEOUT_SECONDS = 10
STATEMENT_TIMEOUT_SECONDS = 30
_SERVER_OPTIONS = {
    "timezone": "UTC",
    "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{2 * STATEMENT_TIMEOUT_SECONDS}s",
}


class Database:
    """A pool of connections to the studio's database, for one event loop."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.address = parse_address(url)
        self._engine = create_async_engine(
            self.address,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            connect_args=_connect_arguments(self.address),
        )
        replace_dead_connections(self._engine.sync_engine)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        single = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._readers = async_sessionmaker(single, expire_on_commit=False)
        self.notifications = NotificationListener(self.address, NOTIFY_CHANNEL)

    @asynccontextmanager
    async def session_scope(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer, or lacks our tables.
            InvalidRequest: a value that it cannot hold was written.
        """
        with errors_explained(self.address):
            async with self._sessions.begin() as session:
                yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Each query for itself, one round trip instead of three; nothing is to be written.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer, or lacks our tables.
        """
        with errors_explained(self.address):
            async with self._readers() as session:
                yield session

    async def dispose(self) -> None:
        """Close the connections that are not in use."""
        await self.notifications.close()
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.dispose()


def _connect_arguments(address: URL) -> dict[str, str | int]:
    """What libpq is told, apart from the URL; `options` of the URL come last and win."""
    given = address.query.get("options", ())
    options = [f"-c {name}={value}" for name, value in _SERVER_OPTIONS.items()]
    options += [given] if isinstance(given, str) else given
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "tcp_user_timeout": STATEMENT_TIMEOUT_SECONDS * 1000,
        "options": " ".join(options),
    }

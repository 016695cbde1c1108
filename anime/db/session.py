"""Connections and transactions: nothing else commits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from anime.db.address import parse_address
from anime.db.bounded import STATEMENT_TIMEOUT_SECONDS, BoundedConnection, connect_arguments
from anime.db.credentials import FollowedReferences
from anime.db.error_messages import errors_explained
from anime.db.liveness import answer_within, replace_dead_connections
from anime.db.notifications import NotificationListener
from anime.settings.secret_references import has_references

# Named as earlier releases name it, which may run beside this one.
NOTIFY_CHANNEL = "anime_bells"  # NOTIFY: a word of `notifications`, for the run of that job
POOL_TIMEOUT_SECONDS = 10
_SERVER_SETTINGS = {
    "timezone": "UTC",
    "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{2 * STATEMENT_TIMEOUT_SECONDS}s",
}


class Database:
    """A pool of connections to the studio's database, for one event loop.

    Its URL may have references, which count anew for each connection.
    """

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self._url = url
        self._address = parse_address(url)
        self._engine = create_async_engine(
            self._address,
            use_native_hstore=False,  # or each engine would look for that type first
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            connect_args={
                "async_creator_fn": BoundedConnection.connect,
                **connect_arguments(self._address, _SERVER_SETTINGS),
            },
        )
        replace_dead_connections(self._engine.sync_engine)
        # After it, which looks at what is put back before that may be closed.
        self._references = FollowedReferences(self._engine, url) if has_references(url) else None
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        single = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._autocommitting = async_sessionmaker(single, expire_on_commit=False)
        self.notifications = self.listener(NOTIFY_CHANNEL)

    @property
    def address(self) -> URL:
        """Where it is, with what its references stand for now; it may wait for Vault."""
        return parse_address(self._url) if self._references else self._address

    def listener(self, channel: str) -> NotificationListener:
        """One that listens on that channel, on a connection of its own."""
        text = self._url if self._references else None
        return NotificationListener(self._address, channel, text=text)

    @asynccontextmanager
    async def session_scope(
        self, *, answer_seconds: float | None = None
    ) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Args:
            answer_seconds: how long PostgreSQL may take to answer each statement, for whoever
                cannot wait as long as usual.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer, or lacks our tables.
            InvalidRequest: a value that it cannot hold was written.
        """
        with errors_explained(self._address):
            async with self._sessions.begin() as session:
                if answer_seconds is not None:
                    raw = await (await session.connection()).get_raw_connection()
                    answer_within(raw.driver_connection, answer_seconds)
                yield session

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[AsyncSession]:
        """Each statement is a transaction of its own: one round trip instead of three.

        Raises as `session_scope` does; what was written before stays.
        """
        with errors_explained(self._address):
            async with self._autocommitting() as session:
                yield session

    async def dispose(self) -> None:
        """Close the connections that are not in use."""
        await self.notifications.close()
        if self._references is not None:
            await self._references.close()
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dispose()

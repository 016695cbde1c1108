"""Connections whose credentials are references, and change while the program runs.

Each connection knows with which credentials it was opened. Once there are others, whoever wants it
gets a new connection instead, one that comes back is closed, and those that are idle are replaced:
the credentials of before end some time later, at Vault's will.
"""

import asyncio
import re
from contextlib import suppress
from typing import Any

from psycopg import OperationalError
from sqlalchemy import URL, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool
from sqlalchemy.util import await_only

from anime.db.address import url_of
from anime.errors import AnimeError
from anime.settings.secret_changes import SecretChanges
from anime.settings.secret_references import known_value, refresh_references, resolve_reference

# In what the pool notes of a connection:
_OPENED_WITH = "anime.opened_with"  # the URL
_WAS_USED = "anime.was_used"
# What the URL says; all else is set for the engine, whatever the URL.
_OF_THE_URL = ("user", "password", "host", "port", "dbname")
# libpq tells no code of an error before the connection is made: only these words.
_REFUSAL = re.compile(r'authentication failed|role ".*" (does not exist|is not permitted)')


class CredentialsUnknown(OperationalError):
    """A reference has no value now, so that no connection can be opened; `fault` says why."""

    def __init__(self, fault: AnimeError) -> None:
        super().__init__(fault.what)
        self.fault = fault


class FollowedReferences:
    """What the references of an engine's URL stand for, followed until `close`."""

    def __init__(self, engine: AsyncEngine, text: str) -> None:
        """Have the engine open each connection with what the references stand for then."""
        self._engine, self._text = engine, text
        self._changes = SecretChanges(text, self._replace_idle)
        event.listen(engine.sync_engine, "do_connect", self._connect)
        event.listen(engine.sync_engine, "checkout", self._take_out)
        event.listen(engine.sync_engine, "checkin", self._put_back)

    async def close(self) -> None:
        """Follow them no more."""
        await self._changes.close()

    def _connect(
        self,
        dialect: Dialect,
        entry: ConnectionPoolEntry,
        words: list[str],
        names: dict[str, Any],
    ) -> DBAPIConnection:
        self._changes.begin()
        try:
            # In a thread, as Vault may be slow: other connections of the loop go on.
            url = await_only(asyncio.to_thread(resolve_reference, self._text))
            try:
                return _opened(dialect, entry, words, names, url)
            except OperationalError as fault:
                if not _is_refusal(fault):
                    raise
                newer = await_only(asyncio.to_thread(refresh_references, self._text))
                if newer == url:
                    raise
                return _opened(dialect, entry, words, names, newer)
        except AnimeError as fault:
            raise CredentialsUnknown(fault) from fault

    def _take_out(
        self, connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        del connection, proxy
        if not entry.info.get(_WAS_USED):
            # New, so good for some time yet. Replaced again, it would fail whoever waits for it.
            entry.info[_WAS_USED] = True
        elif self._is_older(entry):
            raise DisconnectionError("its credentials have been replaced")

    def _put_back(self, connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        if connection is not None and self._is_older(entry):
            entry.invalidate()

    def _is_older(self, entry: ConnectionPoolEntry) -> bool:
        url = known_value(self._text)
        return url is not None and entry.info.get(_OPENED_WITH) != url

    async def _replace_idle(self) -> None:
        """Take each idle connection out and put it back: the first in is the first out."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101  the only kind that we have
        for _ in range(pool.checkedin()):
            # An old one is closed even if no new one opens: then its next user opens it.
            with suppress(SQLAlchemyError, OSError):
                async with self._engine.connect():
                    pass


def _opened(
    dialect: Dialect,
    entry: ConnectionPoolEntry,
    words: list[str],
    names: dict[str, Any],
    url: str,
) -> DBAPIConnection:
    _, given = dialect.create_connect_args(url_of(url))
    ours = {name: given[name] for name in _OF_THE_URL if name in given}
    opened = dialect.connect(*words, **(names | ours))
    entry.info[_OPENED_WITH] = url
    return opened


def _is_refusal(fault: OperationalError) -> bool:
    """Whether PostgreSQL does not know the user, or not with that password."""
    return _REFUSAL.search(str(fault)) is not None


def is_replaced(address: URL, text: str) -> bool:
    """Whether a connection that was opened with that address is to be replaced."""
    url = known_value(text)
    return url is not None and url_of(url) != address

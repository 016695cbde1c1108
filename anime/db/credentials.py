"""Connections whose credentials are references, and change while the program runs.

Each connection knows with which credentials it was opened. Once there are others, the next one who
wants it gets a new connection instead: those of before end some time later, at Vault's will.
"""

import asyncio
import re
from typing import Any

from psycopg import OperationalError
from sqlalchemy import URL, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util import await_only

from anime.db.address import url_of
from anime.settings.secret_references import (
    known_value,
    refresh_references,
    resolve_reference,
)

# In what the pool notes of a connection:
_OPENED_WITH = "anime.opened_with"  # the URL
_WAS_USED = "anime.was_used"
# What the URL says; all else is set for the engine, whatever the URL.
_OF_THE_URL = ("user", "password", "host", "port", "dbname")
# libpq tells no code of an error before the connection is made: only these words.
_REFUSAL = re.compile(r'authentication failed|role ".*" (does not exist|is not permitted)')


def follow_references(engine: Engine, text: str) -> None:
    """Have the engine open each connection with what the references stand for then."""

    def connect(
        dialect: Dialect, entry: ConnectionPoolEntry, words: list[str], names: dict[str, Any]
    ) -> DBAPIConnection:
        # In a thread, as Vault may be slow: other connections of the loop go on.
        url = await_only(asyncio.to_thread(resolve_reference, text))
        try:
            return _opened(dialect, entry, words, names, url)
        except OperationalError as fault:
            if not _is_refusal(fault):
                raise
            newer = await_only(asyncio.to_thread(refresh_references, text))
            if newer == url:
                raise
            return _opened(dialect, entry, words, names, newer)

    def take_out(
        connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        del connection, proxy
        if not entry.info.get(_WAS_USED):
            # New, so good for some time yet. Replaced again, it would fail whoever waits for it.
            entry.info[_WAS_USED] = True
            return
        url = known_value(text)
        if url is not None and entry.info.get(_OPENED_WITH) != url:
            raise DisconnectionError("its credentials have been replaced")

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", take_out)


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

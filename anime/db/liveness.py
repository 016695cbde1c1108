"""Pooled connections that have died meanwhile are replaced before they are used again.

SQLAlchemy's own `pool_pre_ping` asks the server each time: one round trip of the four that a
short transaction takes. A server that ends says so on the socket, which costs no trip to see.
"""

import select
import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from anime.db.bounded import BoundedConnection

IDLE_SECONDS = 30.0  # after which something between us may have forgotten the connection
PING_TIMEOUT_SECONDS = 5.0
_IDLE_SINCE = "anime.idle_since"  # by time.monotonic(), in what the pool notes of a connection


def replace_dead_connections(engine: Engine) -> None:
    """Have the engine's pool look at each connection before it gives it out."""

    def put_back(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        if connection is not None:
            answer_within(entry.driver_connection, None)
        entry.info[_IDLE_SINCE] = time.monotonic()

    def take_out(
        connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        del proxy
        idle_since = entry.info.get(_IDLE_SINCE)
        if idle_since is None:  # it is new
            return
        driver = entry.driver_connection
        if time.monotonic() - idle_since < IDLE_SECONDS and not _has_said(driver):
            return
        try:
            answer_within(driver, PING_TIMEOUT_SECONDS)
            engine.dialect.do_ping(connection)
            answer_within(driver, None)
        except engine.dialect.loaded_dbapi.Error as fault:
            raise InvalidatePoolError from fault  # all that are as old have died with it

    event.listen(engine, "checkin", put_back)
    event.listen(engine, "checkout", take_out)


def answer_within(connection: Any, seconds: float | None) -> None:  # SQLAlchemy knows no type
    """Set how long the server may take to answer each statement; None: as long as usual."""
    assert isinstance(connection, BoundedConnection)  # noqa: S101  the only kind that we open
    connection.answer_seconds = seconds


def _has_said(connection: Any) -> bool:  # psycopg's; SQLAlchemy does not know its type
    """Whether the server has sent something unasked, as it does when it ends."""
    if connection.closed:
        return True
    watch = select.poll()
    watch.register(connection.fileno(), select.POLLIN)
    return bool(watch.poll(0))

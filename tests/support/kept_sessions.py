"""Sessions of PostgreSQL that one test has closed serve the tests after it.

A new one costs 5 ms of CPU, half of them the kernel's, and as much again to read what it plans
with. What a test gets is a new connection to an old session, of which `DISCARD ALL` has made a new
one. It is so for databases that serve one test after the other, and for programs that run in the
tests' process.
"""

import select
from typing import Any, TypeAlias

from psycopg import AsyncConnection, pq
from psycopg.abc import PQGenConn
from psycopg.pq.abc import PGconn
from sqlalchemy import URL

MOST_SPARE = 8  # of a database
Place: TypeAlias = tuple[str, str]  # the folder of the server's socket, and the database

_spare: dict[Place, list[tuple[str, PGconn]]] = {}  # beside what they were connected with
_connect = AsyncConnection._connect_gen.__func__  # type: ignore[attr-defined]
_close = AsyncConnection.close
_closed = pq.PGconn.connect_start(b"host=/none")
_closed.finish()


def keep_sessions(database: URL) -> None:
    """Keep what is closed of that database."""
    _spare[_place(database)] = []


def end_sessions(database: URL) -> None:
    """End what was kept of that database, and keep nothing more."""
    for _, session in _spare.pop(_place(database), []):
        session.finish()


def end_spare() -> None:
    """End all that no test uses."""
    for spare in _spare.values():
        while spare:
            spare.pop()[1].finish()


def pids_of_spare(database: URL) -> list[int]:
    """The sessions of that database that no test uses."""
    return [session.backend_pid for _, session in _spare.get(_place(database), [])]


def _place(database: URL) -> Place:
    return str(database.query["host"]), str(database.database)


def _connect_gen(cls: type[AsyncConnection[Any]], conninfo: str = "") -> PQGenConn[Any]:
    session = _spare_one(conninfo)
    connection = cls(session) if session else (yield from _connect(cls, conninfo))
    connection._connected_with = conninfo  # type: ignore[union-attr]
    return connection


def _spare_one(conninfo: str) -> PGconn | None:
    for spare in _spare.values():
        for each in [each for each in spare if each[0] == conninfo]:
            spare.remove(each)
            if _lives(each[1]):
                return each[1]
            each[1].finish()
    return None


def _lives(session: PGconn) -> bool:
    """Whether the server has said nothing to it since: it says when it ends one."""
    watch = select.poll()
    watch.register(session.socket, select.POLLIN)
    return not watch.poll(0)


async def _close_or_keep(connection: AsyncConnection[Any]) -> None:
    session = connection.pgconn
    spare = None
    if not connection.closed and session.transaction_status == pq.TransactionStatus.IDLE:
        spare = _spare.get((session.host.decode(), session.db.decode()))
    if spare is None or len(spare) >= MOST_SPARE or not _is_made_new(session):
        await _close(connection)
        return
    connection._closed = True
    connection.pgconn = _closed
    spare.append((connection._connected_with, session))  # type: ignore[attr-defined]


def _is_made_new(session: PGconn) -> bool:
    if session.exec_(b"DISCARD ALL").status != pq.ExecStatus.COMMAND_OK:
        return False
    while session.notifies() is not None:  # what was under way is nobody's
        pass
    return True


AsyncConnection._connect_gen = classmethod(_connect_gen)  # type: ignore[method-assign,assignment]
AsyncConnection.close = _close_or_keep  # type: ignore[method-assign,assignment]

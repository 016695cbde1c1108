"""Connections whose every wait for PostgreSQL ends, whatever becomes of the answer.

A server that is gone closes its sockets, and TCP notices a route that is lost. A proxy that
swallows answers is noticed by the clock alone: a connection that was not answered in time is
closed, so that nobody reads the late answer to another's question.
"""

from collections.abc import Mapping
from typing import Any

from psycopg import AsyncConnection, Connection, OperationalError
from psycopg.abc import RV, PQGen
from psycopg.errors import _WaitTimeout
from psycopg.rows import TupleRow
from sqlalchemy import URL

STATEMENT_TIMEOUT_SECONDS = 30  # after which the server gives a statement up
ANSWER_TIMEOUT_SECONDS = 40.0  # after which it cannot be the server that takes so long
CONNECT_TIMEOUT_SECONDS = 5
# For libpq: a peer that acknowledges nothing for 30 seconds is gone, be it asked or idle.
_KEEPALIVES: dict[str, int] = {
    "keepalives_idle": 15,  # seconds
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
# For the server, which otherwise keeps the locks of a vanished client for two hours.
_SERVER_KEEPALIVES = {
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_INTERVAL_SECONDS = 0.1  # psycopg's own: how soon it hears of Ctrl-C


def connect_arguments(
    address: URL, settings: Mapping[str, str] | None = None
) -> dict[str, Any]:  # as psycopg and SQLAlchemy take them
    """What libpq is told besides the URL, which wins where it says the same.

    Args:
        address: the database's URL.
        settings: what the server is to set for the connection, by name.
    """
    given = address.query.get("options", ())
    both = {**_SERVER_KEEPALIVES, **(settings or {})}
    options = [f"-c {name}={value}" for name, value in both.items()]
    options += [given] if isinstance(given, str) else given  # the last one wins
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        **{name: value for name, value in _KEEPALIVES.items() if name not in address.query},
        "options": " ".join(options),
    }


class AnswerLost(OperationalError):
    """The server did not answer in time; the connection is closed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer came within {seconds:g} s")


class BoundedConnection(AsyncConnection[TupleRow]):
    """`answer_seconds` is how long each statement may take; None means as long as usual."""

    answer_seconds: float | None = None

    async def wait(
        self, gen: PQGen[RV], interval: float = _INTERVAL_SECONDS, timeout: float | None = None
    ) -> RV:
        """What the generator returns. A timeout of the caller's ends the wait, no more.

        Raises:
            AnswerLost: it took too long.
        """
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        seconds = self.answer_seconds or ANSWER_TIMEOUT_SECONDS
        try:
            return await super().wait(gen, interval, seconds)
        except _WaitTimeout:
            self.pgconn.finish()
            raise AnswerLost(seconds) from None


class BoundedSyncConnection(Connection[TupleRow]):
    """The same for threads that block."""

    answer_seconds: float | None = None

    def wait(
        self, gen: PQGen[RV], interval: float = _INTERVAL_SECONDS, timeout: float | None = None
    ) -> RV:
        """What the generator returns. A timeout of the caller's ends the wait, no more.

        Raises:
            AnswerLost: it took too long.
        """
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        seconds = self.answer_seconds or ANSWER_TIMEOUT_SECONDS
        try:
            return super().wait(gen, interval, seconds)
        except _WaitTimeout:
            self.pgconn.finish()
            raise AnswerLost(seconds) from None

"""PostgreSQL's NOTIFY: whoever waits for a row is woken instead of asking again and again.

A notification may be lost (a restarted server, a pooler that does not pass it on), so
whoever waits asks now and then all the same.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from psycopg import Error
from sqlalchemy import URL

from anime.db.address import libpq_url, parse_address
from anime.db.bounded import BoundedConnection, connect_arguments
from anime.db.credentials import is_replaced
from anime.errors import AnimeError
from anime.retry_policies import ROW_NOTIFICATIONS, cancel_until_ended
from anime.settings.secret_changes import LOOK_SECONDS

_log = logging.getLogger(__name__)

# What is called out, before the job's id.
SLOT = "place "  # the job has got a slot at ComfyUI
STOP = "stop "  # somebody asked to stop the job

# What is called out without a job's id.
MONITOR = "monitor"  # a run has given up its job: another one is to go on with it

CHECK_SECONDS = 15.0  # how long nothing is heard before the server is asked for a sign of life
CHECK_TIMEOUT_SECONDS = 5.0


class NotificationListener:
    """Listens on one channel, from the first who waits until `close`; for one event loop.

    `text` is the database's URL if it has references: they count anew for each connection.
    """

    def __init__(self, address: URL, channel: str, *, text: str | None = None) -> None:
        self._address, self._text = address, text
        self._channel = channel
        self._waiting: dict[str, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def listening_to(self, name: str) -> Iterator[asyncio.Event]:
        """An event that is set each time the name is called out on the channel."""
        if self._task is None or self._task.done():  # whoever began it was interrupted
            self._task = asyncio.create_task(self._listen())
        notified = self._waiting[name] = asyncio.Event()
        try:
            yield notified
        finally:
            del self._waiting[name]

    async def close(self) -> None:
        """End the connection, at once."""
        if self._task is not None:
            await cancel_until_ended(self._task)
            self._task = None

    async def _listen(self) -> None:
        while True:
            with suppress(Error, OSError, TimeoutError, AnimeError):
                await self._hear_one_connection()
                continue  # with the credentials that there are now
            _log.debug("No notifications from PostgreSQL for now: those who wait poll")
            await ROW_NOTIFICATIONS.wait()

    async def _hear_one_connection(self) -> None:
        """Raise when the connection is lost; return when its credentials have been replaced."""
        text, address = self._text, self._address
        if text is not None:
            address = await asyncio.to_thread(parse_address, text)
        async with await BoundedConnection.connect(
            libpq_url(address), autocommit=True, **connect_arguments(address)
        ) as connection:
            connection.answer_seconds = CHECK_TIMEOUT_SECONDS
            await connection.execute(f'LISTEN "{self._channel}"'.encode())
            for notified in self._waiting.values():
                notified.set()  # a notification may have been lost before: check once
            seconds = CHECK_SECONDS if text is None else LOOK_SECONDS
            while text is None or not is_replaced(address, text):
                async for call in connection.notifies(timeout=seconds):
                    if call.payload in self._waiting:
                        self._waiting[call.payload].set()
                await connection.execute("SELECT 1")

"""The websocket side: events as they come, for as long as somebody listens.

It tells how far a prompt is and hints at its end; what became of it only /history knows.
So a socket that is refused, falls silent or dies costs progress and nothing else.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidURI, WebSocketException

from anime.comfyui.frames import FEATURE_FLAGS, decode_frame
from anime.comfyui.models import Event
from anime.retry_policies import COMFYUI_WEBSOCKET

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
FRAME_MAX_BYTES = 64 * 1024 * 1024  # an execution error prints its tensors
EVENTS_KEPT = 500  # a run of ten nodes; newer ones repeat what older ones said


class EventListener:
    """Listens under one client id from `start` to `close`, over as many sockets as it takes.

    There is never more than one at a time: when the older of two sockets with one client id
    closes, the server forgets the id and the newer one hears nothing. That, too, looks like
    silence, so a socket silent for `silence_seconds` is replaced.
    """

    def __init__(self, url: str, *, silence_seconds: float) -> None:
        self._url = url
        self._silence_seconds = silence_seconds
        self._events: asyncio.Queue[Event] = asyncio.Queue(EVENTS_KEPT)
        self._tried = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._deaf_since: float | None = self._clock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """End it, at once."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def tried(self) -> None:
        """Return as soon as the first attempt to connect came to something."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._tried.wait()

    @property
    def deaf_seconds(self) -> float:
        """For how long no socket has been up; 0 while there is one.

        The server greets each socket: one on which it has said nothing, behind a proxy that
        swallows what it says, is not up.
        """
        return 0.0 if self._deaf_since is None else self._clock() - self._deaf_since

    async def next_event(self, *, until: float) -> Event | None:
        """The next event; None when none came before `until`, a time of the event loop."""
        try:
            async with asyncio.timeout_at(until):
                return await self._events.get()
        except TimeoutError:
            return None

    def heard(self) -> Iterator[Event]:
        """The events that are there without waiting."""
        while not self._events.empty():
            yield self._events.get_nowait()

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                await self._hear_one_socket()
                failures = 0
            except InvalidURI as fault:
                _log.warning("No progress: %s", fault)
                return
            except (OSError, WebSocketException, TimeoutError) as fault:
                _log.debug("No progress for now: %r", fault)
                failures += 1
            finally:
                self._tried.set()
            await COMFYUI_WEBSOCKET.wait(failures)

    async def _hear_one_socket(self) -> None:
        """Return when the socket has died or fallen silent, and is closed."""
        socket = await connect(
            self._url,
            proxy=None,
            compression=None,  # spares the server's only core; most bytes are JPEG previews
            open_timeout=CONNECT_SECONDS,
            max_size=FRAME_MAX_BYTES,
            logger=_log,
        )
        try:
            await socket.send(FEATURE_FLAGS)
            self._tried.set()
            with contextlib.suppress(TimeoutError, WebSocketException):
                while True:
                    async with asyncio.timeout(self._silence_seconds):
                        self._keep(decode_frame(await socket.recv()))
                        self._deaf_since = None
        finally:
            self._deaf_since = self._deaf_since or self._clock()
            # A polite goodbye waits for the answer behind everything unread: up to 10 s.
            socket.transport.abort()
            await socket.wait_closed()

    def _keep(self, event: Event) -> None:
        """Never stop reading: the server writes to its clients one after the other, so a
        full socket would hold up everybody's progress.
        """
        if self._events.full():
            self._events.get_nowait()
        self._events.put_nowait(event)

"""The events of one WebSocket client, received over as many sockets as it takes.

The events tell how far a prompt is and hint at its end; only /history says how it ended.
So a socket that is refused, falls silent or dies costs progress and nothing else.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidURI, WebSocketException

from anime.comfyui.address import authorization_of, without_login
from anime.comfyui.frames import FEATURE_FLAGS, decode_frame
from anime.comfyui.models import Event
from anime.comfyui.server_login import ServerLogin
from anime.retry_policies import COMFYUI_WEBSOCKET, cancel_until_ended

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
GREETING_SECONDS = 0.2  # from the socket's opening to the message that the server sends at once
FRAME_MAX_BYTES = 64 * 1024 * 1024  # an execution error prints its tensors
MAX_EVENTS = 500  # a run of ten nodes; newer ones repeat what older ones said, which are dropped


class EventListener:
    """Listens under one client id from `start` to `close`.

    There is never more than one socket at a time: when the older of two with one client id
    closes, the server forgets the id and the newer one receives nothing. That, too, looks like
    silence, so a socket that is silent for `silence_seconds` is replaced.
    """

    def __init__(
        self, address: Callable[[], str], *, silence_seconds: float, login: ServerLogin
    ) -> None:
        """`address` is asked for each socket: the login in it may have changed."""
        self._address = address
        self._login = login
        self._silence_seconds = silence_seconds
        self._events: asyncio.Queue[Event] = asyncio.Queue(MAX_EVENTS)
        self._has_tried = asyncio.Event()
        self._was_greeted = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._disconnected_since: float | None = self._clock()
        self.dead_sockets = 0  # that the other side has closed or left
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start listening."""
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening at once."""
        if self._task:
            await cancel_until_ended(self._task)

    async def wait_for_first_try(self) -> None:
        """Return when the first attempt to connect has succeeded or failed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._has_tried.wait()

    async def wait_until_up(self) -> bool:
        """Whether a socket is up and the server has greeted it, after the first try to connect."""
        await self.wait_for_first_try()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GREETING_SECONDS):
                await self._was_greeted.wait()
        return self._disconnected_since is None

    @property
    def disconnected_seconds(self) -> float:
        """For how long no socket has been up; 0 while there is one.

        The server sends a message to each new socket: one on which nothing has arrived, perhaps
        behind a proxy that swallows messages, is not up.
        """
        return 0.0 if self._disconnected_since is None else self._clock() - self._disconnected_since

    async def next_event(self, *, until: float) -> Event | None:
        """The next event; None if none comes before `until`, a time of the event loop."""
        try:
            async with asyncio.timeout_at(until):
                return await self._events.get()
        except TimeoutError:
            return None

    def received(self) -> Iterator[Event]:
        """The events received so far, without waiting."""
        while not self._events.empty():
            yield self._events.get_nowait()

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                await self._read_one_socket()
                failures = 0
            except InvalidURI as fault:
                _log.warning("No progress: %s", fault)
                return
            except (OSError, WebSocketException, TimeoutError) as fault:
                _log.debug("No progress for now: %r", fault)
                failures += 1
            finally:
                self._has_tried.set()
            await COMFYUI_WEBSOCKET.wait(failures)

    async def _read_one_socket(self) -> None:
        """Return when the socket has died or fallen silent, and is closed."""
        address = self._address()
        headers = httpx.Headers(authorization_of(address))
        headers.update(await self._login.headers())
        socket = await connect(
            without_login(address),  # which `connect` would send with %40 as it stands
            proxy=None,
            additional_headers=dict(headers),
            ssl=self._login.tls if address.startswith("wss:") else None,
            compression=None,  # spares the server's only core; most bytes are JPEG previews
            open_timeout=CONNECT_SECONDS,
            max_size=FRAME_MAX_BYTES,
            logger=_log,
        )
        try:
            await socket.send(FEATURE_FLAGS)
            self._has_tried.set()
            while True:
                async with asyncio.timeout(self._silence_seconds):
                    self._enqueue(decode_frame(await socket.recv()))
                    self._disconnected_since = None
                    self._was_greeted.set()
        except TimeoutError:
            return  # silent; another socket is tried at once
        except WebSocketException:
            self.dead_sockets += 1
        finally:
            self._disconnected_since = self._disconnected_since or self._clock()
            # A closing handshake would wait for its answer behind everything unread: up to 10 s.
            socket.transport.abort()
            await socket.wait_closed()

    def _enqueue(self, event: Event) -> None:
        """Add the event; if there is no room, the oldest goes.

        Reading never stops: the server writes to its clients one after the other, so that a
        full socket would hold up everybody's progress.
        """
        if self._events.full():
            self._events.get_nowait()
        self._events.put_nowait(event)

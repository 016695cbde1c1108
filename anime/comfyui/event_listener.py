"""What one prompt hears of itself.

The events tell how far a prompt is and hint at its end; only /history says how it ended.
So a socket that is refused, falls silent or dies costs progress and nothing else.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator

from anime.comfyui.models import Event
from anime.comfyui.server_login import ServerLogin

CONNECT_SECONDS = 5.0
GREETING_SECONDS = 0.2  # from the socket's opening to the message that the server sends at once
MAX_EVENTS = 500  # a run of ten nodes; newer ones repeat what older ones said, which are dropped


class EventListener:
    """Hears what a client is sent about one prompt. For use in one event loop, but for `keep`."""

    def __init__(
        self,
        server: str,
        client_id: str,
        prompt_id: str,
        *,
        address: Callable[[], str],
        login: ServerLogin,
        silence_seconds: float,
    ) -> None:
        """`address` is asked for each socket: the login in it may have changed.

        A socket that is silent for `silence_seconds` is replaced.
        """
        self.key = server, client_id
        self.prompt_id = prompt_id
        self.address = address
        self.login = login
        self.silence_seconds = silence_seconds
        self.loop = asyncio.get_running_loop()
        self.dead_sockets = 0  # that the other side has closed or left
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._has_arrived = asyncio.Event()
        self._has_tried = asyncio.Event()
        self._was_greeted = asyncio.Event()
        self._disconnected_since: float | None = self.loop.time()

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
        since = self._disconnected_since
        return 0.0 if since is None else self.loop.time() - since

    async def next_event(self, *, until: float) -> Event | None:
        """The next event; None if none comes before `until`, a time of the event loop."""
        try:
            async with asyncio.timeout_at(until):
                while not self._events:
                    self._has_arrived.clear()
                    await self._has_arrived.wait()
                return self._events.popleft()
        except TimeoutError:
            return None

    def received(self) -> Iterator[Event]:
        """The events received so far, without waiting."""
        while self._events:
            yield self._events.popleft()

    def on_tried(self) -> None:
        """An attempt to connect has succeeded or failed."""
        self._has_tried.set()

    def on_up(self) -> None:
        """A socket is up: something has arrived on it."""
        self._disconnected_since = None
        self._was_greeted.set()

    def on_down(self, has_died: bool) -> None:  # noqa: FBT001  what the socket's thread hands over
        """The socket is gone; `has_died`: the other side has closed or left it."""
        self.dead_sockets += has_died
        self._disconnected_since = self._disconnected_since or self.loop.time()

    def keep(self, event: Event) -> bool:
        """Keep the event for `next_event`; whether `on_events` is to be called then. In any thread.

        If there is no room, the oldest goes. Reading never stops: the server writes to its clients
        one after the other, so that a full socket would hold up everybody's progress.
        """
        self._events.append(event)
        return len(self._events) == 1  # who reads takes all there are before it waits again

    def on_events(self) -> None:
        """Events have arrived."""
        self._has_arrived.set()

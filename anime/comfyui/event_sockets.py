"""The WebSockets of this process: one a server, for all prompts that it follows there.

They live in a thread of their own: runs come and go, each in its own event loop. A server writes
to its sockets one after the other, so that one for each prompt would cost it more.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import cache
from typing import Any
from uuid import uuid4

import httpx
from uvicorn.loops.auto import auto_loop_factory
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidURI, WebSocketException

from anime.comfyui.address import authorization_of, without_login
from anime.comfyui.event_listener import CONNECT_SECONDS, EventListener
from anime.comfyui.frames import FEATURE_FLAGS, decode_frame
from anime.comfyui.models import Event, NodeExecuting, PreviewFrame
from anime.retry_policies import COMFYUI_WEBSOCKET, cancel_until_ended

_log = logging.getLogger(__name__)

FRAME_MAX_BYTES = 64 * 1024 * 1024  # an execution error prints its tensors
LINGER_SECONDS = 10.0  # for which a socket waits for the next prompt

_creating = threading.Lock()


class EventSockets:
    """The sockets by server and client id. Public methods are called in any thread."""

    def __init__(self) -> None:
        self.client_id = f"anime-{uuid4().hex}"
        self._loop = auto_loop_factory()()  # uvloop's where it is there
        self._sockets: dict[tuple[str, str], _EventSocket] = {}
        threading.Thread(target=self._loop.run_forever, name="comfyui-events", daemon=True).start()

    def add(self, listener: EventListener) -> None:
        """Tell the listener what its client is sent about its prompt, from now on."""
        self._call(self._add, listener)

    def remove(self, listener: EventListener) -> None:
        """Tell it nothing any more. A socket that nobody listens to is closed in a while."""
        self._call(self._remove, listener)

    def _call(self, function: Callable[[EventListener], None], listener: EventListener) -> None:
        """Call it in the sockets' thread: not in the run's context, which would last as they do."""
        self._loop.call_soon_threadsafe(function, listener, context=Context())

    def _add(self, listener: EventListener) -> None:
        self._sockets.setdefault(listener.key, _EventSocket()).add(listener)

    def _remove(self, listener: EventListener) -> None:
        socket = self._sockets[listener.key]
        socket.listeners.remove(listener)
        if not socket.listeners:
            socket.closing = self._loop.call_later(LINGER_SECONDS, self._close, listener.key)

    def _close(self, key: tuple[str, str]) -> None:
        self._sockets.pop(key).close()


@cache
def of_process(pid: int) -> EventSockets:
    """Those of the process; one that was forked has none of its parent's threads."""
    del pid
    return Context().run(EventSockets)  # its loop lasts longer than the run that needs it first


def event_sockets() -> EventSockets:
    """The sockets of this process. Runs that begin at once, each in its thread, get the same."""
    with _creating:
        return of_process(os.getpid())


class _EventSocket:
    """One client id at one server, on as many sockets as it takes. For use in one event loop.

    There is never more than one socket at a time: when the older of two with one client id
    closes, the server forgets the id and the newer one receives nothing. That, too, looks like
    silence, so a silent socket is replaced.
    """

    def __init__(self) -> None:
        self.listeners: list[EventListener] = []
        self.closing: asyncio.TimerHandle | None = None  # while nobody listens
        self._is_open = self._is_up = False  # up: something has arrived
        self._has_newcomer = asyncio.Event()  # who waits for a socket, however often it has failed
        self._task: asyncio.Task[None] | None = None

    def add(self, listener: EventListener) -> None:
        """Tell the listener whether a socket is up, and then what arrives there."""
        self.listeners.append(listener)
        if self.closing is not None:
            self.closing.cancel()
        if self._is_open:
            _tell(listener, EventListener.on_tried)
        if self._is_up:
            _tell(listener, EventListener.on_up)
        self._has_newcomer.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())

    def close(self) -> None:
        """Close the socket at once."""
        if self._task is not None:
            self._task.cancel()

    async def _listen(self) -> None:
        failures = 0
        while self.listeners:
            self._has_newcomer.clear()
            try:
                await self._read_one_socket(self.listeners[-1])  # the latest knows the login best
                failures = 0
            except InvalidURI as fault:
                _log.warning("No progress: %s", fault)
                return
            except (OSError, WebSocketException, TimeoutError) as fault:
                _log.debug("No progress for now: %r", fault)
                failures += 1
            finally:
                self._tell_all(EventListener.on_tried)
            await self._wait_until_tried_again(failures)

    async def _wait_until_tried_again(self, failures: int) -> None:
        """Wait as the policy says, or until somebody else waits for a socket."""
        reasons = [
            asyncio.create_task(each)
            for each in (COMFYUI_WEBSOCKET.wait(failures), self._has_newcomer.wait())
        ]
        try:
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_until_ended(*reasons)

    async def _read_one_socket(self, by: EventListener) -> None:
        """Return when the socket has died or fallen silent, and is closed."""
        socket = await _connected(by)
        has_died = False
        try:
            await socket.send(FEATURE_FLAGS)
            self._is_open = True
            self._tell_all(EventListener.on_tried)
            while True:
                async with asyncio.timeout(by.silence_seconds):
                    frame = await socket.recv()
                if not self._is_up:
                    self._is_up = True
                    self._tell_all(EventListener.on_up)
                self._pass_on(decode_frame(frame))
        except TimeoutError:
            return  # silent; another socket is tried at once
        except WebSocketException:
            has_died = True
        finally:
            self._is_open = self._is_up = False
            self._tell_all(EventListener.on_down, has_died)
            # A closing handshake would wait for its answer behind everything unread: up to 10 s.
            socket.transport.abort()
            await socket.wait_closed()

    def _pass_on(self, event: Event) -> None:
        """Tell who follows the prompt; all, where none is named. Others' progress comes, too."""
        is_for_all = event.prompt_id is None and isinstance(event, NodeExecuting | PreviewFrame)
        for each in self.listeners:
            if (is_for_all or event.prompt_id == each.prompt_id) and each.keep(event):
                _tell(each, EventListener.on_events)

    def _tell_all(self, notice: Callable[..., None], *given: Any) -> None:
        for each in self.listeners:
            _tell(each, notice, *given)


async def _connected(by: EventListener) -> ClientConnection:
    """An open socket with the login of the moment."""
    address = by.address()
    headers = httpx.Headers(authorization_of(address))
    headers.update(await by.login.headers())
    return await connect(
        without_login(address),  # which `connect` would send with %40 as it stands
        proxy=None,
        additional_headers=dict(headers),
        ssl=by.login.tls if address.startswith("wss:") else None,
        compression=None,  # spares the server's only core; most bytes are JPEG previews
        open_timeout=CONNECT_SECONDS,
        max_size=FRAME_MAX_BYTES,
        logger=_log,
    )


def _tell(listener: EventListener, notice: Callable[..., None], *given: Any) -> None:
    """Call that method of the listener, in its own event loop."""
    with suppress(RuntimeError):  # its loop is closed
        listener.loop.call_soon_threadsafe(notice, listener, *given)

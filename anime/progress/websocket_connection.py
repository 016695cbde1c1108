"""One WebSocket client: its requests are read, its answers and updates sent."""

import asyncio
import time
from contextlib import suppress
from uuid import UUID

from starlette.websockets import WebSocket, WebSocketDisconnect

from anime.core.callers import Caller, Role
from anime.errors import AnimeError, InvalidRequest
from anime.progress.gateway import Gateway
from anime.progress.send_buffer import SendBuffer
from anime.progress.subscription import Subscription
from anime.progress.websocket_messages import (
    EVERY_JOB,
    PONG,
    Action,
    Cancel,
    ClientRateLimit,
    Ping,
    Subscribe,
    SubscribeShots,
    Unsubscribe,
    UnsubscribeShots,
    Update,
    error_frame,
    read_action,
    shots_frame,
    status_frame,
)
from anime.progress.websocket_protocol import send_channel_of
from anime.retry_policies import cancel_until_ended

MAX_SUBSCRIPTIONS = 256  # of one client
MESSAGES_PER_SECOND, BURST = 50, 200  # of one client; beyond them it is read later
STALL_SECONDS = 10.0  # a client that takes nothing for so long is dropped
TRY_AGAIN_LATER = 1013


class WebSocketConnection:
    """A client from its first message to its last.

    The task that reads also sends the answers: a client that does not take its answers is not
    read either. Updates are written as they come. Those that the client cannot take yet are sent
    by a task of their own, so that nobody waits for it.
    """

    def __init__(self, socket: WebSocket, gateway: Gateway, caller: Caller) -> None:
        self._socket = socket
        self._gateway = gateway
        self._caller = caller
        self._channel = send_channel_of(socket)
        self._buffer = SendBuffer()
        self._is_behind = False
        self._subscriptions: dict[UUID, Subscription] = {}
        self._rate_limit = ClientRateLimit(MESSAGES_PER_SECOND, BURST)
        self.wants_previews = False  # of all jobs

    async def serve(self) -> None:
        """Serve the client until it is gone; nothing of it is left then."""
        sending = asyncio.create_task(self._send_updates())
        try:
            with suppress(WebSocketDisconnect):
                await self._read()
        finally:
            self._unsubscribe_all()
            await cancel_until_ended(sending)

    def put(self, update: Update) -> None:
        """Send an update now, or once the client has taken those before it."""
        if not self._is_behind and self._buffer.is_empty and self._channel.offer(update.wire):
            return
        self._buffer.put(update)
        if self._buffer.is_overfull:
            self._drop()

    def put_preview(self, job_id: UUID, preview: str) -> None:
        """Send a preview when nothing else waits."""
        self._buffer.put_preview(job_id, preview)

    def put_shot(self, shot_id: UUID, frame: str) -> None:
        """Send how far a shot is when nothing else waits; of several, what came last."""
        self._buffer.put_preview(shot_id, frame)
        if self._buffer.is_overfull:
            self._drop()

    def follows(self, job_id: UUID) -> bool:
        """Whether the client has subscribed to this job by its id."""
        return job_id in self._subscriptions

    async def _read(self) -> None:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            await asyncio.sleep(self._rate_limit.delay(time.monotonic()))
            action: Action | None = None
            try:
                action = read_action(message.get("text"))
                await self._act(action)
            except AnimeError as error:
                await self._send(error_frame(error, getattr(action, "job_id", None)))

    async def _act(self, action: Action) -> None:
        match action:
            case Subscribe(job_id="*"):
                await self._watch_all(action)
            case Subscribe(job_id=UUID() as job_id):
                await self._follow(job_id, action.seq, previews=action.previews)
            case Unsubscribe(job_id=job_id):
                self._unsubscribe(job_id)
            case SubscribeShots(project=project):
                await self._send(shots_frame(project))
                self._gateway.hub.add_shot_watcher(self, project)
            case UnsubscribeShots():
                self._gateway.hub.remove_shot_watcher(self)
            case Cancel():
                self._caller.check(Role.PRODUCE)
                await self._gateway.cancel(action.job_id)
                snapshot = await self._gateway.snapshots.snapshot(action.job_id)
                await self._send(status_frame(action.job_id, snapshot.fields))
            case Ping():
                await self._send(PONG)

    async def _follow(self, job_id: UUID, seq: int | None, *, previews: bool) -> None:
        """Subscribe the client, and answer it, even if it was subscribed before."""
        self._unsubscribe(job_id)
        self._check_room()
        subscription = Subscription(job_id, self, previews=previews)
        self._subscriptions[job_id] = subscription
        try:
            snapshot, missed = await self._gateway.follow(subscription, seq)
        except AnimeError:
            del self._subscriptions[job_id]
            raise
        if previews:
            await self._gateway.feed.request_previews(job_id)
        await self._send(status_frame(job_id, snapshot.fields))
        for update in missed:
            await self._send(update.frame)
        self._gateway.go_live(subscription)

    async def _watch_all(self, action: Subscribe) -> None:
        if action.seq is not None:
            raise InvalidRequest(
                "seq: is counted for each job.", "Name the job whose last number it is."
            )
        self.wants_previews = action.previews
        if action.previews:
            await self._gateway.feed.request_previews(None)
        await self._send(status_frame(EVERY_JOB, {}))
        self._gateway.hub.add_watcher(self)

    def _unsubscribe(self, job_id: UUID | str) -> None:
        if isinstance(job_id, str):
            self._gateway.hub.remove_watcher(self)
        elif subscription := self._subscriptions.pop(job_id, None):
            self._gateway.hub.remove(subscription)

    def _check_room(self) -> None:
        """Make room for one more subscription; those to ended jobs go, if there are many.

        Raises:
            InvalidRequest: too many are left.
        """
        if len(self._subscriptions) < MAX_SUBSCRIPTIONS:
            return
        for job_id in [each for each, one in self._subscriptions.items() if one.is_over]:
            del self._subscriptions[job_id]
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise InvalidRequest(
                f"One connection follows {MAX_SUBSCRIPTIONS} jobs at most.",
                'Unsubscribe from some, or subscribe to "*".',
            )

    async def _send_updates(self) -> None:
        with suppress(WebSocketDisconnect):
            while (item := await self._buffer.take()) is not None:
                self._is_behind = True
                await self._send(item if isinstance(item, str) else item.frame)
                self._is_behind = False

    async def _send(self, frame: str) -> None:
        """Send a frame. Raises WebSocketDisconnect: the client is gone, or took nothing in time."""
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._socket.send_text(frame)
        except TimeoutError:
            self._drop()
            raise WebSocketDisconnect(TRY_AGAIN_LATER) from None
        except RuntimeError as fault:  # what Starlette and uvicorn say of a socket just closed
            raise WebSocketDisconnect from fault

    def _drop(self) -> None:
        self._channel.drop(TRY_AGAIN_LATER, "too slow; subscribe again with the last seq")

    def _unsubscribe_all(self) -> None:
        self._gateway.hub.remove_watcher(self)
        self._gateway.hub.remove_shot_watcher(self)
        for subscription in self._subscriptions.values():
            self._gateway.hub.remove(subscription)

"""Events of jobs as they happen: WebSocket and server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response, status
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from anime.api.access import admit
from anime.api.app_state import AppState
from anime.api.error_documentation import problems
from anime.api.examples import EVENTS
from anime.api.problems import problem_of
from anime.api.routes_generation import job_id_in
from anime.errors import AnimeError
from anime.progress.gateway import Gateway
from anime.progress.send_buffer import SendBuffer
from anime.progress.subscription import Subscription
from anime.progress.websocket_connection import WebSocketConnection
from anime.progress.websocket_messages import Update, status_frame

KEEP_ALIVE_SECONDS = 15.0  # proxies close what is silent for a minute or less

router = APIRouter(tags=["events"])


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayDependency = Annotated[Gateway, Depends(_gateway)]
LastEventId = Annotated[
    int | None,
    Header(
        ge=0, lt=2**63, description="The last `id` received: the events after it are sent again."
    ),
]


@router.get(
    "/jobs/{job_id}/events",
    response_class=EventSourceResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"example": EVENTS}},
            "description": "The messages as they are published.",
        },
        204: {"description": "The job has ended, and `Last-Event-ID` is that of its last event."},
        **problems(404),
    },
)
async def job_events(
    job_id: str, gateway: GatewayDependency, last_event_id: LastEventId = None
) -> Response:
    """The job as it is, then each of its events up to the last one."""
    found = job_id_in(job_id)
    snapshot = await gateway.snapshots.snapshot(found)
    if snapshot.is_final and last_event_id is not None and last_event_id >= snapshot.seq:
        # The one answer after which a browser's EventSource does not reconnect.
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return EventSourceResponse(
        _events(found, gateway, last_event_id),
        ping=KEEP_ALIVE_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="still here", sep="\n"),
    )


async def _events(
    job_id: UUID, gateway: Gateway, after_seq: int | None
) -> AsyncIterator[ServerSentEvent]:
    """The same messages as on a WebSocket, each with its number as `id`."""
    buffer = SendBuffer()
    subscription = Subscription(job_id, buffer)
    gateway.streams.add(buffer)
    try:
        snapshot, missed = await gateway.follow(subscription, after_seq)
        known = snapshot.seq if after_seq is None else after_seq
        yield _event(status_frame(job_id, snapshot.fields), known)
        for update in missed:
            yield _event(update.frame, update.event.seq)
        gateway.go_live(subscription)
        while not (subscription.is_over and buffer.is_empty):
            item = await buffer.take()
            if item is None:
                return
            if isinstance(item, Update):
                yield _event(item.frame, item.event.seq)
    finally:
        gateway.hub.remove(subscription)
        gateway.streams.discard(buffer)


def _event(frame: str, seq: int) -> ServerSentEvent:
    """The message, without an id if it came from the database: the client keeps its last one."""
    return ServerSentEvent(frame, id=str(seq) if seq else None, sep="\n")


async def serve_socket(socket: WebSocket) -> None:
    """Serve a WebSocket client until it disconnects."""
    state: AppState = socket.app.state.anime
    try:
        caller = admit(socket, state.access)
    except AnimeError as error:
        await socket.send_denial_response(problem_of(error, socket.url.path))
        return
    await socket.accept()
    with state.metrics.websocket_clients.track_inprogress():
        await WebSocketConnection(socket, socket.app.state.gateway, caller).serve()


SOCKETS = [WebSocketRoute(path, serve_socket) for path in ("/", "/ws")]

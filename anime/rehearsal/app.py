"""The rehearsal server as an ASGI application: every route at /x and at /api/x."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Router, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.events import EventClient, message
from anime.rehearsal.file_routes import FileRoutes
from anime.rehearsal.guard import Guard
from anime.rehearsal.prompt_routes import PromptRoutes
from anime.rehearsal.replies import empty_reply
from anime.rehearsal.server_routes import FEATURES, ServerRoutes
from anime.rehearsal.worker import Worker

logger = logging.getLogger(__name__)


def build_app(config: RehearsalConfig) -> Starlette:
    """The application; its worker runs as long as its lifespan."""
    worker = Worker(config)
    routes = (
        *PromptRoutes(worker).routes(),
        *FileRoutes(config.folders).routes(),
        *ServerRoutes(worker).routes(),
        WebSocketRoute("/ws", RehearsalSocket(worker).serve),
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        work = asyncio.create_task(worker.work())
        work.add_done_callback(_log_death)
        yield
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work

    app = Starlette(
        routes=[Mount("/api", Router(routes, redirect_slashes=False)), *routes],
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: _refuse},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


class RehearsalSocket:
    """The websocket endpoint."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def serve(self, socket: WebSocket) -> None:
        """Send a client what is for it until it goes."""
        await socket.accept()
        connection = EventClient(socket.query_params.get("clientId") or uuid4().hex)
        self._greet(connection)
        sending = asyncio.create_task(_send_all(socket, connection))
        try:
            await _receive_all(socket, connection)
        finally:
            self._worker.sockets.leave(connection.client_id)
            sending.cancel()

    def _greet(self, connection: EventClient) -> None:
        """Queue the first message, and which node of the client's prompt runs if one does."""
        self._worker.sockets.join(connection)
        about = {"status": self._worker.status(), "sid": connection.client_id}
        connection.outbox.put_nowait(message("status", about))
        stage = self._worker.stage
        if stage.node_id is not None and stage.client_id == connection.client_id:
            connection.outbox.put_nowait(message("executing", {"node": stage.node_id}))


async def _send_all(socket: WebSocket, connection: EventClient) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # the client went while we wrote
        while True:
            frame = await connection.outbox.get()
            if isinstance(frame, bytes):
                await socket.send_bytes(frame)
            else:
                await socket.send_text(frame)


async def _receive_all(socket: WebSocket, connection: EventClient) -> None:
    """Read until the client goes; only its first message counts."""
    is_first = True
    while (received := await socket.receive())["type"] != "websocket.disconnect":
        if is_first:
            _note_features(received.get("text") or "", connection)
        is_first = False


def _note_features(text: str, connection: EventClient) -> None:
    with suppress(ValueError, AttributeError):  # junk is ignored
        said = json.loads(text)
        if said.get("type") == "feature_flags":
            wanted = said.get("data", {}).get("supports_preview_metadata")
            connection.wants_preview_metadata = bool(wanted)
            connection.outbox.put_nowait(message("feature_flags", FEATURES))


async def _refuse(_request: Request, refusal: Exception) -> Response:
    status = getattr(refusal, "status_code", 500)
    if status == 405:
        return PlainTextResponse("405: Method Not Allowed", status_code=405)
    return empty_reply(status)


def _log_death(work: asyncio.Task[None]) -> None:
    if not work.cancelled() and (fault := work.exception()):
        logger.error("The rehearsal worker died: %s", fault, exc_info=fault)

"""The rehearsal server as an ASGI application: every route at /x and at /api/x, jobs at /api."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Router, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from anime.rehearsal.config import Profile, RehearsalConfig
from anime.rehearsal.events import EventClient, message
from anime.rehearsal.fault_middleware import FaultMiddleware
from anime.rehearsal.faults import Faults
from anime.rehearsal.file_routes import FileRoutes
from anime.rehearsal.job_routes import JobRoutes
from anime.rehearsal.middleware import RehearsalMiddleware
from anime.rehearsal.node_types import JsonObject
from anime.rehearsal.prompt_routes import PromptRoutes
from anime.rehearsal.prompt_worker import PromptWorker
from anime.rehearsal.replies import empty_reply, server_error
from anime.rehearsal.server_routes import FEATURES, ServerRoutes
from anime.retry_policies import cancel_until_ended

logger = logging.getLogger(__name__)


def build_app(config: RehearsalConfig) -> Starlette:
    """The application; its worker runs as long as its lifespan."""
    worker = PromptWorker(config)
    routes = (
        *PromptRoutes(worker).routes(),
        *FileRoutes(config.folders).routes(),
        *ServerRoutes(worker).routes(),
        WebSocketRoute("/ws", RehearsalSocket(worker).serve),
    )
    job_routes = JobRoutes(worker).routes() if config.profile is Profile.V0_33 else ()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(worker.run())
        task.add_done_callback(_log_failure)
        yield
        await cancel_until_ended(task)

    app = Starlette(
        routes=[Mount("/api", Router((*routes, *job_routes), redirect_slashes=False)), *routes],
        middleware=[
            Middleware(FaultMiddleware, injector=worker.injector),
            Middleware(RehearsalMiddleware, profile=config.profile),
        ],
        exception_handlers={HTTPException: _error_reply},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.injector = worker.injector
    return app


class RehearsalSocket:
    """The WebSocket endpoint."""

    def __init__(self, worker: PromptWorker) -> None:
        self._worker = worker

    async def serve(self, socket: WebSocket) -> None:
        """Send a client its messages until it disconnects."""
        await socket.accept()
        client = EventClient(socket.query_params.get("clientId") or uuid4().hex)
        self._send_first_messages(client)
        sending = asyncio.create_task(_send_all(socket, client, self._worker.config.faults))
        try:
            await _receive_all(socket, client, FEATURES[self._worker.config.profile])
        finally:
            self._worker.sockets.remove(client.client_id)
            sending.cancel()

    def _send_first_messages(self, client: EventClient) -> None:
        """Send the status, and which node runs if it is of the client's prompt."""
        self._worker.sockets.add(client)
        about = {"status": self._worker.status(), "sid": client.client_id}
        client.outbox.put_nowait(message("status", about))
        state = self._worker.state
        if state.node_id is not None and state.client_id == client.client_id:
            client.outbox.put_nowait(message("executing", {"node": state.node_id}))


async def _send_all(socket: WebSocket, client: EventClient, faults: Faults) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # the client has disconnected
        for sent in count():
            if sent == faults.close_sockets_after:
                await socket.close()
                return
            frame = await client.outbox.get()
            if faults.silent_sockets and sent:
                continue
            if isinstance(frame, bytes):
                await socket.send_bytes(frame)
            else:
                await socket.send_text(frame)


async def _receive_all(socket: WebSocket, client: EventClient, features: JsonObject) -> None:
    """Receive until the client disconnects; only its first message that is an object counts."""
    is_first = True
    while (received := await socket.receive())["type"] != "websocket.disconnect":
        with suppress(ValueError, AttributeError):  # invalid messages are ignored
            told = json.loads(received.get("text") or "")
            if is_first and told.get("type") == "feature_flags":
                flags = told.get("data", {})
                wants = isinstance(flags, dict) and flags.get("supports_preview_metadata")
                client.wants_preview_metadata = bool(wants)
                client.outbox.put_nowait(message("feature_flags", features))
            is_first = False


async def _error_reply(request: Request, fault: Exception) -> Response:
    """The answer to a path or method that is not there: for GET, ComfyUI looks for a file."""
    if getattr(fault, "status_code", 500) not in (404, 405):
        return server_error()  # a form that cannot be read
    if request.method in ("GET", "HEAD"):
        return empty_reply(404)
    return PlainTextResponse("405: Method Not Allowed", status_code=405)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()):
        logger.error(
            "The rehearsal server runs no more prompts after an error: %s", fault, exc_info=fault
        )

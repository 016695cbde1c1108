"""The simulated errors that show in answers."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anime.rehearsal.fault_injector import HALF, FaultInjector
from anime.rehearsal.replies import server_error


class FaultMiddleware:
    """Holds back, refuses or breaks off answers."""

    def __init__(self, app: ASGIApp, injector: FaultInjector) -> None:
        self._app = app
        self._injector = injector

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless the server is frozen or the answer is to be another."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        await self._injector.is_answering.wait()
        if scope["type"] == "websocket":
            return await self._app(scope, receive, send)
        if self._injector.is_server_error(scope["path"]):
            return await server_error()(scope, receive, send)
        if self._injector.is_half_answer():
            return await self._app(scope, receive, _HalfAnswer(send).send)
        if scope["method"] == "POST" and scope["path"].endswith("/prompt"):
            send = self._delayed(send)
        return await self._app(scope, receive, send)

    def _delayed(self, send: Send) -> Send:
        async def send_late(message: Message) -> None:
            if message["type"] == "http.response.start":
                await asyncio.sleep(self._injector.faults.submit_seconds)
            await send(message)

        return send_late


class _HalfAnswer:
    """Sends half of the first part of the body; then uvicorn closes the connection."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_over = False

    async def send(self, message: Message) -> None:
        if self._is_over:
            return
        if message["type"] == "http.response.body":
            self._is_over = True
            body = message.get("body", b"")
            message = {**message, "body": body[: len(body) // HALF], "more_body": True}
        await self._send(message)

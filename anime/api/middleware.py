"""What a request must pass before any route sees it: its Host, its token, its length.

Plain ASGI, outside of the routes: whatever route somebody adds is behind it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from json import JSONDecodeError
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anime.api.access import Access, bearer_in
from anime.api.problems import problem_of
from anime.core.strict_json import RepeatedKey, load_json
from anime.errors import (
    AnimeError,
    BodyTooLarge,
    RequestStalled,
    TokenMissing,
    UnknownHost,
)

# What they answer is the same for everybody: that the process lives, and how the API is used.
OPEN_PATHS = frozenset({"/health", "/api/anime/health", "/docs", "/openapi.json"})
OPEN_FOLDER = "/docs/"
BODY_SECONDS = 60.0
DISCARDED_BYTES = 64 * 2**20
DISCARD_SECONDS = 5.0


class HostCheck:
    """Refuses requests that were meant for another name.

    A page on the web could otherwise have its own name point here and read the answers.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400."""
        if scope["type"] != "lifespan":
            host = Headers(scope=scope).get("host", "")
            if not self._access.is_own_name(host):
                error = UnknownHost(
                    "The request names a host that this machine is not.",
                    "Ask for localhost, or set ANIME_PUBLIC_URL to the name that is used.",
                )
                await _refuse(error, scope, receive, send)
                return
        await self._app(scope, receive, send)


class TokenCheck:
    """Refuses HTTP requests without one of the tokens, where there are any.

    Sockets are looked at by those who open them: a browser cannot send them a header.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "http" and self._access.needs_token and not self._may_enter(scope):
            error = TokenMissing(
                "This API asks for a token, and the request has none that it knows.",
                "Send it as `Authorization: Bearer …`; it is one of ANIME_API_TOKEN.",
            )
            await _refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _may_enter(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            return True
        if self._access.is_allowed(bearer_in(Headers(scope=scope).get("authorization"))):
            return True
        query = QueryParams(scope["query_string"])
        is_reading = scope["method"] in {"GET", "HEAD"}
        return is_reading and self._access.is_signed(path, query, now=time.time())


class BodyLimit:
    """Refuses bodies that are too long or too slow, whatever they say of their length."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body, or answer 408 or 413."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._read(scope, receive)
        except TimeoutError:
            stalled = RequestStalled(
                f"The body did not come in whole within {BODY_SECONDS:g} s.", "Send it again."
            )
            await _refuse(stalled, scope, receive, send)
        except AnimeError as error:
            await _refuse(error, scope, receive, send)
        else:
            if body is not None:
                await self._app(scope, _replayed(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None when whoever sends it has gone.

        Raises:
            BodyTooLarge: it has more bytes than are allowed. The rest is not read.
        """
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            raise self._too_large()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"The body has more than {self._max_bytes} bytes.",
            "Send less, or raise ANIME_API_MAX_BODY_BYTES.",
        )


class JsonRequest(Request):
    """A request whose JSON has each key once: of two values the first would be dropped."""

    async def json(self) -> Any:  # any JSON, as in Starlette
        """The body's value. Raises JSONDecodeError, which FastAPI answers with 422."""
        if not hasattr(self, "_json"):
            try:
                self._json = load_json(await self.body())
            except RepeatedKey as fault:
                raise JSONDecodeError(str(fault), "", 0) from None
        return self._json


class JsonRoute(APIRoute):
    """A route that takes a body, to be given to its router as `route_class`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, which is given a `JsonRequest`."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(JsonRequest(request.scope, request.receive))

        return handle


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "content-length" in headers or "transfer-encoding" in headers


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What gives the body once, and then what else there is to be received."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay


async def _refuse(error: AnimeError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the error. The rest of the body is thrown away first, if it is not endless.

    A connection that is closed with bytes unread is reset, and the answer may be lost with it.
    """
    response = problem_of(error, scope["path"])
    if scope["type"] == "http" and _has_body(scope):
        if "expect" not in Headers(scope=scope):  # else: it waits for our word before it sends
            await _discard(receive)
        response.headers["Connection"] = "close"
    await response(scope, receive, send)


async def _discard(receive: Receive) -> None:
    left = DISCARDED_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0:
                message = await receive()
                if not message.get("more_body", False):
                    return
                left -= len(message["body"])

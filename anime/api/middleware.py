"""What is checked before a request reaches any route: its Host, its token, its length.

Plain ASGI around all routes, so that a new route is behind it, too.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anime.api.access import SAFE_METHODS, SESSION_COOKIE, Access, bearer_in
from anime.api.problems import problem_of
from anime.api.rate_limit import RateLimit
from anime.core.callers import Caller, Role, role_needed
from anime.core.strict_json import RepeatedKey, load_json
from anime.errors import (
    AnimeError,
    BodyTooLarge,
    RequestStalled,
    TokenMissing,
    UnknownHost,
)

# Their answers are the same for everybody: that the process lives, and how to use the API.
ALIVE_PATHS = frozenset({"/health", "/api/anime/health"})
OPEN_PATHS = ALIVE_PATHS | {"/docs", "/openapi.json", "/login"}
OPEN_FOLDERS = ("/docs/", "/page/assets/")
VISITOR = Caller(None, Role.VIEW)  # of what is open, or of a signed address
BODY_SECONDS = 60.0
DISCARDED_BYTES = 128 * 2**20
DISCARD_SECONDS = 5.0


class HostCheck:
    """Refuses requests whose Host is another machine's name.

    A page on the web could otherwise point its own name here and read the answers.
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
                    "The request's Host is not a name of this machine.",
                    "Use localhost, or set ANIME_PUBLIC_URL to the name in the address.",
                )
                await _refuse(error, scope, receive, send)
                return
        await self._app(scope, receive, send)


class TokenCheck:
    """Finds out who sends an HTTP request, and refuses what they may not do.

    The WebSocket route checks its own: a browser cannot send a header with them.
    """

    def __init__(self, app: ASGIApp, access: Access, limit: RateLimit | None = None) -> None:
        self._app = app
        self._access = access
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401, 403 or 429; a page is redirected to the login."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = self._caller(scope)
        try:
            self._count(scope, caller)
            if caller is None and _is_page(scope):
                await _redirect_to_login(scope, receive, send)
                return
            if caller is None:
                raise TokenMissing(
                    "This API needs a token, and the request has none that it knows.",
                    "Send one of ANIME_API_TOKEN or ANIME_API_USERS as `Authorization: Bearer …`.",
                )
            caller.check(role_needed(scope["method"], scope["path"]))
        except AnimeError as error:
            await _refuse(error, scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _count(self, scope: Scope, caller: Caller | None) -> None:
        """Count the request, if requests are limited; what tells that we live is not counted."""
        if self._limit is None or scope["path"] in ALIVE_PATHS:
            return
        connection = HTTPConnection(scope)
        is_known = self._access.needs_token and caller not in (None, VISITOR)
        token = bearer_in(connection.headers.get("authorization"))
        session = connection.cookies.get(SESSION_COOKIE)
        self._limit.count(connection, (token or session) if is_known else None)

    def _caller(self, scope: Scope) -> Caller | None:
        path: str = scope["path"]
        connection = HTTPConnection(scope)
        token = bearer_in(connection.headers.get("authorization"))
        if (caller := self._access.caller_of(connection, token=token)) is not None:
            return caller
        is_signed = scope["method"] in SAFE_METHODS and self._access.is_signed(
            path, connection.query_params, now=time.time()
        )
        is_open = path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)
        return VISITOR if is_open or is_signed else None


class BodyLimit:
    """Refuses bodies that are too long or too slow, whatever Content-Length says.

    `uploads`: how long those of files may be, by the end of the route's path. Only they are passed
    on as they come in. `long_bodies`: how long those of routes that need more may be.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        uploads: Mapping[str, int],
        long_bodies: Mapping[str, int],
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._uploads = uploads
        self._long_bodies = long_bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its whole body, or answer 408 or 413."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        for path, max_bytes in self._uploads.items():
            if scope["path"].endswith(path):
                await self._stream(_Upload(max_bytes, scope, receive, send))
                return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._read(scope, receive)
        except TimeoutError:
            stalled = RequestStalled(
                f"The whole body did not arrive within {BODY_SECONDS:g} s.", "Send it again."
            )
            await _refuse(stalled, scope, receive, send)
        except AnimeError as error:
            await _refuse(error, scope, receive, send)
        else:
            if body is not None:
                await self._app(scope, _replayed(body, receive), send)

    async def _stream(self, upload: "_Upload") -> None:
        if upload.announced > upload.max_bytes:
            error = upload.too_large()
            await _refuse(error, upload.scope, upload.receive_raw, upload.send_raw)
        else:
            await self._app(upload.scope, upload.receive, upload.send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if the client has disconnected.

        Raises:
            BodyTooLarge: it has more bytes than are allowed. The rest is not read.
        """
        max_bytes = max(
            [
                self._max_bytes,
                *(most for end, most in self._long_bodies.items() if scope["path"].endswith(end)),
            ]
        )
        if _announced_bytes(scope) > max_bytes:
            raise _too_large(max_bytes)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            if not message.get("more_body", False):
                return bytes(body)


@dataclass(slots=True)
class _Upload:
    """A request whose body is passed on as it comes in."""

    max_bytes: int
    scope: Scope
    receive_raw: Receive
    send_raw: Send
    size: int = 0
    is_whole: bool = False

    @property
    def announced(self) -> int:
        return _announced_bytes(self.scope)

    async def receive(self) -> Message:
        """The next piece.

        Raises:
            BodyTooLarge: there are more bytes than are allowed.
            RequestStalled: it does not come in.
        """
        if self.is_whole:
            return await self.receive_raw()  # of a client that leaves
        try:
            async with asyncio.timeout(BODY_SECONDS):
                message = await self.receive_raw()
        except TimeoutError:
            raise RequestStalled(
                f"Nothing more of the body arrived within {BODY_SECONDS:g} s.", "Send it again."
            ) from None
        self.size += len(message.get("body", b""))
        self.is_whole = not message.get("more_body", False)
        if self.size > self.max_bytes:
            raise self.too_large()
        return message

    async def send(self, message: Message) -> None:
        """Answer; if the body was not read, as `_refuse` does."""
        if message["type"] == "http.response.start" and not self.is_whole:
            if "expect" not in Headers(scope=self.scope):
                await _discard(self.receive_raw)
            MutableHeaders(scope=message)["Connection"] = "close"
            self.is_whole = True
        await self.send_raw(message)

    def too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"The file has more than {self.max_bytes} bytes.", "Send a smaller one."
        )


class JsonRequest(Request):
    """A request that refuses JSON with a repeated key, whose first value would be dropped."""

    async def json(self) -> Any:  # any JSON, as in Starlette
        """The body's value. Raises JSONDecodeError, which FastAPI answers with 422."""
        if not hasattr(self, "_json"):
            try:
                self._json = load_json(await self.body())
            except RepeatedKey as fault:
                raise JSONDecodeError(str(fault), "", 0) from None
        return self._json


class JsonRoute(APIRoute):
    """A route that takes a body; the `route_class` of its router."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """A handler that gets a `JsonRequest`."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(JsonRequest(request.scope, request.receive))

        return handle


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body has more than {max_bytes} bytes.",
        "Send less, or raise ANIME_API_MAX_BODY_BYTES.",
    )


def _is_page(scope: Scope) -> bool:
    """Whether a browser opens a page, rather than a program an address of the API."""
    accepted = Headers(scope=scope).get("accept", "")
    is_opened = scope["method"] == "GET" and "text/html" in accepted
    return is_opened and not scope["path"].startswith("/api/")


async def _redirect_to_login(scope: Scope, receive: Receive, send: Send) -> None:
    """Ask for a token; the page that was asked for opens after it."""
    query = scope["query_string"].decode("latin-1")
    asked = scope["path"] + (f"?{query}" if query else "")
    address = f"/login?next={quote(asked, safe='')}"
    await RedirectResponse(address, status_code=303)(scope, receive, send)


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "content-length" in headers or "transfer-encoding" in headers


def _announced_bytes(scope: Scope) -> int:
    """What Content-Length says; 0 if it says nothing."""
    announced = Headers(scope=scope).get("content-length", "")
    return int(announced) if announced.isdecimal() else 0


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A receiver that returns the body once, and then whatever else arrives."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay


async def _refuse(error: AnimeError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the error, once the rest of the body is read and discarded, up to a limit.

    A connection that is closed with unread bytes is reset, which may lose the answer.
    """
    response = problem_of(error, scope["path"])
    if scope["type"] == "http" and _has_body(scope):
        if "expect" not in Headers(
            scope=scope
        ):  # else the client waits for our answer before it sends
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

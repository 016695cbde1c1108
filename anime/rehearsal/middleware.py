"""The requests that ComfyUI refuses or answers before it looks for a route."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from anime.rehearsal.config import Profile

MAX_BODY_BYTES = 100 * 2**20


class RehearsalMiddleware:
    """Refuses foreign origins (403) and bodies that are too large (413); answers OPTIONS."""

    def __init__(self, app: ASGIApp, profile: Profile) -> None:
        self._app = app
        self._profile = profile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it to the application."""
        answer = None if scope["type"] == "lifespan" else self._answer(scope)
        await (answer or self._app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        is_foreign = headers.get("sec-fetch-site") == "cross-site"
        if is_foreign and self._profile is Profile.V0_33:
            return Response(status_code=403)
        origin, host = headers.get("origin"), headers.get("host", "")
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            return Response(status_code=403)
        if int(headers.get("content-length") or 0) > MAX_BODY_BYTES:
            reason = f"Maximum request body size {MAX_BODY_BYTES} exceeded."
            return PlainTextResponse(reason, status_code=413)
        return Response() if scope.get("method") == "OPTIONS" else None

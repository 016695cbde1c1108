"""The forms of ComfyUI's answers and errors."""

import json
import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

logger = logging.getLogger(__name__)

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def json_reply(content: Any, status: int = 200) -> Response:  # any JSON value
    """A JSON answer; NaN is sent as `NaN`, as ComfyUI does."""
    return Response(json.dumps(content), status, media_type="application/json; charset=utf-8")


def empty_reply(status: int = 200) -> Response:
    """An answer that has a status and no body."""
    return Response(status_code=status)


def server_error() -> Response:
    """ComfyUI's answer 500 to input that makes it fail."""
    return PlainTextResponse(
        "500 Internal Server Error\n\nServer got itself in trouble", status_code=500
    )


def errors_as_500(endpoint: Endpoint) -> Endpoint:
    """The endpoint; it answers 500 in plain text when bad input makes it fail."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as fault:
            logger.info("%s %s: %r", request.method, request.url.path, fault)
            return server_error()

    return answer


async def json_body(request: Request) -> Any:  # whatever JSON the client sent
    """The JSON body in UTF-8, whatever its content type.

    Raises:
        JSONDecodeError: the body is not JSON.
        UnicodeDecodeError: it is no UTF-8.
    """
    return json.loads((await request.body()).decode())

"""The forms of ComfyUI's answers, and of its failures."""

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
    """A JSON answer; NaN goes out bare, as ComfyUI's does."""
    return Response(json.dumps(content), status, media_type="application/json; charset=utf-8")


def empty_reply(status: int = 200) -> Response:
    """An answer without a body, which says nothing but its status."""
    return Response(status_code=status)


def in_trouble() -> Response:
    """The 500 that any input ComfyUI did not foresee gets."""
    return PlainTextResponse(
        "500 Internal Server Error\n\nServer got itself in trouble", status_code=500
    )


def unforeseen(endpoint: Endpoint) -> Endpoint:
    """The endpoint, answering 500 in plain text where bad input makes it fail."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (ValueError, TypeError, KeyError, AttributeError) as fault:
            logger.info("%s %s: %r", request.method, request.url.path, fault)
            return in_trouble()

    return answer


async def body_of(request: Request) -> Any:  # whatever JSON the client sent
    """The JSON body, whatever its content type.

    Raises:
        ValueError: it is none.
    """
    return json.loads(await request.body())

"""Errors as problem documents, after RFC 9457."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from anime.core.field_errors import FieldError, field_errors_of, said_of
from anime.errors import AnimeError, TooManyRequests
from anime.net.tracing import current_trace_id

_log = logging.getLogger(__name__)

_NO_OBJECT = "model_attributes_type"  # also a body that is sent as anything but JSON
TYPE_PREFIX = "urn:anime:problem:"
_HEADERS = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "5"},
    HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": "5"},
}


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = "application/problem+json"


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the application with a problem document."""
    app.add_exception_handler(AnimeError, _our_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(Exception, _bug)


async def _our_error(request: Request, error: Exception) -> ProblemResponse:
    """The document about an error of ours; one of 5xx is also logged."""
    if not isinstance(error, AnimeError):
        raise error
    if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("%s %s: %s", request.method, request.url.path, error)
    return problem_of(error, request.url.path)


def problem_of(error: AnimeError, path: str) -> ProblemResponse:
    """The document about an error of ours, for a request of that path."""
    headers = _HEADERS.get(HTTPStatus(error.http_status))
    if isinstance(error, TooManyRequests):
        headers = {"Retry-After": str(error.wait_seconds)}
    return _problem(
        path,
        error.http_status,
        slug=error.slug,
        detail=error.what,
        todo=error.todo,
        headers=headers,
    )


async def _invalid_request(request: Request, error: Exception) -> ProblemResponse:
    """The document with each field that is not accepted, and the reason."""
    if not isinstance(error, RequestValidationError):
        raise error
    todo = "Correct these fields and send the request again."
    if any(each["type"] == _NO_OBJECT and each["loc"] == ("body",) for each in error.errors()):
        todo = "Send a JSON object, with the header Content-Type: application/json."
    faults = field_errors_of(error.errors(), skip=1)  # the first part is "body", "query" or "path"
    return _problem(
        request.url.path,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        slug="invalid-request",
        detail=said_of(faults),
        todo=todo,
        errors=faults,
    )


async def _framework_error(request: Request, error: Exception) -> ProblemResponse:
    """The document about an error of the framework: no such address, method not allowed."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    return _problem(
        request.url.path,
        status,
        slug=status.phrase.lower().replace(" ", "-"),
        detail=f"{request.method} {request.url.path}: {error.detail}.",
        todo="The addresses that exist are listed at /docs.",
        headers=error.headers,
    )


async def _bug(request: Request, error: Exception) -> ProblemResponse:
    """A document that says nothing of the error itself: uvicorn writes it to the log."""
    _log.error("%s %s: %s", request.method, request.url.path, type(error).__name__)
    return _problem(
        request.url.path,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        slug="internal",
        detail="Something unexpected went wrong here.",
        todo="See the log of the API, and report what it says.",
    )


def _problem(
    path: str,
    status: int,
    *,
    slug: str,
    detail: str,
    todo: str,
    errors: list[FieldError] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    document: dict[str, Any] = {  # strings, the status, and the list of fields
        "type": TYPE_PREFIX + slug,
        "title": slug.replace("-", " ").capitalize(),
        "status": int(status),
        "detail": detail,
        "todo": todo,
        "instance": path,
    }
    if (trace_id := current_trace_id()) is not None:
        document["trace_id"] = trace_id
    if errors is not None:
        document["errors"] = jsonable_encoder(errors)
    return ProblemResponse(document, status_code=status, headers=headers)

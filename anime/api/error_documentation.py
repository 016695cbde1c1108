"""Errors and examples in the OpenAPI document, and the check that it names all parameters."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from anime.api.problems import TYPE_PREFIX

# Slug, detail and what to do, as an example of each status.
_EXAMPLES: dict[int, tuple[str, str, str]] = {
    400: (
        "bad-request",
        "POST /api/anime/generate: There was an error parsing the body.",
        "The addresses that exist are listed at /docs.",
    ),
    401: (
        "token-missing",
        "This API needs a token, and the request has none that it knows.",
        "Send one of ANIME_API_TOKEN or ANIME_API_USERS as `Authorization: Bearer …`.",
    ),
    404: ("not-found", "There is no job 0….", "`anime jobs` lists the newest."),
    409: (
        "already-exists",
        "There is a project neon-city already.",
        "Use it, or choose another slug.",
    ),
    408: (
        "request-stalled",
        "The whole body did not arrive within 60 s.",
        "Send it again.",
    ),
    413: (
        "body-too-large",
        "The body has more than 1048576 bytes.",
        "Send less, or raise ANIME_API_MAX_BODY_BYTES.",
    ),
    416: ("range-not-satisfiable", "The file has 1024 bytes.", "Ask for bytes that it has."),
    422: (
        "invalid-request",
        "width: 100 is not a multiple of 8; the nearest is 96.",
        "Correct these fields and send the request again.",
    ),
    429: ("queue-full", "1000 jobs wait already.", "Try again later, as Retry-After says."),
    500: (
        "internal",
        "Something unexpected went wrong here.",
        "See the log of the API, and report what it says.",
    ),
    502: ("comfyui", "ComfyUI gave an answer that is no JSON.", "See the log of ComfyUI."),
    503: (
        "database-unavailable",
        "PostgreSQL does not serve anime_production.",
        "Start everything with `anime up`, or correct ANIME_DATABASE_URL.",
    ),
}


class DocumentedError(BaseModel):
    """One field that is not accepted, and why."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    """A problem document, after RFC 9457. Programs may act on `type`, which is stable."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description=f"Begins with {TYPE_PREFIX}")
    title: str
    status: int
    detail: str = Field(description="What failed, and on what.")
    todo: str = Field(description="What to do next.")
    instance: str = Field(description="The address that was asked for.")
    trace_id: str | None = Field(
        default=None, description="The request's OpenTelemetry trace, if it has one."
    )
    errors: list[DocumentedError] | None = Field(default=None, description="With 422: each field.")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:  # as FastAPI types it
    """The `responses` of a route that may answer with these errors."""
    return {status: _response(status) for status in statuses}


async def refuse_unknown_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not know, or that are given twice.

    Raises:
        RequestValidationError: there are such parameters; it names each.
    """
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = set(_query_parameters_of(route.dependant))
    given = Counter(name for name, _ in request.query_params.multi_items())
    unknown = [("extra_forbidden", name) for name in given if name not in known]
    twice = [("repeated", name) for name, times in given.items() if times > 1 and name in known]
    if faults := unknown + twice:  # no route takes a list: one of the two would be dropped
        raise RequestValidationError(
            [
                {"type": kind, "loc": ("query", name[:64]), "msg": "is given twice"}
                for kind, name in faults[:10]
            ]
        )


def extend_openapi(
    app: FastAPI, *, needs_token: bool, examples: Mapping[type[BaseModel], JsonValue]
) -> None:
    """Add errors, authentication and examples to the application's OpenAPI document."""

    def document() -> dict[str, Any]:  # JSON of OpenAPI's many shapes
        if not app.openapi_schema:
            made = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
            )
            _add_errors_of_bodies(made)
            parts = made.setdefault("components", {})
            parts.setdefault("schemas", {}).update(_schemas())
            for model, example in examples.items():
                parts["schemas"][_component_of(model)]["examples"] = [example]
            if needs_token:
                parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                made["security"] = [{"token": []}]
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's way to extend it


def _response(status: int) -> dict[str, Any]:  # as FastAPI types it
    slug, detail, todo = _EXAMPLES[status]
    example = ProblemDocument(
        type=TYPE_PREFIX + slug,
        title=slug.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        todo=todo,
        instance="/api/anime/generate",
        errors=[_fault_in(detail)] if status == HTTPStatus.UNPROCESSABLE_ENTITY else None,
    )
    return {
        "description": HTTPStatus(status).phrase,
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": example.model_dump(exclude_none=True),
            }
        },
    }


def _fault_in(detail: str) -> DocumentedError:
    field, _, message = detail.partition(": ")
    return DocumentedError(field=field, message=message.rstrip("."))


def _add_errors_of_bodies(document: dict[str, Any]) -> None:  # JSON of OpenAPI's many shapes
    for methods in document["paths"].values():
        for operation in methods.values():
            if "requestBody" in operation:
                errors = {str(status): _response(status) for status in (408, 413)}
                operation["responses"].update(errors)


def _schemas() -> dict[str, Any]:  # JSON schemas
    schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def _component_of(model: type[BaseModel]) -> str:
    """The name that FastAPI gives a model's schema, such as `Page_X_` for `Page[X]`."""
    return re.sub(r"[^A-Za-z0-9.\-_]", "_", model.__name__)


def _query_parameters_of(dependant: Dependant) -> Iterator[str]:
    """The names of the query parameters that a route and its dependencies take."""
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from kind.model_fields
        else:
            yield field.alias
    for inner in dependant.dependencies:
        yield from _query_parameters_of(inner)


# Unknown host, no token, unknown parameter, a bug, PostgreSQL away.
ANY_ROUTE = problems(400, 401, 422, 500, 503)

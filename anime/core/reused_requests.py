"""Fields of a request from what a file or a job says of how it was made, to be asked for again."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue, ValidationError

from anime.core.field_errors import field_errors_of
from anime.schemas import GenerationRequest

_SAME = (
    *("prompt", "negative_prompt", "seed", "width", "height", "steps", "cfg"),
    *("sampler", "scheduler", "model", "project", "character", "shot", "workflow"),
)
_MOVING = "video"


class ReusedRequest(BaseModel):
    """What a request can be begun with. Nothing in it is taken for granted: a person looks at it.

    The seed is decimal text, as it may exceed 2^53.
    """

    source: str = Field(description="Where it is from: job, or the program that wrote the file.")
    job_id: UUID | None
    request: dict[str, JsonValue] = Field(description="Fields of a request.")
    left_out: list[str] = Field(description="What no request can say, a sentence each.")


def of_job(job_id: UUID, request: GenerationRequest, *, seed: int | None) -> ReusedRequest:
    """The job's own request, with the seed that it was rendered with."""
    given = request.model_dump(mode="json", exclude_defaults=True)
    if seed is not None:
        given["seed"] = str(seed)
    return ReusedRequest(source="job", job_id=job_id, request=given, left_out=[])


def of_recipe(made: Mapping[str, JsonValue]) -> ReusedRequest:
    """What a recipe says, as far as requests have fields for it.

    Args:
        made: By the keys of a recipe, and those of a file's row.
    """
    given: dict[str, Any] = {name: made[name] for name in _SAME if made.get(name) not in (None, "")}
    given["loras"] = [
        {name: each[name] for name in ("name", "strength") if each.get(name) is not None}
        for each in _list_of(made.get("loras"))
        if isinstance(each, dict)
    ]
    if made.get("kind") == _MOVING:
        given["type"] = "video"
    kept, left_out = _kept(given)
    source = made.get("source")
    return ReusedRequest(
        source=source if isinstance(source, str) else "unknown",
        job_id=None,
        request={name: str(value) if name == "seed" else value for name, value in kept.items()},
        left_out=left_out,
    )


def _list_of(value: JsonValue) -> list[JsonValue]:
    return list(value) if isinstance(value, list | tuple) else []


def _kept(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields that a request takes, and why it does not take the others."""
    left_out: list[str] = []
    while True:
        try:
            whole = GenerationRequest.model_validate({"prompt": "any", **given})
        except ValidationError as fault:
            faults = {
                each.field.partition(".")[0]: str(each) for each in field_errors_of(fault.errors())
            }
            left_out += faults.values()
            is_known = not faults.keys().isdisjoint(given)
            given = {name: given[name] for name in given if is_known and name not in faults}
        else:
            said = whole.model_dump(mode="json", include=set(given), exclude_defaults=True)
            return said, left_out

"""What pydantic found wrong with what a person or a program sent, in sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from anime.errors import InvalidRequest

Model = TypeVar("Model", bound=BaseModel)

MOST_SAID = 20  # faults, or codes, that a text names
_WORDS = {
    "extra_forbidden": "is not known",
    "missing": "is missing",
    "json_invalid": "is no valid JSON",
    "string_too_short": "is empty",
    "model_attributes_type": "is no JSON object",
}


@dataclass(frozen=True)
class FieldError:
    """One field that cannot be taken, and why."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}."


def checked(model: type[Model], fields: Any, todo: str, *, of: str = "") -> Model:
    """What the model makes of the fields, whatever they are.

    Raises:
        InvalidRequest: a sentence for each field that is not accepted, after `of`.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as fault:
        faults = field_errors_of(fault.errors(include_input=False, include_url=False))
        raise InvalidRequest(of + said_of(faults), todo) from None


def said_of(faults: Sequence[object]) -> str:
    """The faults in one text; of very many the first, and how many more there are."""
    more = f" And {len(faults) - MOST_SAID:,} more." if len(faults) > MOST_SAID else ""
    return " ".join(map(str, faults[:MOST_SAID])) + more


def field_errors_of(errors: Sequence[Mapping[str, Any]], *, skip: int = 0) -> list[FieldError]:
    """The faults in pydantic's list of errors, whose places begin `skip` levels down.

    The value itself is left out: it may be a prompt of any length.

    >>> str(field_errors_of([{"type": "missing", "loc": ("prompt",), "msg": "Field required"}])[0])
    'prompt: is missing.'
    """
    return [FieldError(_field(error, skip), _message(error)) for error in errors]


def _field(error: Mapping[str, Any], skip: int) -> str:
    if error["type"] == "json_invalid":  # its place is a position in the text
        return "the request"
    return ".".join(map(str, error["loc"][skip:])) or "the request"


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid" and (why := error.get("ctx", {}).get("error")):
        return f"{_WORDS['json_invalid']}: {why}"
    said = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    begins = said[:1] if said[1:2].isupper() else said[:1].lower()  # UUID stays as it is
    return _WORDS.get(error["type"], begins + said[1:])

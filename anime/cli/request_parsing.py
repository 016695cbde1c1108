"""From a command's arguments to a request or a query."""

import math
from collections.abc import Iterable
from typing import Any

from pydantic import JsonValue

from anime.core.field_errors import Model, checked
from anime.core.strict_json import RepeatedKey, load_json
from anime.errors import InvalidRequest
from anime.schemas import GenerationRequest, LoraChoice


def parse_request(**fields: Any) -> GenerationRequest:  # values of any field, by name
    """The request with those fields that were given.

    Raises:
        InvalidRequest: a sentence for each field that is not accepted.
    """
    given = {name: value for name, value in fields.items() if value not in (None, [], {})}
    return parse_options(GenerationRequest, "generate", **given)


def parse_options(model: type[Model], command: str, /, **fields: Any) -> Model:  # as above
    """The query or request that the options of a command make.

    Raises:
        InvalidRequest: a sentence for each option that is not accepted.
    """
    return checked(model, fields, f"`anime {command} --help` lists the options.")


def parse_lora(text: str) -> LoraChoice:
    """The LoRA in `NAME` or `NAME:STRENGTH`.

    >>> parse_lora("ink.safetensors:0.7").strength
    0.7
    """
    name, _, strength = text.rpartition(":")
    number = _number(strength) if name else None
    fields = {"name": text} if number is None else {"name": name, "strength": number}
    todo = "Give it as NAME or NAME:STRENGTH, such as ink.safetensors:0.7."
    return checked(LoraChoice, fields, todo, of=f"--lora {text[:80]}: ")


def parse_inputs(texts: Iterable[str], option: str = "--input") -> dict[str, JsonValue]:
    """The inputs in texts `NAME=VALUE`; a value that is no JSON is text.

    >>> parse_inputs(["frames=16", "style=ink"])
    {'frames': 16, 'style': 'ink'}
    """
    inputs: dict[str, JsonValue] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            lack = "value" if name else "name"
            raise InvalidRequest(f"{option} {text[:80]} has no {lack}.", "Give it as NAME=VALUE.")
        if name in inputs:
            raise InvalidRequest(f"{option} {name[:80]} is given twice.", "Give it once.")
        inputs[name] = _json_or_text(f"{option} {name[:80]}", value)
    return inputs


def _json_or_text(what: str, text: str) -> JsonValue:
    try:
        return load_json(text, parse_constant=str)
    except RepeatedKey as fault:
        raise InvalidRequest(f"{what}: {fault}.", "Keep one of the two.") from None
    except ValueError:
        return text


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

"""Fields of a tool's JSON settings, each of the type that it should be or None."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from pydantic import JsonValue

from anime.assets.metadata.lora_tags import number_in, whole_in
from anime.assets.metadata.recipe import LoraUse

Fields = Mapping[str, JsonValue]


def text_of(fields: Fields, *names: str) -> str | None:
    """The first of these fields that is a text with something in it."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return value
    return None


def number_of(fields: Fields, *names: str) -> float | None:
    """The first of these fields that is a number, or a text of one."""
    return next((n for name in names if (n := number_in(fields.get(name))) is not None), None)


def whole_of(fields: Fields, *names: str) -> int | None:
    """The first of these fields that is a whole number, or a text of one."""
    return next((n for name in names if (n := whole_in(fields.get(name))) is not None), None)


def fields_of(value: JsonValue) -> Fields:
    """The fields of an object; none of anything else."""
    return value if isinstance(value, dict) else {}


def loras_of(names: JsonValue, strengths: JsonValue) -> tuple[LoraUse, ...]:
    """LoRAs of which names and strengths are listed apart."""
    return tuple(
        LoraUse(name=name, strength=number_in(weight))
        for name, weight in zip_longest(_items(names), _items(strengths))
        if isinstance(name, str) and name
    )


def _items(value: JsonValue) -> Sequence[JsonValue]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")] if value else []
    return value if isinstance(value, list) else []


def objects_in(value: JsonValue) -> Iterator[Fields]:
    """The objects of a list."""
    yield from (each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()

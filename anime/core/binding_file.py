"""Writes a binding as the text of NAME.toml, for people to read and to change."""

import json
from collections.abc import Mapping
from typing import Any

from anime.core.bindings import REQUEST_FIELDS, Binding, InputBinding

_MOST_CHARS = 100  # of an input on one line; longer ones get a table of their own
_WORDY = frozenset({"places", "description", "kind"})


def binding_text(binding: Binding, signals: Mapping[str, str]) -> str:
    """The binding in TOML; `signals` are comments for its inputs, by name."""
    tables = binding.model_dump(mode="json", by_alias=True, exclude={"inputs", "loras"})
    defaults = {"needs_prompt": True, "description": ""}
    lines = [
        f"{key} = {_value(_without_empty(value))}"
        for key, value in tables.items()
        if value is not None and value != defaults.get(key)
    ]
    short, long = _inputs(binding, signals)
    lines += ["", "[inputs]", *short]
    for table in long:
        lines += ["", *table]
    for place in binding.loras:
        lines += ["", "[[loras]]"]
        lines += [f"{key} = {_value(value)}" for key, value in _set_keys(place).items()]
    return "\n".join(lines) + "\n"


def _inputs(binding: Binding, signals: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    """The inputs that have a line each, and those that have a table each."""
    short: list[str] = []
    long: list[list[str]] = []
    for name, bound in binding.inputs.items():
        keys = _keys_of(name, bound)
        line = f"{_key(name)} = {_value(keys)}"
        comment = f"  # {_one_line(signals[name])}" if name in signals else ""
        if len(line) <= _MOST_CHARS and not _WORDY & keys.keys():
            short.append(f"{line}{comment}")
        else:
            long.append([f"[inputs.{_key(name)}]{comment}", *_table(keys)])
    return short, long


def _table(keys: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, value in keys.items():
        if key in {"places", "also"}:
            lines += [f"{key} = [", *(f"    {_value(each)}," for each in value), "]"]
        else:
            lines.append(f"{key} = {_value(value)}")
    return lines


def _keys_of(name: str, bound: InputBinding) -> dict[str, Any]:
    """What the file is to say of an input: no more than is needed."""
    keys = _set_keys(bound)
    if REQUEST_FIELDS.get(name) == bound.kind:
        keys.pop("kind", None)
    return keys


def _set_keys(part: Any) -> dict[str, Any]:  # a model of the binding file
    """The keys that differ from their defaults; whole numbers without a point."""
    dumped = part.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {key: _without_empty(value) for key, value in dumped.items()}


def _without_empty(value: Any) -> Any:  # any JSON
    """The value without keys of nothing; a float that is whole becomes an int."""
    if isinstance(value, dict):
        return {key: _without_empty(each) for key, each in value.items() if each not in (None, "")}
    if isinstance(value, list):
        return [_without_empty(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _value(value: Any) -> str:  # any JSON
    """A value in TOML, on one line."""
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        # TOML takes JSON's escapes; half a sign of UTF-16 has no place in either.
        whole = value.encode("utf-8", "replace").decode("utf-8")
        return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if is_bare else _value(name)


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)

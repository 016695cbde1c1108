"""JSON that somebody else wrote: read within bounds, and so that PostgreSQL can hold it."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress

from pydantic import JsonValue
from pydantic_core import from_json

MAX_JSON_CHARS = 4 * 1024 * 1024
_MAX_DEPTH = 64  # graphs have six or seven; pydantic stops at 255
_ESCAPES = ("\\u0000", "\\ud", "\\uD")  # of NUL, and of what may be a lone surrogate
# PostgreSQL's numbers end at some point, too: all digits are made noughts, signs are left out.
_MANY_DIGITS, _LARGE_EXPONENT = b"0" * 400, b"0e000"
_TO_NOUGHTS = bytes.maketrans(b"123456789E", b"000000000e")
_TO_PARENTHESES = bytes.maketrans(b"[{]}", b"(())")
_OTHER_BYTES = bytes(set(range(256)) - set(b"[{]}"))


def read_json(text: str) -> JsonValue:
    """The value; None for what is no object or list, too long or too deep.

    NUL and lone surrogates become U+FFFD, and numbers that JSON has no word for become None.

    >>> read_json('{"a": [1, NaN]}')
    {'a': [1, None]}
    """
    return read_json_text(text)[0]


def read_json_text(text: str) -> tuple[JsonValue, str | None]:
    """The value, and the text itself if PostgreSQL takes it for that value as it is.

    >>> read_json_text('[1e3]'), read_json_text('[NaN]')
    (([1000.0], '[1e3]'), ([None], None))
    """
    text = text.removeprefix("\ufeff").rstrip("\0")  # as some mark the beginning, or the end
    if len(text) > MAX_JSON_CHARS or not text.lstrip().startswith(("{", "[")):
        return None, None
    if _is_harmless(text):
        with suppress(ValueError):  # also of a number that JSON has no word for
            # In half the time that the standard library takes.
            return from_json(text, allow_inf_nan=False, cache_strings="keys"), text
    try:
        return storable(_DECODER.decode(text), _MAX_DEPTH), None
    except (ValueError, RecursionError):
        return None, None


def storable_text(text: str) -> str:
    """The text without what PostgreSQL refuses: NUL and lone surrogates become U+FFFD."""
    if text.isascii():
        return text.replace("\x00", "\ufffd")
    kept = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return kept.replace("\x00", "\ufffd")


def storable(value: JsonValue, depth: float = math.inf) -> JsonValue:
    """The same value, every text in it storable.

    Raises:
        ValueError: it is nested more deeply.
    """
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list | dict) and depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [storable(part, depth - 1) for part in value]
    if isinstance(value, dict):
        return {storable_text(key): storable(part, depth - 1) for key, part in value.items()}
    return value


def json_text(value: JsonValue) -> str:
    """The value as PostgreSQL takes it: without NUL, lone surrogates and numbers that are none."""
    try:
        text = _ENCODER.encode(value)
    except ValueError:
        return json.dumps(_cleaned(value))
    return json.dumps(_cleaned(value)) if "\\u0000" in text or "\\ud" in text else text


def with_fields(text: str, fields: Mapping[str, JsonValue]) -> str:
    """The text of a JSON object with further fields; PostgreSQL keeps the last of a name.

    >>> with_fields('{"seed": "5"}', {"owner_by": "name"})
    '{"seed": "5", "owner_by": "name"}'
    """
    if not fields:
        return text
    more = json_text(dict(fields))
    return more if text == "{}" else f"{text[:-1]}, {more[1:]}"


def _cleaned(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return value.replace("\x00", "").encode("utf-8", "replace").decode()
        case float() if value != value or abs(value) == float("inf"):
            return None
        case list():
            return [_cleaned(part) for part in value]
        case dict():
            return {str(_cleaned(key)): _cleaned(part) for key, part in value.items()}
        case _:
            return value


def _is_harmless(text: str) -> bool:
    """Whether nothing in it needs a change, by looks that cost a tenth of walking through it.

    Only what is harmless for sure is called so: brackets in a prompt may make it look deep.
    """
    if "\\" in text and any(escape in text for escape in _ESCAPES):
        return False
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        return False
    numbers = octets.translate(_TO_NOUGHTS, b"+-")
    if _LARGE_EXPONENT in numbers or _MANY_DIGITS in numbers:
        return False
    brackets = octets.translate(_TO_PARENTHESES, _OTHER_BYTES)
    for _ in range(_MAX_DEPTH):
        if not brackets:
            return True
        brackets = brackets.replace(b"()", b"")
    return not brackets


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _nothing(_word: str) -> None:
    return None


# Made once: `json.loads` would make one for each text.
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_nothing)
_ENCODER = json.JSONEncoder(allow_nan=False)  # as above

"""JSON that somebody else wrote: read within bounds, and so that PostgreSQL can hold it."""

import json
import math
import re

from pydantic import JsonValue
from pydantic_core import from_json

MAX_JSON_CHARS = 4 * 1024 * 1024
_MAX_DEPTH = 64  # graphs have six or seven; pydantic stops at 255
# What may stand for a NUL, a lone surrogate, or a number that JSON has no word for.
_ESCAPES = ("\\u0000", "\\ud", "\\uD", "NaN", "Infinity")
_LARGE_EXPONENTS = (re.compile(r"e\+?\d{3}"), re.compile(r"E\+?\d{3}"))  # each is fast alone
_TO_PARENTHESES = bytes.maketrans(b"[{]}", b"(())")
_OTHER_BYTES = bytes(set(range(256)) - set(b"[{]}"))


def read_json(text: str) -> JsonValue:
    """The value; None for what is no object or list, too long or too deep.

    NUL and lone surrogates become U+FFFD, and numbers that JSON has no word for become None.

    >>> read_json('{"a": [1, NaN]}')
    {'a': [1, None]}
    """
    if len(text) > MAX_JSON_CHARS or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        if _is_harmless(text):
            # In half the time that the standard library takes.
            value: JsonValue = from_json(text, allow_inf_nan=False, cache_strings="keys")
            return value
        return _storable(_DECODER.decode(text), _MAX_DEPTH)
    except (ValueError, RecursionError):
        return None


def storable_text(text: str) -> str:
    """The text without what PostgreSQL refuses: NUL and lone surrogates become U+FFFD."""
    if text.isascii():
        return text.replace("\x00", "\ufffd")
    kept = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return kept.replace("\x00", "\ufffd")


def _is_harmless(text: str) -> bool:
    """Whether nothing in it needs a change, by a look that costs a tenth of walking through it.

    Only what is harmless for sure is called so: brackets in a prompt may make it look deep.
    """
    if any(escape in text for escape in _ESCAPES):
        return False
    if any(exponent.search(text) for exponent in _LARGE_EXPONENTS):
        return False
    try:
        brackets = text.encode().translate(_TO_PARENTHESES, _OTHER_BYTES)
    except UnicodeEncodeError:
        return False
    for _ in range(_MAX_DEPTH):
        if not brackets:
            return True
        brackets = brackets.replace(b"()", b"")
    return not brackets


def _storable(value: JsonValue, depth: int) -> JsonValue:
    """The same value, every text in it storable."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list | dict) and depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [_storable(part, depth - 1) for part in value]
    if isinstance(value, dict):
        return {storable_text(key): _storable(part, depth - 1) for key, part in value.items()}
    return value


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def _nothing(_word: str) -> None:
    return None


# Made once: `json.loads` would make one for each text.
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_nothing)

"""JSON that somebody else wrote: read within bounds, and so that PostgreSQL can hold it."""

import json
import math

from pydantic import JsonValue

MAX_JSON_CHARS = 4 * 1024 * 1024
_MAX_DEPTH = 64  # graphs have six or seven; the parsers of others stop at about a hundred
_MAX_DIGITS = 100  # of a whole number


def read_json(text: str) -> JsonValue:
    """The value; None for what is no JSON, too long or too deep.

    NUL and lone surrogates become U+FFFD, and numbers that JSON has no word for become None.

    >>> read_json('{"a": [1, NaN]}')
    {'a': [1, None]}
    """
    if not text.lstrip().startswith(("{", "[")) or len(text) > MAX_JSON_CHARS:
        return None
    try:
        value = json.loads(text, parse_float=_finite, parse_int=_whole, parse_constant=_nothing)
        return _storable(value, _MAX_DEPTH)
    except (ValueError, RecursionError):
        return None


def storable_text(text: str) -> str:
    """The text without what PostgreSQL refuses: NUL and lone surrogates become U+FFFD."""
    if text.isascii():
        return text.replace("\x00", "\ufffd")
    kept = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return kept.replace("\x00", "\ufffd")


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


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _nothing(_word: str) -> None:
    return None

"""JSON that is sent to us: each key once, so that nothing of it is dropped without a word."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from pydantic import JsonValue

_KEY_CHARS = 64  # of a key, in an error


class RepeatedKey(ValueError):
    """An object has a key twice. Python's reader would keep the last value and drop the other."""


def load_json(
    text: str | bytes, *, parse_constant: Callable[[str], JsonValue] | None = None
) -> JsonValue:
    """The value, as `json.loads` reads it.

    Raises:
        RepeatedKey: an object in it has a key twice; the message names the key.
        ValueError: the text is no JSON.

    >>> load_json('{"steps": 4}')
    {'steps': 4}
    """
    value: JsonValue = json.loads(text, object_pairs_hook=_object_of, parse_constant=parse_constant)
    return value


def check_keys(text: str) -> None:
    """Make sure that no object has a key twice. What else is wrong, its reader says.

    Raises:
        RepeatedKey: one has; the message names the key.
    """
    try:
        load_json(text)
    except RepeatedKey:
        raise
    except (ValueError, RecursionError):
        return


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # values of any JSON
    found = dict(pairs)
    if len(found) < len(pairs):
        again = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise RepeatedKey(f'the key "{again[:_KEY_CHARS]}" stands twice in one object')
    return found

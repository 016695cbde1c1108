"""JSON as ComfyUI writes it, with text that can be stored."""

import json
import re
from typing import Any

from anime.core.foreign_json import storable

# JSON as it comes.
Json = Any
# NUL, or half of a character of two: either may stand in what a custom node raises or lists.
_SUSPECT = re.compile(rb"\\u0000|\\ud[89a-f]", re.IGNORECASE)


def read_json(text: str | bytes) -> Json:
    r"""The JSON; NUL and lone surrogates, which PostgreSQL cannot hold, become U+FFFD.

    ComfyUI may write a bare NaN, which Python's parser accepts.

    >>> read_json(r'{"a": "\u0000 \ud83e\udd8a \udcff"}')
    {'a': '� 🦊 �'}
    """
    content = json.loads(text)
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    return storable(content) if _SUSPECT.search(raw) else content

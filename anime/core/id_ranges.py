"""Ids as an address has them: `3,7-12`."""

import re

from anime.errors import InvalidRequest

MAX_ID = 2**31 - 1  # PostgreSQL's integer
_PART = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")


def numbers_in(text: str, *, at_most: int) -> list[int]:
    """The numbers, in the order given, none twice.

    >>> numbers_in("3,7-9,8", at_most=10)
    [3, 7, 8, 9]

    Raises:
        InvalidRequest: these are no ids, or more than `at_most`.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        matched = _PART.fullmatch(part.strip())
        first = int(matched[1]) if matched else 0
        last = int(matched[2] or first) if matched else 0
        if not 1 <= first <= last <= MAX_ID:
            raise InvalidRequest(f"ids: {part[:40]!r} is no id.", "Write 3,7-12.")
        if last - first >= at_most or len(found) + last - first >= at_most:
            raise InvalidRequest(f"ids: more than {at_most} are asked for.", "Ask for fewer.")
        found.update(dict.fromkeys(range(first, last + 1)))
    return list(found)

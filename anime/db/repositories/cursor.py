"""Where a page of a list ends: lists go newest first, and by id among rows of one moment.

A page begins after the last row of the one before it, wherever that now is: rows that come in
meanwhile neither repeat nor hide others.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar
from uuid import UUID

from anime.errors import InvalidRequest

Item = TypeVar("Item")
Id = TypeVar("Id", UUID, int)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PageCut(NamedTuple):
    """What a row is sorted by: when it was made, then its id (a UUID or a number)."""

    created_at: datetime
    id: UUID | int


def cursor_at(cut: PageCut) -> str:
    """The text that stands for a row's position; it says nothing to people, and stays valid.

    >>> cursor_at(PageCut(datetime(2026, 1, 2, tzinfo=UTC), 7))
    'MTc2NzMxMjAwMDAwMDAwMC43'
    """
    micros = (cut.created_at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(f"{micros}.{cut.id}".encode()).decode().rstrip("=")


def cut_at(cursor: str, read_id: Callable[[str], Id]) -> tuple[datetime, Id]:
    """The position that a cursor stands for; `read_id` is UUID or int, whatever the list's ids are.

    Raises:
        InvalidRequest: it is not one of ours, or of another list.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        micros, _, row_id = text.partition(".")
        return _EPOCH + int(micros) * _MICROSECOND, read_id(row_id)
    except (binascii.Error, ValueError, OverflowError):
        raise InvalidRequest(
            f"cursor: {cursor[:40]!r} is none of this list.",
            "Take next_cursor of the page before, unchanged, or leave it out to begin anew.",
        ) from None


def page_of(
    found: Sequence[Item], limit: int, cut: Callable[[Item], PageCut]
) -> tuple[list[Item], str | None]:
    """The first `limit` rows, and the cursor of the next page; None at the end.

    `found` is one row more than the limit, where there is one.
    """
    page = list(found[:limit])
    return page, cursor_at(cut(page[-1])) if len(found) > limit else None

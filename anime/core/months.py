"""Months of the studio's calendar, and how many files each has, reckoned from days in UTC."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field

from anime.errors import InvalidRequest

_EPOCH = date(1970, 1, 1)
# What the calendar can be reckoned with, in any zone.
_FIRST, _LAST = date(2, 1, 1), date(9998, 12, 1)
MonthName = Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", examples=["2026-04"])]


class MonthOfFiles(BaseModel):
    """How many files were made in a month."""

    month: MonthName = Field(description="Year and month in the studio's time zone.")
    files: int = Field(ge=0)


class Span(NamedTuple):
    """From the first moment to before the second one."""

    begin: datetime
    end: datetime


def month_span(month: str, zone: tzinfo) -> Span:
    """When the month begins and ends.

    >>> from datetime import UTC
    >>> [str(each.date()) for each in month_span("2026-12", UTC)]
    ['2026-12-01', '2027-01-01']

    Raises:
        InvalidRequest: no calendar goes so far.
    """
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        first = date.min
    if not _FIRST <= first <= _LAST:
        raise InvalidRequest(f"{month[:40]!r} is no month.", "Write 2026-04.")
    return Span(_begin(first, zone), _begin(_next_month(first), zone))


def cut_days(days: Iterable[int], zone: tzinfo) -> list[Span]:
    """The part that the old month has of each day (since 1970, UTC) within which a new one begins.

    >>> from datetime import timedelta, timezone
    >>> [span] = cut_days([20543, 20544, 20545], timezone(timedelta(hours=9)))
    >>> span.begin.isoformat(), span.end.isoformat()
    ('2026-03-31T00:00:00+00:00', '2026-04-01T00:00:00+09:00')
    """
    spans = []
    for day in sorted(days):
        begin = _day_begin(day)
        if begin is None:
            continue
        local = begin.astimezone(zone).date()
        month_begin = _begin(_next_month(local.replace(day=1)), zone)
        if begin < month_begin < begin + timedelta(days=1):
            spans.append(Span(begin, month_begin))
    return spans


def months_of(
    files_by_day: Mapping[int, int], in_spans: Mapping[Span, int], zone: tzinfo
) -> list[MonthOfFiles]:
    """The months that have files, the newest first; `in_spans`: how many are in each of `cut_days`.

    >>> from datetime import UTC
    >>> [each.month for each in months_of({20543: 2, 20544: 1}, {}, UTC)]
    ['2026-04', '2026-03']
    """
    found: dict[date, int] = {}
    of_old_month = {span.begin: count for span, count in in_spans.items()}
    for day, count in files_by_day.items():
        begin = _day_begin(day)
        if begin is None:
            continue
        first = begin.astimezone(zone).date().replace(day=1)
        old = min(count, of_old_month.get(begin, count))
        found[first] = found.get(first, 0) + old
        if count > old:
            after = _next_month(first)
            found[after] = found.get(after, 0) + count - old
    return [
        MonthOfFiles(month=f"{first:%Y-%m}", files=found[first])
        for first in sorted(found, reverse=True)
        if found[first]
    ]


def _day_begin(day: int) -> datetime | None:
    """When the day begins in UTC; None for one that no calendar has."""
    try:
        begin = _EPOCH + timedelta(days=day)
    except OverflowError:
        return None
    return datetime.combine(begin, time(), UTC) if _FIRST <= begin <= _LAST else None


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _begin(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone)

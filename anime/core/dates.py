"""Moments as people write them: a day in the studio, or a date and time."""

from datetime import date, datetime, time, timedelta, tzinfo

from anime.errors import InvalidRequest


def begin_of(text: str, zone: tzinfo) -> datetime:
    """The moment meant, or the beginning of the day.

    >>> from datetime import UTC
    >>> begin_of("2026-04-12", UTC).isoformat()
    '2026-04-12T00:00:00+00:00'

    Raises:
        InvalidRequest: it is neither a day nor a moment.
    """
    moment = _moment_or_day(text)
    return _begin(moment, zone) if not isinstance(moment, datetime) else _in_zone(moment, zone)


def end_of(text: str, zone: tzinfo) -> datetime:
    """The moment meant, or the end of the day: the first moment that is no longer part of it.

    >>> from datetime import UTC
    >>> end_of("2026-04-12", UTC).isoformat()
    '2026-04-13T00:00:00+00:00'

    Raises:
        InvalidRequest: it is neither a day nor a moment.
    """
    moment = _moment_or_day(text)
    if isinstance(moment, datetime):
        return _in_zone(moment, zone)
    return _begin(moment + timedelta(days=1), zone)


def _moment_or_day(text: str) -> date | datetime:
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            found = read(text.strip())
        except ValueError:
            continue
        # Python's calendar ends where a zone could not be reckoned with any more.
        if date.min.year < found.year < date.max.year:
            return found
    raise InvalidRequest(
        f"{text[:40]!r} is no date.", "Write 2026-04-12, or 2026-04-12T18:30 for a moment."
    )


def _begin(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _in_zone(moment: datetime, zone: tzinfo) -> datetime:
    """A moment without a zone is the studio's."""
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)

"""Dates as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from anime.core.dates import begin_of, end_of
from anime.errors import InvalidRequest

TOKYO = timezone(timedelta(hours=9))


def test_a_day_is_a_day_of_the_studio() -> None:
    assert begin_of("2026-04-12", TOKYO) == datetime(2026, 4, 11, 15, tzinfo=UTC)
    assert end_of("2026-04-12", TOKYO) == datetime(2026, 4, 12, 15, tzinfo=UTC)


def test_a_moment_without_a_zone_is_the_studios() -> None:
    moment = datetime(2026, 4, 12, 18, 30, tzinfo=TOKYO)
    assert begin_of("2026-04-12T18:30", TOKYO) == end_of("2026-04-12 18:30", TOKYO) == moment


def test_a_moment_with_a_zone_is_what_it_says() -> None:
    assert begin_of(" 2026-04-12T18:30Z", TOKYO) == datetime(2026, 4, 12, 18, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "9999-12-31", "0001-01-01"])
def test_what_is_no_date_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidRequest, match="2026-04-12"):
        begin_of(text, UTC)

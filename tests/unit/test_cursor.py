"""Cursors: what comes out is what went in, and nothing else is taken."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from anime.db.repositories.cursor import PageCut, cursor_at, cut_at, page_of
from anime.errors import InvalidRequest

MOMENTS = some.datetimes(
    min_value=datetime(1900, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=some.just(UTC),
)


@given(MOMENTS, some.uuids())
def test_a_cursor_keeps_the_moment_to_the_microsecond_and_the_id(at: datetime, id_: UUID) -> None:
    assert cut_at(cursor_at(PageCut(at, id_)), UUID) == (at, id_)


@given(MOMENTS, some.integers(min_value=1, max_value=2**31 - 1))
def test_ids_may_be_numbers(at: datetime, id_: int) -> None:
    assert cut_at(cursor_at(PageCut(at, id_)), int) == (at, id_)


@given(some.text(max_size=60))
def test_any_other_text_is_refused_and_no_bug(text: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor"):
        cut_at(text, UUID)


@pytest.mark.parametrize(
    "text", ["", "abc", "MTIz", "ß", "x" * 4000, "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OS43"]
)
def test_what_is_no_cursor_is_named(text: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor"):
        cut_at(text, UUID)


def test_the_last_page_has_no_next_one() -> None:
    rows = [PageCut(datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=n), n) for n in range(3)]
    page, cursor = page_of(rows, 2, lambda row: row)
    assert page == rows[:2]
    assert cursor == cursor_at(rows[1])
    assert page_of(rows, 3, lambda row: row) == (rows, None)

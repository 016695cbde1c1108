from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath

import pytest

from anime.core.retention import (
    NOTICE,
    ArchiveTake,
    KeepDays,
    LeaveTake,
    QuarantineDay,
    RejectedTake,
    RetentionReport,
    is_due,
    plan_days,
    plan_take,
)

NOW = datetime(2026, 4, 12, 5, tzinfo=UTC)


def aside(day: date) -> QuarantineDay:
    return QuarantineDay(day, PurePosixPath(f"/library/quarantine/{day:%Y%m%d}"), 2, 30)


def take(path: str) -> RejectedTake:
    return RejectedTake(7, path, None, None, "rain")


def planned(
    days: int, *ages: int, announced: dict[str, datetime] | None = None
) -> list[tuple[QuarantineDay, bool]]:
    of_days = [aside(NOW.date() - timedelta(days=age)) for age in ages]
    return plan_days(of_days, days, NOW.date(), announced=announced or {}, now=NOW)


def test_everything_is_kept_unless_something_is_set() -> None:
    assert KeepDays().is_off
    assert not KeepDays(quarantine=30).is_off


def test_zero_days_are_for_ever() -> None:
    assert not is_due(datetime(1990, 1, 1, tzinfo=UTC), 0, NOW)
    assert planned(0, 10_000) == []


def test_so_many_days_have_to_be_over() -> None:
    assert not is_due(NOW - timedelta(days=30), 30, NOW)
    assert is_due(NOW - timedelta(days=30, seconds=1), 30, NOW)
    assert planned(30, 30) == []
    assert len(planned(30, 31)) == 1


def test_quarantine_is_announced_before_it_is_removed() -> None:
    [(day, is_removed)] = planned(30, 31)
    assert not is_removed
    told = {day.path.name: NOW - NOTICE}
    assert planned(30, 31, announced=told) == [(day, True)]


def test_an_announcement_of_this_night_is_none_yet() -> None:
    told = {"20260312": NOW - timedelta(hours=1)}
    assert [is_removed for _, is_removed in planned(30, 31, announced=told)] == [False]


def test_an_announcement_is_for_its_day_only() -> None:
    told = {"20260311": NOW - timedelta(days=3)}
    assert [is_removed for _, is_removed in planned(30, 31, announced=told)] == [False]


def test_a_take_keeps_its_place_in_the_archive() -> None:
    step = plan_take(take("/library/rain/images/20260401/a.png"), PurePosixPath("/library"))
    assert isinstance(step, ArchiveTake)
    assert str(step.target) == "rain/images/20260401/a.png"


@pytest.mark.parametrize("path", ["/elsewhere/a.png", "/library/../etc/passwd", "", "a.png"])
def test_a_row_that_points_out_of_the_library_is_left_alone(path: str) -> None:
    assert isinstance(plan_take(take(path), PurePosixPath("/library")), LeaveTake)


def test_a_report_counts_all_takes_and_names_the_first() -> None:
    report = RetentionReport(is_dry_run=True)
    for number in range(600):
        report.note_take(ArchiveTake(take(f"/{number}"), PurePosixPath("a")), size_bytes=2)
    report.note_take(LeaveTake(take("/b"), "It is gone."))
    assert (report.archived.files, report.archived.size_bytes, report.left) == (600, 1200, 1)
    assert len(report.takes) == 500

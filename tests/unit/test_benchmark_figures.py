"""What the benchmarks make of the times they see."""

from typing import Any

import pytest

from benchmarks.report import Reach, Row
from benchmarks.timing import (
    Span,
    busy_seconds,
    percentile,
    render_span,
    steady_rate,
    wall_seconds,
)


def history(*messages: tuple[str, int]) -> dict[str, Any]:
    """A history entry with messages of that kind at that millisecond."""
    said = [[kind, {"prompt_id": "p", "timestamp": at}] for kind, at in messages]
    return {"prompt": [], "outputs": {}, "status": {"status_str": "success", "messages": said}}


def test_a_render_lasts_from_execution_start_to_execution_success() -> None:
    entry = history(
        ("execution_start", 10_000), ("execution_cached", 10_001), ("execution_success", 11_250)
    )
    assert render_span(entry) == Span(10.0, 11.25)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        history(("execution_start", 10_000)),
        history(("execution_start", 10_000), ("execution_error", 10_500)),
        {"status": {"messages": [["execution_start", {}], ["execution_success", {}]]}},
    ],
)
def test_a_prompt_that_did_not_end_well_has_no_span(entry: dict[str, Any]) -> None:
    assert render_span(entry) is None


def test_the_gaps_between_renders_are_wall_time_but_not_busy_time() -> None:
    spans = [Span(13.0, 14.0), Span(10.0, 11.0), Span(11.5, 12.5)]
    assert busy_seconds(spans) == pytest.approx(3.0)
    assert wall_seconds(spans) == pytest.approx(4.0)


def test_time_in_which_two_servers_render_counts_once() -> None:
    spans = [Span(0.0, 10.0), Span(2.0, 4.0), Span(9.0, 12.0)]
    assert busy_seconds(spans) == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (50, 3.0), (95, 4.8), (100, 5.0), (25, 2.0)]
)
def test_percentiles_lie_between_the_nearest_ranks(percent: float, expected: float) -> None:
    assert percentile([5.0, 3.0, 1.0, 2.0, 4.0], percent) == pytest.approx(expected)


def test_the_wait_for_the_first_wave_does_not_slow_a_rate() -> None:
    at_once, after_a_poll = [1, 1, 3, 3, 5, 5], [11, 11, 13, 13, 15, 15]
    assert steady_rate(at_once, 2) == steady_rate(after_a_poll, 2) == pytest.approx(1.0)


def test_a_series_no_longer_than_its_first_wave_still_has_a_rate() -> None:
    assert steady_rate([2.0, 4.0], at_a_time=4) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("row", "is_met"),
    [
        (Row("busy", 0.98, 1.0, Reach(0.98, at_least=True)), True),
        (Row("busy", 0.97, 1.0, Reach(0.98, at_least=True)), False),
        (Row("latency", 400, 3, Reach(400)), True),
        (Row("latency", 401, 3, Reach(400)), False),
        (Row("rate", 8.0, 1.0, Reach(8, at_least=True, by_ratio=True)), True),
        (Row("rate", 80.0, 11.0, Reach(8, at_least=True, by_ratio=True)), False),
        (Row("rate", 8.0, None, Reach(8, at_least=True, by_ratio=True)), None),
        (Row("only told", 8.0), None),
    ],
)
def test_a_row_says_whether_its_goal_is_reached(row: Row, is_met: bool | None) -> None:
    assert row.is_met is is_met

"""How figures follow from the times at which renders began and ended; without I/O."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

START, END = "execution_start", "execution_success"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in seconds since the epoch."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def render_span(entry: Mapping[str, Any]) -> Span | None:
    """When ComfyUI worked on a prompt, by its history entry; None unless it succeeded.

    >>> began = ["execution_start", {"timestamp": 1000}]
    >>> ended = ["execution_success", {"timestamp": 3500}]
    >>> render_span({"status": {"messages": [began, ended]}})
    Span(start=1.0, end=3.5)
    """
    messages = entry.get("status", {}).get("messages", ())
    stamps = {kind: about["timestamp"] / 1000 for kind, about in messages if "timestamp" in about}
    if START not in stamps or END not in stamps:
        return None
    return Span(stamps[START], stamps[END])


def busy_seconds(spans: Sequence[Span]) -> float:
    """The time in which at least one of them was under way."""
    busy, until = 0.0, -math.inf
    for span in sorted(spans, key=lambda span: span.start):
        busy += max(0.0, span.end - max(span.start, until))
        until = max(until, span.end)
    return busy


def wall_seconds(spans: Sequence[Span]) -> float:
    """From the first start to the last end."""
    return max(span.end for span in spans) - min(span.start for span in spans)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which that many per cent lie, interpolated between the two nearest.

    >>> percentile([4, 1, 2, 3], 50), percentile([1, 2], 95)
    (2.5, 1.95)
    """
    ranked = sorted(values)
    rank = (len(ranked) - 1) * percent / 100
    low, high = ranked[math.floor(rank)], ranked[math.ceil(rank)]
    return low + (high - low) * (rank - math.floor(rank))


def steady_rate(ends: Sequence[float], at_a_time: int) -> float:
    """Ends per second after the first wave of `at_a_time`.

    That wave waits for a first poll, which would weigh much in a short series and little in a
    long one.

    >>> steady_rate([9, 9, 13, 13, 17, 17], at_a_time=2)
    0.5
    """
    ranked = sorted(ends)
    wave = min(at_a_time, len(ranked) - 1)
    return (len(ranked) - wave) / (ranked[-1] - ranked[wave - 1])

"""How far a job is, on a terminal or in a log; always on stderr."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from anime.cli.terminal import print_note
from anime.core.event_sequence import EventSequence
from anime.core.job_status import JobStatus
from anime.schemas import ProgressEvent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class JobDisplay(Protocol):
    """Shows the events of one job."""

    def show(self, event: ProgressEvent) -> None:
        """Show one event, unless a later one was shown."""
        ...


class EventFilter:
    """Drops late events: two sources report on one job, and one may be behind the other."""

    def __init__(self) -> None:
        self._shown: ProgressEvent | None = None

    def accept(self, event: ProgressEvent) -> ProgressEvent | None:
        """The event to show, without a step back; None if it is older than what was shown."""
        if self._shown is not None:
            if _rank(event) < _rank(self._shown):
                return None
            event = EventSequence().after(self._shown).in_order(event)
        self._shown = event
        return event


def _rank(event: ProgressEvent) -> tuple[bool, bool, int]:
    return event.status.is_final, event.status is not JobStatus.QUEUED, event.attempt


def stage_label(event: ProgressEvent) -> str:
    """The stage, or the state if there is none, such as `rendering` or `checking vram`."""
    return (event.stage or event.status).replace("_", " ")


def open_bars() -> "Progress":
    """Bars on stderr: stage, percent, message, elapsed and remaining time."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[title]}", markup=False),
        TextColumn("{task.description:<13}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[message]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def update_bar(bars: "Progress", bar: "TaskID", event: ProgressEvent) -> None:
    """Show the event on one of the bars, which keeps its message if the event has none."""
    bars.update(bar, completed=event.progress, description=stage_label(event))
    if event.message:
        bars.update(bar, message=event.message)


class JobBarDisplay:
    """One bar of `bars`, which the caller starts and stops."""

    def __init__(self, bars: "Progress", title: str = "") -> None:
        self._filter = EventFilter()
        self._bars = bars
        self._bar = bars.add_task("queued", total=100, message="", title=title)

    def show(self, event: ProgressEvent) -> None:
        """Update the bar."""
        if (accepted := self._filter.accept(event)) is not None:
            update_bar(self._bars, self._bar, accepted)


class JobLinesDisplay:
    """A line for each stage and each tenth of the progress, in logs and pipes."""

    def __init__(self, title: str = "") -> None:
        self._filter = EventFilter()
        self._last_line = ("", -1)
        self._title = f"{title}  " if title else ""

    def show(self, event: ProgressEvent) -> None:
        """Write a line if the stage or the tenth has changed."""
        accepted = self._filter.accept(event)
        if accepted is None:
            return
        line = stage_label(accepted), accepted.progress // 10
        if line == self._last_line:
            return
        self._last_line = line
        message = f": {accepted.message}" if accepted.message else ""
        print_note(f"{self._title}{accepted.progress:3d} %  {line[0]}{message}")


@contextmanager
def open_job_displays(titles: Sequence[str]) -> Iterator[list[JobDisplay]]:
    """A display for each title: bars on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield [JobLinesDisplay(title) for title in titles]
        return
    with open_bars() as bars:
        yield [JobBarDisplay(bars, title) for title in titles]

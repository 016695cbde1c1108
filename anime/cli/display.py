"""How far a job is, on a terminal or in a log. All of it goes to stderr."""

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


class Display(Protocol):
    """Something that shows events."""

    def show(self, event: ProgressEvent) -> None:
        """Show one event, unless something later is shown already."""
        ...


class Forward:
    """Lets nothing go back: two sources report on one job, and one of them is late."""

    def __init__(self) -> None:
        self._shown: ProgressEvent | None = None

    def in_order(self, event: ProgressEvent) -> ProgressEvent | None:
        """The event as it may be shown; None when it tells of a time before what was shown."""
        if self._shown is not None:
            if _life(event) < _life(self._shown):
                return None
            event = EventSequence().after(self._shown).in_order(event)
        self._shown = event
        return event


def _life(event: ProgressEvent) -> tuple[bool, bool, int]:
    return event.status.is_final, event.status is not JobStatus.QUEUED, event.attempt


def words_of(event: ProgressEvent) -> str:
    """The stage, or the state where there is none.

    Such as `rendering` or `checking vram`.
    """
    return (event.stage or event.status).replace("_", " ")


def new_bars() -> "Progress":
    """Room on stderr for bars: stage, percent, step, time taken and time to go."""
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


def move(bars: "Progress", bar: "TaskID", event: ProgressEvent) -> None:
    """Show the event on one of the bars; without a message it keeps the last one."""
    bars.update(bar, completed=event.progress, description=words_of(event))
    if event.message:
        bars.update(bar, message=event.message)


class BarDisplay:
    """One bar among `bars`, which somebody else starts and stops."""

    def __init__(self, bars: "Progress", title: str = "") -> None:
        self._forward = Forward()
        self._bars = bars
        self._bar = bars.add_task("queued", total=100, message="", title=title)

    def show(self, event: ProgressEvent) -> None:
        """Move the bar."""
        if (news := self._forward.in_order(event)) is not None:
            move(self._bars, self._bar, news)


class LineDisplay:
    """A line for each stage and each tenth of the way: for logs and pipes."""

    def __init__(self, title: str = "") -> None:
        self._forward = Forward()
        self._said = ("", -1)
        self._title = f"{title}  " if title else ""

    def show(self, event: ProgressEvent) -> None:
        """Write a line if the stage or the tenth is a new one."""
        news = self._forward.in_order(event)
        if news is None or (now := (words_of(news), news.progress // 10)) == self._said:
            return
        self._said = now
        message = f": {news.message}" if news.message else ""
        print_note(f"{self._title}{news.progress:3d} %  {now[0]}{message}")


@contextmanager
def open_displays(titles: Sequence[str]) -> Iterator[list[Display]]:
    """A display for each title: bars where somebody looks, lines elsewhere."""
    if not sys.stderr.isatty():
        yield [LineDisplay(title) for title in titles]
        return
    with new_bars() as bars:
        yield [BarDisplay(bars, title) for title in titles]

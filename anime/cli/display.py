"""How far a job is, on a terminal or in a log. All of it goes to stderr."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from anime.cli.terminal import print_note
from anime.core.job_status import JobStatus
from anime.schemas import ProgressEvent

if TYPE_CHECKING:
    from rich.progress import Progress


class Display(Protocol):
    """Something that shows events."""

    def show(self, event: ProgressEvent) -> None:
        """Show one event, unless something later is shown already."""
        ...


class _Forward:
    """Lets through what is not behind what was shown: two sources report on one job."""

    def __init__(self) -> None:
        self._at = (0, 0, 0)

    def allows(self, event: ProgressEvent) -> bool:
        """Whether the event is not older than the last one that was let through."""
        begun = 0 if event.status is JobStatus.QUEUED else 1
        at = (begun, event.attempt, event.progress)
        if at < self._at:
            return False
        self._at = at
        return True


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


class BarDisplay:
    """One bar among `bars`, which somebody else starts and stops."""

    def __init__(self, bars: "Progress", title: str = "") -> None:
        self._forward = _Forward()
        self._bars = bars
        self._bar = bars.add_task("queued", total=100, message="", title=title)

    def show(self, event: ProgressEvent) -> None:
        """Move the bar; an event without a message keeps the last one."""
        if self._forward.allows(event):
            self._bars.update(self._bar, completed=event.progress, description=words_of(event))
            if event.message:
                self._bars.update(self._bar, message=event.message)


class LineDisplay:
    """A line for each stage and each tenth of the way: for logs and pipes."""

    def __init__(self, title: str = "") -> None:
        self._forward = _Forward()
        self._said = ("", -1)
        self._title = f"{title}  " if title else ""

    def show(self, event: ProgressEvent) -> None:
        """Write a line if the stage or the tenth is a new one."""
        now = (words_of(event), event.progress // 10)
        if self._forward.allows(event) and now != self._said:
            self._said = now
            message = f": {event.message}" if event.message else ""
            print_note(f"{self._title}{event.progress:3d} %  {now[0]}{message}")


@contextmanager
def open_displays(titles: Sequence[str]) -> Iterator[list[Display]]:
    """A display for each title: bars where somebody looks, lines elsewhere."""
    if not sys.stderr.isatty():
        yield [LineDisplay(title) for title in titles]
        return
    with new_bars() as bars:
        yield [BarDisplay(bars, title) for title in titles]

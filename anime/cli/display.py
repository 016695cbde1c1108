"""How far a job is, on a terminal or in a log. All of it goes to stderr."""

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from anime.cli.terminal import tell
from anime.core.job_status import JobStatus
from anime.schemas import ProgressEvent


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


class BarDisplay(AbstractContextManager["BarDisplay"]):
    """A bar that moves: stage, percent, step, time taken and time to go."""

    def __init__(self) -> None:
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

        self._forward = _Forward()
        self._progress = Progress(
            SpinnerColumn(),
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
        self._bar = self._progress.add_task("queued", total=100, message="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, event: ProgressEvent) -> None:
        """Move the bar; an event without a message keeps the last one."""
        if self._forward.allows(event):
            self._progress.update(self._bar, completed=event.progress, description=words_of(event))
            if event.message:
                self._progress.update(self._bar, message=event.message)


class LineDisplay(AbstractContextManager["LineDisplay"]):
    """A line for each stage and each tenth of the way: for logs and pipes."""

    def __init__(self) -> None:
        self._forward = _Forward()
        self._said = ("", -1)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave; nothing is open."""

    def show(self, event: ProgressEvent) -> None:
        """Write a line if the stage or the tenth is a new one."""
        now = (words_of(event), event.progress // 10)
        if self._forward.allows(event) and now != self._said:
            self._said = now
            tell(f"{event.progress:3d} %  {now[0]}" + (f": {event.message}" * bool(event.message)))


def open_display() -> BarDisplay | LineDisplay:
    """A bar where somebody looks, lines elsewhere."""
    return BarDisplay() if sys.stderr.isatty() else LineDisplay()

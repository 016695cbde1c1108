"""How far a batch is: one bar for all of it, and one for each generation under way."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from anime.cli.display import EventFilter, open_bars, update_bar
from anime.cli.terminal import print_note
from anime.core.job_status import JobStatus
from anime.core.labels import shorten
from anime.schemas import ProgressEvent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_TITLE_CHARS = 32


class BatchDisplay(Protocol):
    """Shows events of the jobs of a batch."""

    def show(self, event: ProgressEvent) -> None:
        """Show one event; those of other jobs are ignored."""
        ...


class _BatchProgress:
    """Which of the jobs have ended, each counted once, and how far the others are."""

    def __init__(self, titles: Mapping[UUID, str]) -> None:
        self.titles = titles
        self.statuses: dict[UUID, JobStatus] = {}
        self._filter: defaultdict[UUID, EventFilter] = defaultdict(EventFilter)

    def accept(self, event: ProgressEvent) -> ProgressEvent | None:
        """The event to show; None for other jobs, for steps back and after a job's end."""
        if event.job_id not in self.titles or event.job_id in self.statuses:
            return None
        if event.status.is_final:
            self.statuses[event.job_id] = event.status
        return self._filter[event.job_id].accept(event)

    @property
    def summary(self) -> str:
        """Such as `12 of 200`, with the number that failed if any did."""
        failed = sum(status is not JobStatus.COMPLETED for status in self.statuses.values())
        counted = f"{len(self.statuses)} of {len(self.titles)}"
        return f"{counted}, {failed} without files" if failed else counted


class BatchBarsDisplay:
    """Bars, on a terminal."""

    def __init__(self, bars: "Progress", name: str, titles: Mapping[UUID, str]) -> None:
        self._progress = _BatchProgress(titles)
        self._bars = bars
        self._whole = bars.add_task("batch", total=len(titles), message="", title=name)
        self._job_bars: dict[UUID, TaskID] = {}

    def show(self, event: ProgressEvent) -> None:
        """Update the job's bar, which exists only while the job is under way."""
        if (accepted := self._progress.accept(event)) is None:
            return
        if event.status.is_final:
            if (bar := self._job_bars.pop(event.job_id, None)) is not None:
                self._bars.remove_task(bar)
            done = len(self._progress.statuses)
            self._bars.update(self._whole, completed=done, message=self._progress.summary)
        elif event.status is not JobStatus.QUEUED:
            update_bar(self._bars, self._bar_of(event.job_id), accepted)

    def _bar_of(self, job_id: UUID) -> "TaskID":
        if job_id not in self._job_bars:
            title = f"  {self._progress.titles[job_id]}"
            self._job_bars[job_id] = self._bars.add_task("", total=100, message="", title=title)
        return self._job_bars[job_id]


class BatchLinesDisplay:
    """A line for each job that ends, in logs and pipes."""

    def __init__(self, titles: Mapping[UUID, str]) -> None:
        self._progress = _BatchProgress(titles)

    def show(self, event: ProgressEvent) -> None:
        """Write a line if the job has ended."""
        if self._progress.accept(event) is not None and event.status.is_final:
            title = self._progress.titles[event.job_id]
            why = f": {event.message}" if event.status is not JobStatus.COMPLETED else ""
            print_note(f"{self._progress.summary}  {event.status}  {title}{why}")


@contextmanager
def open_batch_display(name: str, prompts: Mapping[UUID, str]) -> Iterator[BatchDisplay]:
    """A display for the batch of that name: bars on a terminal, lines elsewhere."""
    titles = {job_id: shorten(prompt, _TITLE_CHARS) for job_id, prompt in prompts.items()}
    if not sys.stderr.isatty():
        yield BatchLinesDisplay(titles)
        return
    with open_bars() as bars:
        yield BatchBarsDisplay(bars, name, titles)

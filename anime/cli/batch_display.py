"""How far a batch is: one bar for the whole, one for each generation that is under way."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from anime.cli.display import Forward, move, new_bars
from anime.cli.terminal import print_note
from anime.core.job_status import JobStatus
from anime.core.labels import shorten
from anime.schemas import ProgressEvent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_TITLE_CHARS = 32


class BatchDisplay(Protocol):
    """Something that shows events of the jobs of a batch."""

    def show(self, event: ProgressEvent) -> None:
        """Show one event; those of other jobs are passed over."""
        ...


class _Batch:
    """Which of the jobs have ended, each counted once, and how far the others are."""

    def __init__(self, titles: Mapping[UUID, str]) -> None:
        self.titles = titles
        self.statuses: dict[UUID, JobStatus] = {}
        self._forward: defaultdict[UUID, Forward] = defaultdict(Forward)

    def news_in(self, event: ProgressEvent) -> ProgressEvent | None:
        """The event as it may be shown: of one of the jobs, nothing going back, one end."""
        if event.job_id not in self.titles or event.job_id in self.statuses:
            return None
        if event.status.is_final:
            self.statuses[event.job_id] = event.status
        return self._forward[event.job_id].in_order(event)

    @property
    def words(self) -> str:
        """Such as `12 of 200`, with the failures if there are any."""
        failed = sum(status is not JobStatus.COMPLETED for status in self.statuses.values())
        counted = f"{len(self.statuses)} of {len(self.titles)}"
        return f"{counted}, {failed} without files" if failed else counted


class BarsDisplay:
    """Bars, for somebody who looks."""

    def __init__(self, bars: "Progress", name: str, titles: Mapping[UUID, str]) -> None:
        self._batch = _Batch(titles)
        self._bars = bars
        self._whole = bars.add_task("batch", total=len(titles), message="", title=name)
        self._of: dict[UUID, TaskID] = {}

    def show(self, event: ProgressEvent) -> None:
        """Move the job's bar, which is there only while the job is under way."""
        if (news := self._batch.news_in(event)) is None:
            return
        if event.status.is_final:
            if (bar := self._of.pop(event.job_id, None)) is not None:
                self._bars.remove_task(bar)
            done = len(self._batch.statuses)
            self._bars.update(self._whole, completed=done, message=self._batch.words)
        elif event.status is not JobStatus.QUEUED:
            move(self._bars, self._bar_of(event.job_id), news)

    def _bar_of(self, job_id: UUID) -> "TaskID":
        if job_id not in self._of:
            title = f"  {self._batch.titles[job_id]}"
            self._of[job_id] = self._bars.add_task("", total=100, message="", title=title)
        return self._of[job_id]


class EndsDisplay:
    """A line for each job that ends: for logs and pipes."""

    def __init__(self, titles: Mapping[UUID, str]) -> None:
        self._batch = _Batch(titles)

    def show(self, event: ProgressEvent) -> None:
        """Write a line if the job has ended."""
        if self._batch.news_in(event) is not None and event.status.is_final:
            title = self._batch.titles[event.job_id]
            why = f": {event.message}" if event.status is not JobStatus.COMPLETED else ""
            print_note(f"{self._batch.words}  {event.status}  {title}{why}")


@contextmanager
def open_batch_display(name: str, prompts: Mapping[UUID, str]) -> Iterator[BatchDisplay]:
    """A display for the batch of that name: bars where somebody looks, lines elsewhere."""
    titles = {job_id: shorten(prompt, _TITLE_CHARS) for job_id, prompt in prompts.items()}
    if not sys.stderr.isatty():
        yield EndsDisplay(titles)
        return
    with new_bars() as bars:
        yield BarsDisplay(bars, name, titles)

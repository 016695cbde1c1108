"""Which events of a job a listener is told, purely: in order, none twice, none after the end."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from anime.core.job_status import JobStatus, Stage, later_stage
from anime.schemas import ProgressEvent

_ENDS_FOR_GOOD = {JobStatus.COMPLETED, JobStatus.CANCELLED}


@dataclass(frozen=True, slots=True)
class EventSequence:
    """How far a listener has been told of a job. `told_at` is the newest time stamp it saw."""

    seq: int = 0
    told_at: datetime | None = None
    attempt: int = 0
    fence: int = 0
    progress: int = 0
    stage: Stage | None = None
    is_final: bool = False

    def follows(self, event: ProgressEvent) -> bool:
        """Whether the event is news.

        Its number decides. One that is not higher, though the event is newer than all before,
        means that Redis lost its memory and counts anew, or that it has no number (0) because
        the database told it. The end is news even late, and nothing is after it; but what a run
        says that has lost the job is not, nor that it had failed before it was requeued.
        """
        if self.is_final:
            return False
        if 0 < event.fence < self.fence and event.status not in _ENDS_FOR_GOOD:
            return False
        if event.status.is_final:
            return True
        if event.attempt < self.attempt:
            return False
        if event.seq > self.seq:
            return True
        return self.told_at is None or event.timestamp > self.told_at

    def in_order(self, event: ProgressEvent) -> ProgressEvent:
        """The event as it may be told: within an attempt neither progress nor stage goes back."""
        if event.attempt != self.attempt or event.status is JobStatus.QUEUED:
            return event
        progress = max(event.progress, self.progress)
        is_processing = event.status is JobStatus.PROCESSING
        stage = later_stage(event.stage, self.stage) if is_processing else event.stage
        if (progress, stage) == (event.progress, event.stage):
            return event
        return event.model_copy(update={"progress": progress, "stage": stage})

    def after(self, event: ProgressEvent) -> Self:
        """The trail once the event has been told."""
        newest = max(self.told_at, event.timestamp) if self.told_at else event.timestamp
        is_same = event.attempt == self.attempt and event.status is not JobStatus.QUEUED
        before = self.stage if is_same else None
        return replace(
            self,
            seq=event.seq or self.seq,
            told_at=newest,
            attempt=event.attempt,
            fence=max(event.fence, self.fence),
            progress=event.progress,
            stage=later_stage(event.stage, before),
            is_final=event.status.is_final,
        )

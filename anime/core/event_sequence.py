"""Which events of a job a listener is told, purely: in order, none twice, none after the end."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from anime.schemas import ProgressEvent


@dataclass(frozen=True, slots=True)
class EventSequence:
    """How far a listener has been told of a job. `told_at` is the newest time stamp it saw."""

    seq: int = 0
    told_at: datetime | None = None
    attempt: int = 0
    progress: int = 0
    is_final: bool = False

    def follows(self, event: ProgressEvent) -> bool:
        """Whether the event is news.

        Its number decides. One that is not higher, though the event is newer than all before,
        means that Redis lost its memory and counts anew, or that it has no number (0) because
        the database told it. The end is news even late, and nothing is after it.
        """
        if self.is_final:
            return False
        if event.status.is_final:
            return event.seq == 0 or event.seq != self.seq
        if event.attempt < self.attempt:
            return False
        if event.seq > self.seq:
            return True
        return self.told_at is None or event.timestamp > self.told_at

    def in_order(self, event: ProgressEvent) -> ProgressEvent:
        """The event as it may be told: its progress never goes back within an attempt."""
        if event.attempt == self.attempt and event.progress < self.progress:
            return event.model_copy(update={"progress": self.progress})
        return event

    def after(self, event: ProgressEvent) -> Self:
        """The trail once the event has been told."""
        newest = max(self.told_at, event.timestamp) if self.told_at else event.timestamp
        return replace(
            self,
            seq=event.seq or self.seq,
            told_at=newest,
            attempt=event.attempt,
            progress=event.progress,
            is_final=event.status.is_final,
        )

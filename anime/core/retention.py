"""What has been kept for long enough, and what becomes of it. 0 days: it is kept for ever."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import PurePath, PurePosixPath
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

NOTICE = timedelta(hours=20)  # from one night to the next, with room for one that runs late
LISTED = 500  # takes that a report names; it counts all


class KeepDays(BaseModel):
    """For how many days what is kept."""

    model_config = ConfigDict(frozen=True)

    thumbnails: int = 0
    quarantine: int = 0
    rejected: int = 0

    @property
    def is_off(self) -> bool:
        """Whether everything is kept."""
        return not (self.thumbnails or self.quarantine or self.rejected)


@dataclass(frozen=True, slots=True)
class RejectedTake:
    """A file that somebody has rejected, as its row has it; `path` is absolute."""

    file_id: int
    path: str
    sha256: str | None
    job_id: UUID | None
    project: str | None


@dataclass(frozen=True, slots=True)
class ArchiveTake:
    """Move the file to `target`, relative to the archive."""

    take: RejectedTake
    target: PurePosixPath


@dataclass(frozen=True, slots=True)
class LeaveTake:
    """Do nothing about it, for that reason."""

    take: RejectedTake
    reason: str


@dataclass(frozen=True, slots=True)
class QuarantineDay:
    """All that was put aside on one day."""

    day: date
    path: PurePath
    files: int
    size_bytes: int


class RetentionTally(BaseModel):
    """How many files, and how large they are together."""

    files: int = 0
    size_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        """Count one more."""
        self.files += 1
        self.size_bytes += size_bytes


class TakeLine(BaseModel):
    """What becomes of one rejected take: `target` in the archive, or why it is left."""

    file_id: int
    path: str
    target: str | None = None
    reason: str | None = None


class RetentionReport(BaseModel):
    """What was done, or in a dry run would be."""

    is_dry_run: bool
    thumbnails: RetentionTally = Field(default_factory=RetentionTally, description="Removed.")
    removed: dict[str, RetentionTally] = Field(
        default_factory=dict, description="Quarantine, by day."
    )
    announced: dict[str, RetentionTally] = Field(
        default_factory=dict, description="Quarantine that the next run removes, by day."
    )
    archived: RetentionTally = Field(default_factory=RetentionTally, description="Rejected takes.")
    left: int = Field(default=0, description="Rejected takes that stay, each for a reason.")
    takes: list[TakeLine] = Field(default_factory=list, description="The first rejected takes.")

    def note_take(self, step: ArchiveTake | LeaveTake, size_bytes: int = 0) -> None:
        """Count one more take, and name it if there is room."""
        line = TakeLine(file_id=step.take.file_id, path=step.take.path)
        if isinstance(step, ArchiveTake):
            line.target = str(step.target)
            self.archived.add(size_bytes)
        else:
            line.reason = step.reason
            self.left += 1
        if len(self.takes) < LISTED:
            self.takes.append(line)


def is_due(last: datetime, days: int, now: datetime) -> bool:
    """Whether that is more than so many days ago; never for 0 days."""
    return bool(days) and now - last > timedelta(days=days)


def plan_days(
    aside: list[QuarantineDay],
    days: int,
    today: date,
    *,
    announced: Mapping[str, datetime],
    now: datetime,
) -> list[tuple[QuarantineDay, bool]]:
    """The old days of quarantine, and whether each is removed now; else it is announced.

    They are gone for good afterwards, so no day is removed that an earlier run has not announced.
    """
    return [
        (each, now - announced.get(each.path.name, now) >= NOTICE)
        for each in aside
        if days and (today - each.day).days > days
    ]


def plan_take(take: RejectedTake, library: PurePath) -> ArchiveTake | LeaveTake:
    """A rejected take goes to the place in the archive that it has in the library.

    >>> take = RejectedTake(1, "/library/rain/a.png", None, None, "rain")
    >>> str(plan_take(take, PurePath("/library")).target)
    'rain/a.png'
    """
    path = PurePath(take.path)
    if ".." in path.parts or not path.is_relative_to(library):
        return LeaveTake(take, "It is not in the library.")
    return ArchiveTake(take, PurePosixPath(*path.relative_to(library).parts))

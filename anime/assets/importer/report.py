"""What a sweep has found and done, as far as a person wants to see it."""

from collections.abc import Awaitable, Callable

from pydantic import BaseModel, Field

from anime.core.sweep_plan import (
    Duplicate,
    ImportOutcome,
    Leave,
    Organise,
    Quarantine,
    Remember,
    Step,
    storable,
)

_WORDS = {
    ImportOutcome.ORGANISED: "organised",
    ImportOutcome.DUPLICATE: "duplicates",
    ImportOutcome.QUARANTINED: "quarantined",
    ImportOutcome.KNOWN: "already in the library",
    ImportOutcome.LEFT: "left for later",
}
Told = tuple[Step, str | None, int | None]  # a step, the place its file really got, id of its row
SweepObserver = Callable[[int, int], Awaitable[None]]  # told how many of the new files are done


class SweptFileReport(BaseModel):
    """One file, and what was done with it or is to be."""

    path: str = Field(description="Within the swept folder.")
    outcome: ImportOutcome
    where: str = Field(description="Where it is in the library, or why it is not.")
    owner: str = Field(default="", description="Project and job, as far as known.")
    owner_by: str = Field(default="", description="What says so.")
    file_id: int | None = Field(default=None, description="Id of its row, if it got one.")


class SweepReport(BaseModel):
    """A whole sweep. Of very many files the first are listed; the counts are of all."""

    folder: str
    dry_run: bool
    counts: dict[ImportOutcome, int] = Field(default_factory=dict)
    seen: int = Field(default=0, description="Files in the folder that may be media.")
    passed_over: int = Field(default=0, description="Debris of shares and systems.")
    files: list[SweptFileReport] = Field(default_factory=list)
    is_another_running: bool = Field(default=False, description="So this one has done nothing.")

    @property
    def summary(self) -> str:
        """One sentence."""
        parts = [
            f"{self.counts[each]:,} {_WORDS[each]}" for each in _WORDS if self.counts.get(each)
        ]
        begin = "Would be: " if self.dry_run else ""
        beside = f", {self.passed_over:,} passed over" if self.passed_over else ""
        done = ", ".join(parts) or "nothing new"
        return f"{begin}{done} ({self.seen:,} files in {self.folder}{beside})"

    def add(self, told: Told, *, most: int) -> None:
        """Count a step; the first `most` are listed."""
        step = told[0]
        self.counts[step.outcome] = self.counts.get(step.outcome, 0) + 1
        if len(self.files) < most:
            self.files.append(_shown(*told))


def _shown(step: Step, where: str | None, file_id: int | None) -> SweptFileReport:
    """The step in words."""
    owner = by = ""
    match step:
        case Organise():
            place = str(step.target)
            by = step.owner.evidence.value
            owner = " ".join(filter(None, (step.owner.slug, str(step.owner.job_id or ""))))
        case Duplicate() | Remember():
            place = step.path
        case Quarantine():
            place = f"{step.target}: {step.unusable.what}"
        case Leave():
            place = step.reason.value
    return SweptFileReport(
        path=storable(step.seen.path),
        outcome=step.outcome,
        where=where or place,
        owner=owner,
        owner_by=by,
        file_id=file_id,
    )

"""The outcome of a batch: its pictures, its paths, and whether it is complete."""

from collections.abc import Sequence
from uuid import UUID

from anime.core.batches import summary_of
from anime.core.job_status import JobStatus
from anime.core.paths import slug_of
from anime.errors import BatchIncomplete
from anime.schemas import FileRecord
from tasks.batches import BatchOutcome

_MAX_REASONS = 3  # reasons in the message of a batch; the table has all


def name_of_sheet(batch_name: str, run_id: UUID) -> str:
    """The file name of a run's contact sheet: each run has its own."""
    return f"batch-{slug_of(batch_name)}-{run_id.hex[:12]}.png"


def pictures_of(outcomes: Sequence[BatchOutcome]) -> list[tuple[str, FileRecord]]:
    """Caption and file of every output, in the order of the batch."""
    return [(_caption_of(outcome), file) for outcome in outcomes for file in outcome.files]


def _caption_of(outcome: BatchOutcome) -> str:
    """Number, seed if one was asked for, and prompt: the table has all of it in full."""
    seed = [] if outcome.seed is None else [f"seed {outcome.seed}"]
    return " · ".join([str(outcome.number), *seed, outcome.job.prompt])


def paths_of(outcomes: Sequence[BatchOutcome]) -> list[str]:
    """The paths of all outputs, in the order of the batch."""
    return [file.file_path for outcome in outcomes for file in outcome.files]


def raise_unless_complete(outcomes: Sequence[BatchOutcome], generations: int) -> None:
    """Make sure that every job of so many has its files.

    Raises:
        BatchIncomplete: some have none; the message says how many, and why the first few.
    """
    missing = [each for each in outcomes if each.job.status is not JobStatus.COMPLETED]
    deleted = generations - len(outcomes)
    if not missing and not deleted:
        return
    counted = summary_of([each.job.status for each in outcomes]) or "None completed"
    counted += f", {deleted} deleted" * bool(deleted)
    reasons = "; ".join(f"{each.number}: {each.reason}" for each in missing[:_MAX_REASONS])
    raise BatchIncomplete(
        f"{counted}. {reasons}",
        "The table has all reasons; run the batch again to render only what is missing.",
    )

"""What must hold when a chaos run is over, whatever was done meanwhile."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from anime.core.ids import prompt_id_of

MOST_ATTEMPTS = 30  # of one job: more than any setting of a chaos run allows


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job's row at the end, and how many files have its id."""

    id: UUID
    status: str
    error: str | None
    files: int


@dataclass(frozen=True, slots=True)
class LoggedPrompt:
    """A line of the rehearsal servers' log; `at` in seconds since the epoch."""

    at: float
    server: str
    event: str
    prompt_id: str


@dataclass(frozen=True, slots=True)
class Kill:
    """When a part was killed, in seconds since the epoch."""

    at: float
    part: str


@dataclass(frozen=True)
class Outcome:
    """Everything that is known at the end of a chaos run."""

    submitted: int
    accepted: frozenset[UUID]  # ids that a client was given
    jobs: Sequence[EndedJob]
    prompts: Sequence[LoggedPrompt] = ()
    kills: Sequence[Kill] = ()
    left_over: Sequence[str] = ()  # a sentence on each slot, lease, queue entry and run
    damage: Sequence[str] = ()  # what `anime verify` complains of
    stack_end: str = ""  # why the stack itself has ended

    def violations(self) -> list[str]:
        """A sentence on each invariant that does not hold."""
        return list(_violations(self))


def _violations(outcome: Outcome) -> Iterator[str]:
    if outcome.stack_end:
        yield f"The stack has ended: {outcome.stack_end}"
        return  # it can be asked nothing
    known = {job.id for job in outcome.jobs}
    for job_id in sorted(outcome.accepted - known):
        yield f"Lost: {job_id} was accepted and has no row."
    if len(outcome.jobs) != outcome.submitted:
        yield f"{outcome.submitted} generations are {len(outcome.jobs)} jobs."
    for job in outcome.jobs:
        if job.status not in {"completed", "failed", "cancelled"}:
            yield f"Stuck: {job.id} is {job.status}."
        elif job.status != "completed":
            yield f"Not rendered: {job.id} is {job.status}, {job.error}"
        elif job.files != 1:
            yield f"{job.id} is completed with {job.files} files."
    yield from rendered_twice(known, outcome.prompts, outcome.kills)
    yield from (f"Left over: {each}" for each in outcome.left_over)
    yield from (f"Damaged: {each}" for each in outcome.damage)


def jobs_by_prompt(job_ids: Iterable[UUID]) -> dict[str, UUID]:
    """The job of each prompt that may have been sent for one of them."""
    return {
        str(prompt_id_of(job_id, attempt)): job_id
        for job_id in job_ids
        for attempt in range(1, MOST_ATTEMPTS + 1)
    }


@dataclass
class _Renders:
    accepted_at: dict[str, float] = field(default_factory=dict)  # by server, the first time
    ended: list[LoggedPrompt] = field(default_factory=list)


def rendered_twice(
    job_ids: Iterable[UUID], prompts: Sequence[LoggedPrompt], kills: Sequence[Kill]
) -> Iterator[str]:
    """A sentence on each job that was rendered to its end more often than dead servers excuse.

    A server excuses one more render if it was killed after it had taken a prompt of the job, and
    before the job's last render ended.
    """
    job_of = jobs_by_prompt(job_ids)
    renders: dict[UUID, _Renders] = {}
    for line in prompts:
        if (job_id := job_of.get(line.prompt_id)) is None:
            continue
        of_job = renders.setdefault(job_id, _Renders())
        if line.event == "accepted":
            of_job.accepted_at.setdefault(line.server, line.at)
        elif line.event == "succeeded":
            of_job.ended.append(line)
    for job_id, of_job in renders.items():
        excess = len(of_job.ended) - 1
        if excess > 0 and excess > _excuses(of_job, kills):
            ends = ", ".join(f"{line.prompt_id[:8]} at {line.server}" for line in of_job.ended)
            yield f"Rendered twice: {job_id} ({ends})."


def _excuses(renders: _Renders, kills: Sequence[Kill]) -> int:
    last = max(line.at for line in renders.ended)
    return sum(
        kill.part in renders.accepted_at and renders.accepted_at[kill.part] <= kill.at <= last
        for kill in kills
    )

"""What is to become of a job that has not ended, decided from what can be seen of it."""

from dataclasses import dataclass
from enum import StrEnum
from math import inf

from anime.core.job_status import FailureKind, JobStatus

MAX_STARTS_LOST = 3  # runs that end before the job begins: then it is no accident
MAX_RUNS_LOST = 5  # runs that end with the job under way
MAX_SERVERS_KILLED = 2  # then it is the prompt that kills them
DISPATCH_SECONDS = 5.0  # whoever has just submitted or freed the job is dispatching it
START_SECONDS = 45.0  # a run that began so long ago and has not taken its job is dead
CLAIM_SECONDS = 120.0  # a run that a worker claimed so long ago and has not begun is dead


class LeaseView(StrEnum):
    """Whether a run holds the job."""

    NONE = "none"
    LIVE = "live"
    LAPSED = "lapsed"
    UNSURE = "unsure"  # it lapsed while PostgreSQL was away, so that nobody could renew it


class RunView(StrEnum):
    """What Prefect says of the job's latest run; for a child, of its batch's run."""

    NONE = "none"  # none was made yet
    UNKNOWN = "unknown"  # Prefect does not answer
    MISSING = "missing"  # somebody deleted it, or Prefect has lost its database
    WAITING = "waiting"  # it waits for a worker
    ALIVE = "alive"  # its batch renders other jobs, or did so just now
    UNDER_WAY = "under way"  # a worker has it, or died with it
    CANCELLED = "cancelled"
    ENDED = "ended"  # completed, failed or crashed


class PromptView(StrEnum):
    """What is known of the prompt of the current attempt."""

    UNASKED = "unasked"  # nothing was sent, or the run that goes on asks itself
    KNOWN = "known"  # it waits, runs or has ended there
    FAILED = "failed"  # it ended badly, in an attempt that was made before the job was requeued
    ABSENT = "absent"  # the server no longer knows it
    KILLED = "killed"  # the server died while it rendered the prompt


class FilesView(StrEnum):
    """What lies under the attempt's prefix in the server's output folder."""

    UNASKED = "unasked"
    NONE = "none"  # or not all of them, or nobody can tell how many there should be
    WHOLE = "whole"  # as many as its graph saves, each of them complete


@dataclass(frozen=True, slots=True)
class RecoverableJob:
    """What the job's row says, and since when.

    `idle_seconds`: how long ago it, or its batch, showed life; `run_seconds`: how long ago its run
    got the state that it is in.
    """

    status: JobStatus
    idle_seconds: float = 0.0
    run_seconds: float = inf
    lost_runs: int = 0
    attempt: int = 1
    last_attempt: int = 3
    servers_killed: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done; `why` is a sentence for the job's timeline."""

    why: str


@dataclass(frozen=True, slots=True)
class Wait(Decision):
    """Nothing is to be done before the next look."""


@dataclass(frozen=True, slots=True)
class Requeue(Decision):
    """A job that no run has begun gets another one."""

    is_run_lost: bool = True


@dataclass(frozen=True, slots=True)
class Resume(Decision):
    """A job under way gets another run, which goes on where it is."""

    is_run_lost: bool = True


@dataclass(frozen=True, slots=True)
class CancelJob(Decision):
    """What somebody cancelled is stopped everywhere."""


@dataclass(frozen=True, slots=True)
class Adopt(Decision):
    """The files are there: they are taken in, and nothing is rendered again."""


@dataclass(frozen=True, slots=True)
class Follow(Decision):
    """The run waits for the end of the prompt that the server has."""


@dataclass(frozen=True, slots=True)
class NextAttempt(Decision):
    """It is rendered again, under the next prompt id."""


@dataclass(frozen=True, slots=True)
class Fail(Decision):
    """It has failed."""

    kind: FailureKind = FailureKind.INTERNAL


@dataclass(frozen=True, slots=True)
class QuarantineJob(Decision):
    """It is set aside until a person requeues it."""


def decide(
    job: RecoverableJob,
    lease: LeaseView,
    run: RunView,
    prompt: PromptView = PromptView.UNASKED,
    files: FilesView = FilesView.UNASKED,
) -> Decision:
    """What is to become of the job.

    The monitor asks for jobs that no run holds, and knows nothing of prompt and files; the run
    that holds a job asks about these. Doing twice what is decided is harmless.

    >>> decide(RecoverableJob(JobStatus.PROCESSING), LeaseView.LAPSED, RunView.MISSING).why
    'Its run is gone from Prefect: a new run goes on with it.'
    """
    if job.status.is_final:
        return Wait("It has ended.")
    if lease is LeaseView.LIVE:
        return _about_prompt(job, prompt, files)
    if job.status is JobStatus.CANCELLING:
        return CancelJob("No run is left to confirm that it was cancelled.")
    if lease is LeaseView.UNSURE:
        return Wait("Its lease lapsed while PostgreSQL was away: its run may renew it yet.")
    return _about_run(job, lease, run)


_NOTHING_TO_DO = {
    RunView.UNKNOWN: "Prefect does not answer.",
    RunView.WAITING: "Its run waits for a worker.",
    RunView.ALIVE: "Its batch goes on with it.",
}


def _about_run(job: RecoverableJob, lease: LeaseView, run: RunView) -> Decision:
    match run:
        case RunView.UNKNOWN | RunView.WAITING | RunView.ALIVE:
            return Wait(_NOTHING_TO_DO[run])
        case RunView.CANCELLED:
            return CancelJob("Its run was cancelled in Prefect.")
        case RunView.NONE if job.idle_seconds < DISPATCH_SECONDS:
            return Wait("Its run is being made.")
        case RunView.NONE:
            return _go_on(job, "It has no run", is_run_lost=False)
        case RunView.MISSING:
            return _go_on(job, "Its run is gone from Prefect", is_run_lost=False)
        case RunView.UNDER_WAY if _may_begin(job, lease):
            return Wait("Its run is about to take it.")
        case RunView.UNDER_WAY:
            return _after_loss(job, "Its run shows no life")
        case RunView.ENDED:
            return _after_loss(job, "Its run has ended and left it unfinished")


def _may_begin(job: RecoverableJob, lease: LeaseView) -> bool:
    """Whether a run that is under way may be about to take the job."""
    was_given_back = lease is LeaseView.NONE and job.idle_seconds < START_SECONDS
    return was_given_back or job.run_seconds < min(START_SECONDS, job.idle_seconds)


def _after_loss(job: RecoverableJob, what: str) -> Decision:
    is_begun = job.status is JobStatus.PROCESSING
    lost = job.lost_runs + 1
    if lost < (MAX_RUNS_LOST if is_begun else MAX_STARTS_LOST):
        return _go_on(job, what, is_run_lost=True)
    when = "while it was under way" if is_begun else "before the job began"
    return Fail(f"{lost} runs in Prefect ended {when}.")


def _go_on(job: RecoverableJob, what: str, *, is_run_lost: bool) -> Decision:
    if job.status is JobStatus.QUEUED:
        return Requeue(f"{what}: it gets a new one.", is_run_lost=is_run_lost)
    return Resume(f"{what}: a new run goes on with it.", is_run_lost=is_run_lost)


def _about_prompt(job: RecoverableJob, prompt: PromptView, files: FilesView) -> Decision:
    match prompt:
        case PromptView.UNASKED:
            return Wait("A run holds it.")
        case PromptView.KNOWN:
            return Follow("The server has its prompt.")
        case PromptView.FAILED:
            return NextAttempt("It failed before and was requeued.")
        case PromptView.KILLED if job.servers_killed >= MAX_SERVERS_KILLED:
            return QuarantineJob(
                f"{job.servers_killed} times a server died while it rendered this."
            )
        case _ if files is FilesView.WHOLE:
            return Adopt("The server no longer knows its prompt, but has all of its files.")
        case _ if job.attempt >= job.last_attempt:
            return Fail(
                f"The server lost it in each of its {job.attempt} attempts.", FailureKind.LOST
            )
        case PromptView.KILLED:
            return NextAttempt("The server died while it rendered the prompt.")
        case PromptView.ABSENT:
            return NextAttempt("The server no longer knows its prompt, and has no files of it.")

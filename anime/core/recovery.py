"""What is to become of a job that has not ended, decided from what can be seen of it.

The monitor asks about jobs that no run holds; the run that holds a job asks about its prompt, and
about an attempt that has failed at one of the servers.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Literal

from anime.core.job_status import FailureKind, JobStatus

MAX_STARTS_LOST = 3  # runs that end before the job begins: then it is no accident
MAX_RUNS_LOST = 5  # runs that end with the job under way
MAX_ALIKE_DEATHS = 2  # of servers, at one point of a render: then it is the prompt
MAX_MOVES = 8  # of one job from server to server
DISPATCH_SECONDS = 5.0  # whoever has just submitted or freed the job is dispatching it
START_SECONDS = 45.0  # a run that began so long ago and has not taken its job is dead
CLAIM_SECONDS = 40.0  # a run that a worker claimed so long ago and has not begun is dead

SilentServerPolicy = Literal["fail", "move"]


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
    CLAIMED = "claimed"  # a worker is about to begin it, or has died
    ALIVE = "alive"  # its batch renders other jobs, or did so just now
    UNDER_WAY = "under way"  # a worker has it, or died with it
    CANCELLED = "cancelled"
    ENDED = "ended"  # completed, failed or crashed


class PromptView(StrEnum):
    """What is known of the prompt of the current attempt; from ABSENT on, how that has failed."""

    UNASKED = "unasked"  # nothing was sent, or the run that goes on asks itself
    KNOWN = "known"  # it waits, runs or has ended there
    FAILED = "failed"  # it ended badly, in an attempt that was made before the job was requeued
    ABSENT = "absent"  # the server no longer knows it
    INTERRUPTED = "interrupted"  # somebody stopped it there
    OUT_OF_MEMORY = "out of memory"
    FULL = "full"  # others hold the server's memory
    GPU_FAULT = "GPU fault"  # only a restart of ComfyUI heals it
    DEAD = "dead"  # nobody listens at the server's port
    SILENT = "silent"  # the server has not answered for as long as is waited
    IDLE = "idle"  # it waited although nothing ran: the server's worker has died


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
    attempt: int = 1  # of those that were no moves, since it was last requeued
    moves: int = 0


@dataclass(frozen=True, slots=True)
class ServersView:
    """What the servers have shown of the job.

    `others`, `larger`: such ones, with more memory, can render it, too. `was_freed`: it ran out of
    memory at this one before. `deaths`: how often a server died while it rendered this, and
    `alike_deaths`: how often at about the point of the last one.
    """

    others: bool = False
    larger: bool = False
    was_freed: bool = False
    deaths: int = 0
    alike_deaths: int = 0


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """What the studio has set. A silent server may still render: by default nobody else does."""

    max_attempts: int = 3
    max_server_deaths: int = 3
    silent_server: SilentServerPolicy = "fail"


class NextServer(StrEnum):
    """Where a job is rendered next, as a sentence says it."""

    ANY = "whichever server is next"
    SAME = "the same server, which has let go of its models"
    LARGER = "a server with more memory"
    OTHER = "another server"


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

    server: NextServer = NextServer.ANY


@dataclass(frozen=True, slots=True)
class Move(NextAttempt):
    """It is rendered again elsewhere: the server that failed it is left out for this job."""

    server: NextServer = NextServer.OTHER


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
    servers: ServersView = ServersView(),
    policy: FailurePolicy = FailurePolicy(),
) -> Decision:
    """What is to become of the job.

    The monitor knows nothing of prompt, files and servers; the run that holds the job does. Doing
    twice what is decided is harmless.

    >>> decide(RecoverableJob(JobStatus.PROCESSING), LeaseView.LAPSED, RunView.MISSING).why
    'Its run is gone from Prefect: a new run goes on with it.'
    """
    if job.status.is_final:
        return Wait("It has ended.")
    if lease is LeaseView.LIVE:
        return _about_prompt(job, prompt, files, servers, policy)
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
        case RunView.CLAIMED | RunView.UNDER_WAY if _may_begin(job, lease, run):
            return Wait("Its run is about to take it.")
        case RunView.CLAIMED:
            return _after_loss(job, "A worker has claimed its run and not begun it")
        case RunView.UNDER_WAY:
            return _after_loss(job, "Its run shows no life")
        case RunView.ENDED:
            return _after_loss(job, "Its run has ended and left it unfinished")


def _may_begin(job: RecoverableJob, lease: LeaseView, run: RunView) -> bool:
    """Whether a run that a worker has may be about to take the job."""
    if run is RunView.CLAIMED:  # a worker that starts a process for each run may need longer
        return job.run_seconds < CLAIM_SECONDS * (1 + job.lost_runs)
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


def _about_prompt(
    job: RecoverableJob,
    prompt: PromptView,
    files: FilesView,
    servers: ServersView,
    policy: FailurePolicy,
) -> Decision:
    match prompt:
        case PromptView.UNASKED:
            return Wait("A run holds it.")
        case PromptView.KNOWN:
            return Follow("The server has its prompt.")
        case PromptView.FAILED:
            return NextAttempt("It failed before and was requeued.")
        case PromptView.ABSENT if files is FilesView.WHOLE:
            return Adopt("The server no longer knows its prompt, but has all of its files.")
        case PromptView.ABSENT | PromptView.DEAD if why := _why_it_kills(servers, policy):
            return QuarantineJob(why)
        case PromptView.ABSENT:
            return _again(job, policy, FailureKind.LOST, "The server lost it")
        case PromptView.INTERRUPTED:
            return _again(job, policy, FailureKind.INTERRUPTED, "Somebody stopped it")
        case _:
            return _about_server(job, prompt, servers, policy)


def _about_server(
    job: RecoverableJob, prompt: PromptView, servers: ServersView, policy: FailurePolicy
) -> Decision:
    """What follows where the same server would most likely fail the prompt again."""
    match prompt:
        case PromptView.OUT_OF_MEMORY if not servers.was_freed:
            return NextAttempt(_goes_to(NextServer.SAME), NextServer.SAME)
        case PromptView.OUT_OF_MEMORY if not servers.larger:
            return Fail("No server with more memory can run it.", _KINDS[prompt])
        case PromptView.SILENT if policy.silent_server == "fail":
            return Fail("The server may still render it, and nobody else is to.", _KINDS[prompt])
    if not servers.others:
        return Fail("No other server can run it.", _KINDS[prompt])
    if job.moves >= MAX_MOVES:
        return Fail(f"It has moved {job.moves} times.", _KINDS[prompt])
    where = NextServer.LARGER if prompt is PromptView.OUT_OF_MEMORY else NextServer.OTHER
    return Move(_goes_to(where), where)


_KINDS = {
    PromptView.OUT_OF_MEMORY: FailureKind.OUT_OF_MEMORY,
    PromptView.FULL: FailureKind.INSUFFICIENT_VRAM,
    PromptView.GPU_FAULT: FailureKind.NODE_ERROR,
    PromptView.DEAD: FailureKind.COMFYUI_UNREACHABLE,
    PromptView.SILENT: FailureKind.COMFYUI_UNREACHABLE,
    PromptView.IDLE: FailureKind.TIMEOUT,
}


def _why_it_kills(servers: ServersView, policy: FailurePolicy) -> str:
    """Why the prompt is taken to be what servers die of; empty if it is not."""
    if servers.alike_deaths >= MAX_ALIKE_DEATHS:
        return f"{servers.alike_deaths} times a server died at about the same point of it."
    if servers.deaths >= policy.max_server_deaths:
        return f"{servers.deaths} times a server died while it rendered this."
    return ""


def _again(job: RecoverableJob, policy: FailurePolicy, kind: FailureKind, what: str) -> Decision:
    if job.attempt < policy.max_attempts:
        return NextAttempt(_goes_to(NextServer.ANY))
    return Fail(f"{what} in each of its {job.attempt} attempts.", kind)


def _goes_to(server: NextServer) -> str:
    return f"Its next attempt goes to {server}."

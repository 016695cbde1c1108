"""The states of a job and which may follow which."""

from enum import StrEnum


class JobStatus(StrEnum):
    """Where a job stands. From a final state only a person brings it back: a failed one."""

    QUEUED = "queued"  # written down, no run has taken it yet
    PROCESSING = "processing"  # a run holds its lease; `stage` says how far it is
    CANCELLING = "cancelling"  # somebody asked to stop; ComfyUI has not confirmed yet
    COMPLETED = "completed"  # its files are in the library and their rows are written
    FAILED = "failed"  # `error_kind` and `error_message` say why and what to do
    CANCELLED = "cancelled"  # stopped on request

    @property
    def is_final(self) -> bool:
        """Whether no other state follows by itself."""
        return self in {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}


class Stage(StrEnum):
    """Where in `processing` a job is, in order."""

    CHECKING_VRAM = "checking_vram"
    SUBMITTING = "submitting"
    RENDERING = "rendering"
    ORGANIZING = "organizing"
    RECORDING = "recording"


def stages_after(stage: Stage) -> list[Stage]:
    """The stages that follow it, in order.

    >>> [each.value for each in stages_after(Stage.RENDERING)]
    ['organizing', 'recording']
    """
    every = list(Stage)
    return every[every.index(stage) + 1 :]


def later_stage(one: Stage | None, other: Stage | None) -> Stage | None:
    """The one of the two that comes later; None is before all.

    >>> later_stage(Stage.RENDERING, Stage.SUBMITTING).value
    'rendering'
    """
    if one is None or other is None:
        return one or other
    return other if other in stages_after(one) else one


class FailureKind(StrEnum):
    """Why a job failed, in words a program can act on."""

    INVALID_WORKFLOW = "invalid_workflow"
    OUT_OF_MEMORY = "out_of_memory"
    INSUFFICIENT_VRAM = "insufficient_vram"
    COMFYUI_UNREACHABLE = "comfyui_unreachable"
    LOST = "lost"
    TIMEOUT = "timeout"
    NODE_ERROR = "node_error"
    INTERRUPTED = "interrupted"  # by somebody at ComfyUI; our own cancellations are no failures
    STORAGE = "storage"
    QUARANTINED = "quarantined"  # ComfyUI died of it again and again
    INTERNAL = "internal"


NEXT: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset(
        {JobStatus.PROCESSING, JobStatus.CANCELLING, JobStatus.CANCELLED, JobStatus.FAILED}
    ),
    JobStatus.PROCESSING: frozenset(
        {
            JobStatus.PROCESSING,
            JobStatus.CANCELLING,
            JobStatus.COMPLETED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
        }
    ),
    # A render that ends before the interrupt reaches it has made its files: it is completed.
    JobStatus.CANCELLING: frozenset({JobStatus.CANCELLED, JobStatus.COMPLETED, JobStatus.FAILED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),  # a person requeues it
    JobStatus.CANCELLED: frozenset(),
}


def may_follow(now: JobStatus, then: JobStatus) -> bool:
    """Whether a job may go from `now` to `then`.

    >>> may_follow(JobStatus.QUEUED, JobStatus.PROCESSING)
    True
    >>> may_follow(JobStatus.COMPLETED, JobStatus.PROCESSING)
    False
    """
    return then in NEXT[now]


def may_precede(then: JobStatus) -> frozenset[JobStatus]:
    """The states from which a job may go to `then`: the guard of an UPDATE."""
    return frozenset(now for now in JobStatus if then in NEXT[now])

"""What the studio does now, as it is shown: what renders, what waits and why, what has failed."""

from collections.abc import Mapping

from pydantic import AwareDatetime, BaseModel, Field

from anime.core.job_status import JobStatus, Stage
from anime.core.progress_meter import IN_QUEUE
from anime.core.server_health import ServerHealth
from anime.core.servers import PauseRecord, ServerRecord
from anime.schemas import JobSnapshot, ProgressEvent

_AT_WORK = frozenset({Stage.RENDERING, Stage.ORGANIZING, Stage.RECORDING})


class ActiveJob(JobSnapshot):
    """A job that has not ended, or has failed, with what was last said of it."""

    message: str = Field(description="What it does now, or why it waits, in a sentence.")
    comfyui_name: str | None = Field(default=None, description="Name of the server it is at.")

    @property
    def is_at_work(self) -> bool:
        """Whether something is made of it now: it is rendered, or its files come in."""
        is_begun = self.stage in _AT_WORK and self.message != IN_QUEUE
        return self.status is JobStatus.CANCELLING or is_begun


class ServerActivity(BaseModel):
    """A server as it stands now."""

    name: str
    url: str
    labels: tuple[str, ...]
    health: ServerHealth
    health_reason: str
    health_since: AwareDatetime
    is_drained: bool
    pause: PauseRecord | None = Field(description="Why it begins nothing new, if it is paused.")
    device: str | None = Field(description="What it renders on; null until it has told.")
    loaded_model: str | None
    vram_total_mb: int | None
    vram_free_mb: int | None = Field(description="Null while it does not answer.")
    jobs: int = Field(description="How many of our prompts are there.")


TOLD_OF_SERVER = ServerActivity.model_fields.keys() & ServerRecord.model_fields.keys()


class Activity(BaseModel):
    """All of it at one moment. `counts` are complete; the lists have the first ones each."""

    at: AwareDatetime
    counts: dict[JobStatus, int] = Field(description="How many jobs are in each state.")
    rendering: list[ActiveJob] = Field(description="What is being made, the oldest first.")
    waiting: list[ActiveJob] = Field(description="What waits for a server or a run, in order.")
    failed: list[ActiveJob] = Field(description="Those that failed last, the newest first.")
    servers: list[ServerActivity]
    pauses: list[PauseRecord]


def why_it_waits(pause: PauseRecord | None, *, ahead: int) -> str:
    """Why no run has begun a job yet.

    `pause`: the one that it falls under; `ahead`: how many are older and wait as well.

    >>> why_it_waits(None, ahead=1)
    '1 older job waits for a run, too.'
    """
    if pause is not None:
        return f"{pause.describe()}."
    if ahead:
        return f"{ahead} older {'job waits' if ahead == 1 else 'jobs wait'} for a run, too."
    return "It is next: it waits for a worker that has a run free."


def as_last_said(
    job: JobSnapshot, event: ProgressEvent | None, names: Mapping[str, str]
) -> ActiveJob:
    """The job as the last event says: its row follows that some seconds later."""
    if event is None or event.status is not job.status:
        return described(job, event.message if event else "", names)
    is_newer = event.attempt >= job.attempt
    newer = {"stage": event.stage, "progress": event.progress} if is_newer else {}
    return described(job.model_copy(update=newer), event.message, names)


def described(job: JobSnapshot, message: str, names: Mapping[str, str]) -> ActiveJob:
    """The job with what was last said of it, and the name of its server by address."""
    name = names.get(job.comfyui_url or "") or job.comfyui_url
    return ActiveJob(**job.__dict__, message=message, comfyui_name=name)

"""What crosses a boundary: requests from people and programs, answers, events.

Models of what users send refuse unknown fields. Descriptions say the units of lengths and sizes;
Prefect's form and the OpenAPI page show them.
"""

import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    JsonValue,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from anime.core.ids import MAX_SEED
from anime.core.job_status import FailureKind, JobStatus, Stage
from anime.core.paths import composed
from anime.core.timeline import TimelineKind

MAX_PROMPT_CHARS = 10_000
MAX_NAME_CHARS = 120
MAX_URL_CHARS = 2_000
MAX_LORAS = 16
MAX_CHARACTERS = 16


class GenerationType(StrEnum):
    """What a generation is to become."""

    IMAGE = "image"
    VIDEO = "video"


class MediaKind(StrEnum):
    """What a file shows or plays. Animated pictures are videos."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


DEFAULT_WORKFLOWS = {GenerationType.IMAGE: "txt2img", GenerationType.VIDEO: "animation"}


def _storable(text: str) -> str:
    """The text; ValueError for NUL and lone surrogates, which PostgreSQL and PNG cannot store."""
    if "\x00" in text:
        raise ValueError("holds a NUL byte; remove it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("is not valid Unicode (a lone surrogate); send UTF-8") from None
    return text


def _check_storable(value: JsonValue) -> None:
    """Make sure of the same for every text in a JSON value; numbers must be finite, too."""
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"holds the number {value}, which JSON cannot say")
    elif isinstance(value, list):
        for part in value:
            _check_storable(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            _storable(key)
            _check_storable(part)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; say what to draw")
    return text


def _not_blank_name(name: str) -> str:
    if not name.strip():
        raise ValueError("is empty")
    return name


def _multiple_of_eight(size: int) -> int:
    if size % 8:
        near = max(64, round(size / 8) * 8)
        raise ValueError(f"{size} is not a multiple of 8; the nearest is {near}")
    return size


def _web_address(text: str) -> str:
    """The URL in its normal form, in which a host such as 0x7f.1 is the address it stands for."""
    try:
        url = _WEB_ADDRESS.validate_python(text)
    except ValidationError as fault:
        raise ValueError(f"is no address of a web server: {fault.errors()[0]['msg']}") from None
    if url.username is not None or url.password is not None:
        raise ValueError("holds a user name; webhooks are signed instead")
    if len(str(url)) > MAX_URL_CHARS:
        raise ValueError(f"is longer than {MAX_URL_CHARS} characters once it is spelled out")
    return str(url)


def _all_storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _check_storable(value)
    return value


_WEB_ADDRESS = TypeAdapter(HttpUrl)
Storable = AfterValidator(_storable)
PromptText = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PROMPT_CHARS, examples=["a girl on a rooftop at dusk"]),
    AfterValidator(_not_blank),
    Storable,
]
NegativeText = Annotated[str, Field(max_length=MAX_PROMPT_CHARS), Storable]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), Storable]
GivenName = Annotated[  # by people, who may type one in two forms
    Name, AfterValidator(composed), AfterValidator(_not_blank_name)
]
JsonObject = Annotated[dict[Name, JsonValue], Field(max_length=64), AfterValidator(_all_storable)]
WorkflowName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
SizePx = Annotated[int, Field(ge=64, le=8192), AfterValidator(_multiple_of_eight)]
Steps = Annotated[int, Field(ge=1, le=1000)]
Cfg = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
BatchSize = Annotated[int, Field(ge=1, le=64)]
Priority = Annotated[int, Field(ge=0, le=100)]
WebhookUrl = Annotated[
    str,
    Field(min_length=1, max_length=MAX_URL_CHARS, json_schema_extra={"format": "uri"}),
    Storable,
    AfterValidator(_web_address),
]
VramMb = Annotated[int, Field(ge=0, le=1_000_000)]
# Fields that styles and shots have as well: each says once what it is.
ModelOrNone = Annotated[Name | None, Field(description="Checkpoint, as ComfyUI lists it.")]
WidthOrNone = Annotated[SizePx | None, Field(description="Width in pixels, a multiple of 8.")]
HeightOrNone = Annotated[SizePx | None, Field(description="Height in pixels, a multiple of 8.")]
StepsOrNone = Annotated[Steps | None, Field(description="Sampler steps.")]
CfgOrNone = Annotated[Cfg | None, Field(description="Classifier-free guidance scale.")]
SamplerOrNone = Annotated[Name | None, Field(description="Sampler, as ComfyUI lists it.")]
SchedulerOrNone = Annotated[Name | None, Field(description="Scheduler, as ComfyUI lists it.")]
NegativeOrNone = Annotated[NegativeText | None, Field(description="What to avoid.")]


class LoraChoice(BaseModel):
    """One LoRA file and its strength."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="File name, as ComfyUI lists it.")
    strength: float = Field(
        default=1.0, ge=-10, le=10, description="Factor on model and text encoder; 1 is full."
    )


class GenerationRequest(BaseModel):
    """What to render. Every field but the prompt has a default."""

    model_config = ConfigDict(extra="forbid")

    prompt: PromptText = Field(description="What to draw.")
    type: GenerationType = Field(
        default=GenerationType.IMAGE, description="A still image, or a short animation."
    )
    negative_prompt: NegativeOrNone = None
    project: GivenName | None = Field(default=None, description="Project the files belong to.")
    character: GivenName | None = Field(default=None, description="Character in the picture.")
    characters: list[GivenName] = Field(
        default_factory=list,
        max_length=MAX_CHARACTERS,
        description="Characters in the picture, if there are several.",
    )
    shot: GivenName | None = Field(default=None, description="Shot the take is for.")
    workflow: WorkflowName | None = Field(
        default=None, description="Workflow template; by default txt2img, or animation for video."
    )
    model: ModelOrNone = None
    loras: list[LoraChoice] = Field(
        default_factory=list, max_length=MAX_LORAS, description="LoRAs, applied in this order."
    )
    width: WidthOrNone = None
    height: HeightOrNone = None
    steps: StepsOrNone = None
    cfg: CfgOrNone = None
    sampler: SamplerOrNone = None
    scheduler: SchedulerOrNone = None
    seed: Seed | None = Field(
        default=None, description="0 to 2^64-1; derived from the job's id if left out."
    )
    batch_size: BatchSize | None = Field(
        default=None, description="Pictures made at once; each is kept."
    )
    priority: Priority = Field(
        default=50, description="0 to 100; from 50 up it goes to the interactive queue."
    )
    required_vram_mb: VramMb | None = Field(
        default=None, description="Free VRAM needed, in MB; that of the workflow if left out."
    )
    server: Name | None = Field(
        default=None,
        description="Name or label of the ComfyUI server that is to render it; left out, any.",
    )
    webhook_url: WebhookUrl | None = Field(
        default=None,
        description="http or https address that gets a signed message when the job has ended.",
    )
    inputs: dict[Name, JsonValue] = Field(
        default_factory=dict,
        max_length=64,
        description="Values for any other named input of the workflow, such as frames or image.",
    )

    @property
    def workflow_name(self) -> str:
        """The workflow of the request, or the default one of its type."""
        return self.workflow or DEFAULT_WORKFLOWS[self.type]

    @property
    def named_characters(self) -> list[str]:
        """The characters of its fields, each once: its job and its files are found by them."""
        named = [self.character, *self.characters] if self.character else self.characters
        return list(dict.fromkeys(named))

    @property
    def first_character(self) -> str | None:
        """The first of them, as programs read that know of one."""
        return next(iter(self.named_characters), None)

    @model_validator(mode="after")
    def _storable_inputs(self) -> Self:
        for name, value in self.inputs.items():
            try:
                _check_storable(value)
            except ValueError as fault:
                raise ValueError(f"inputs.{name} {fault}") from None
        return self


class Accepted(BaseModel):
    """Answer to a generation request."""

    job_id: UUID
    status: JobStatus
    status_url: str = Field(description="Where to get its status.")
    warnings: list[str] = Field(
        default_factory=list, description="With `dispatched`: what its composition warns of."
    )


class AcceptedBatch(BaseModel):
    """Answer to a batch."""

    flow_run_id: UUID = Field(description="Its run in Prefect.")
    job_ids: list[UUID] = Field(
        description="The jobs that stand for its generations, in order; each is there once the "
        "run has begun it."
    )


class Cancellation(BaseModel):
    """What became of a job that was to be cancelled."""

    job_id: UUID
    status: JobStatus
    detail: str = Field(description="The same in words.")


class Requeued(BaseModel):
    """What became of a job that was to wait for a run again."""

    job_id: UUID
    status: JobStatus
    detail: str = Field(description="The same in words.")


class JobSnapshot(BaseModel):
    """One job, as its row says."""

    id: UUID
    type: GenerationType
    status: JobStatus
    stage: Stage | None = None
    progress: int = Field(ge=0, le=100, description="Percent of sampler steps over all nodes.")
    project: str | None = None
    character: str | None = None
    prompt: str
    workflow: str
    seed: int | None = None
    attempt: int
    fence: int = Field(default=0, exclude=True)  # of its latest lease: see ProgressEvent
    expected_at: AwareDatetime | None = Field(
        default=None,
        description="When its render is expected to end, by those before it and by what such "
        "renders have taken; known of a single job that renders or is in line for a server.",
    )
    prompt_id: UUID | None = None
    comfyui_url: str | None = None
    flow_run_id: UUID | None = None
    trace_id: str | None = Field(
        default=None, description="Its OpenTelemetry trace, if it was submitted in one."
    )
    output_path: str | None = None
    error_kind: FailureKind | None = None
    error: str | None = None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None


class TimelineEntry(BaseModel):
    """One entry of a job's timeline."""

    at: AwareDatetime
    kind: TimelineKind
    message: str = Field(description="One sentence on what happened, and why.")


class Timeline(BaseModel):
    """What happened to a job."""

    entries: list[TimelineEntry]


class FileRecord(BaseModel):
    """One file of the library, as its row says."""

    id: int
    filename: str
    file_type: str
    file_path: str
    file_size: int
    job_id: UUID | None = None
    project_id: UUID | None = None
    width: int | None = None
    height: int | None = None
    sha256: str | None = None
    state: str = Field(default="present", description="Such as present, missing or altered.")
    created_at: datetime
    organized_at: datetime | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)  # the row's JSON, of any producer


class ProgressEvent(BaseModel):
    """One full snapshot of a job, as published, so that a lost one does no harm.

    `seq` grows by one for each event of a job; `timestamp` is UTC.
    """

    job_id: UUID
    status: JobStatus
    stage: Stage | None = None
    progress: int = Field(ge=0, le=100)
    message: str
    timestamp: AwareDatetime
    attempt: int = 1
    fence: int = Field(
        default=0,
        description="Grows with each run that takes the job: what has a lower one is late.",
    )
    seq: int = 0
    error_kind: FailureKind | None = None
    error: str | None = None
    result: list[str] | None = Field(
        default=None, description="Paths of the files, with the terminal event."
    )

    @classmethod
    def of(cls, job: JobSnapshot, message: str = "", result: list[str] | None = None) -> Self:
        """How the job stands by its row, without a number."""
        return cls(
            job_id=job.id,
            status=job.status,
            stage=job.stage,
            progress=job.progress,
            message=message,
            timestamp=job.updated_at.astimezone(UTC),
            attempt=max(job.attempt, 1),
            fence=job.fence,
            error_kind=job.error_kind,
            error=job.error,
            result=result,
        )


class Preview(BaseModel):
    """A picture of a render in progress, published while a client asks for it."""

    job_id: UUID
    media_type: str
    image: str = Field(description="The picture in base64.")

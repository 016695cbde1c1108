"""The style of a project: what its generations have where their requests say nothing."""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from anime.core.catalogue import CatalogueLora, Description
from anime.schemas import (
    DEFAULT_WORKFLOWS,
    MAX_LORAS,
    Cfg,
    GenerationRequest,
    GenerationType,
    Name,
    NegativeText,
    PromptText,
    SizePx,
    Steps,
    WorkflowName,
)


class SeedPolicy(StrEnum):
    """Which seed a generation has if its request gives none."""

    SHOT = "shot"  # all takes of a shot have the same one, which follows from its code
    TAKE = "take"  # each take has its own, which follows from the job's id
    RANDOM = "random"


class ProjectStyle(BaseModel):
    """How a project looks. What is left out is left to the workflow."""

    model_config = ConfigDict(extra="forbid")

    workflow: WorkflowName | None = Field(
        default=None, description="Workflow of requests that name none; of type image."
    )
    video_workflow: WorkflowName | None = Field(
        default=None, description="The same for requests of type video."
    )
    model: Name | None = Field(default=None, description="Checkpoint, as ComfyUI lists it.")
    loras: list[CatalogueLora] = Field(
        default_factory=list, max_length=MAX_LORAS, description="LoRAs before those of characters."
    )
    width: SizePx | None = Field(default=None, description="Width in pixels, a multiple of 8.")
    height: SizePx | None = Field(default=None, description="Height in pixels, a multiple of 8.")
    steps: Steps | None = Field(default=None, description="Sampler steps.")
    cfg: Cfg | None = Field(default=None, description="Classifier-free guidance scale.")
    sampler: Name | None = Field(default=None, description="Sampler, as ComfyUI lists it.")
    scheduler: Name | None = Field(default=None, description="Scheduler, as ComfyUI lists it.")
    prompt_before: PromptText | None = Field(
        default=None, description="Comes before the words of each prompt."
    )
    prompt_after: PromptText | None = Field(
        default=None, description="Comes after the words of each prompt."
    )
    negative_prompt: NegativeText | None = Field(default=None, description="What to avoid.")
    frame_rate: Annotated[float, Field(gt=0, le=240, allow_inf_nan=False)] | None = Field(
        default=None, description="Frames per second: the input `fps` of workflows that have it."
    )
    seed_policy: SeedPolicy | None = Field(
        default=None,
        description="shot, take or random; left out, take, or the seed of the first character.",
    )

    def workflow_of(self, request: GenerationRequest) -> str:
        """The workflow that renders the request."""
        is_video = request.type is GenerationType.VIDEO
        own = self.video_workflow if is_video else self.workflow
        return request.workflow or own or DEFAULT_WORKFLOWS[request.type]


class StyleVersion(BaseModel):
    """One version of a project's style; the newest counts."""

    version: int = Field(description="From 1; each change is a new version.")
    style: ProjectStyle
    notes: str
    created_at: AwareDatetime
    created_by: str


class NewStyle(BaseModel):
    """A project's style from now on."""

    model_config = ConfigDict(extra="forbid")

    style: ProjectStyle = Field(description="All of it: what is left out is no longer said.")
    notes: Description = Field(default="", description="Why it changes.")
    by: Name = Field(default="api", description="Who says it.")

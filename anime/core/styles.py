"""The style of a project: what its generations have where their requests say nothing."""

import re
from enum import StrEnum
from string import Formatter
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from anime.core.catalogue import CatalogueLora, Description
from anime.core.paths import safe_filename
from anime.schemas import (
    DEFAULT_WORKFLOWS,
    MAX_LORAS,
    CfgOrNone,
    GenerationRequest,
    GenerationType,
    HeightOrNone,
    ModelOrNone,
    Name,
    NegativeOrNone,
    PromptText,
    SamplerOrNone,
    SchedulerOrNone,
    StepsOrNone,
    Storable,
    WidthOrNone,
    WorkflowName,
)

NAMED_FIELDS = ("project", "shot", "character", "workflow")
_PREFIX_MAX_BYTES = 100  # the name with the job's id comes after it


class SeedPolicy(StrEnum):
    """Which seed a generation has if its request gives none."""

    SHOT = "shot"  # all takes of a shot have the same one, which follows from its code
    TAKE = "take"  # each take has its own, which follows from the job's id
    RANDOM = "random"


def _is_naming(pattern: str) -> str:
    """The pattern; ValueError for one with other fields than we know."""
    for _, name, spec, conversion in Formatter().parse(pattern):
        if name is not None and (name not in NAMED_FIELDS or spec or conversion):
            known = ", ".join(f"{{{each}}}" for each in NAMED_FIELDS)
            raise ValueError(f"has {{{name}}}, which is none of {known}")
    return pattern


NamingPattern = Annotated[str, Field(min_length=1, max_length=80), Storable]


class ProjectStyle(BaseModel):
    """How a project looks. What is left out is left to the workflow."""

    model_config = ConfigDict(extra="forbid")

    workflow: WorkflowName | None = Field(
        default=None, description="Workflow of requests that name none; of type image."
    )
    video_workflow: WorkflowName | None = Field(
        default=None, description="The same for requests of type video."
    )
    model: ModelOrNone = None
    loras: list[CatalogueLora] = Field(
        default_factory=list, max_length=MAX_LORAS, description="LoRAs before those of characters."
    )
    width: WidthOrNone = None
    height: HeightOrNone = None
    steps: StepsOrNone = None
    cfg: CfgOrNone = None
    sampler: SamplerOrNone = None
    scheduler: SchedulerOrNone = None
    prompt_before: PromptText | None = Field(
        default=None, description="Comes before the words of each prompt."
    )
    prompt_after: PromptText | None = Field(
        default=None, description="Comes after the words of each prompt."
    )
    negative_prompt: NegativeOrNone = None
    frame_rate: Annotated[float, Field(gt=0, le=240, allow_inf_nan=False)] | None = Field(
        default=None, description="Frames per second: the input `fps` of workflows that have it."
    )
    naming: Annotated[NamingPattern, AfterValidator(_is_naming)] | None = Field(
        default=None,
        description="What names of files in the library begin with, such as {shot}_{character}; "
        "{project} and {workflow} are known, too.",
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


def file_prefix(style: ProjectStyle, request: GenerationRequest, workflow: str) -> str:
    """What the names of a request's files begin with, by the style's `naming`; nothing if none.

    >>> request = GenerationRequest(prompt="x", shot="sc1/c10", character="Mei")
    >>> file_prefix(ProjectStyle(naming="{shot}_{character}"), request, "txt2img")
    'sc1-c10_Mei_'
    """
    if style.naming is None:
        return ""
    values = {
        "project": request.project or "",
        "shot": request.shot or "",
        "character": request.first_character or "",
        "workflow": workflow,
    }
    named = re.sub(r"[\s/\\]+", "-", style.naming.format_map(values)).strip("_-. ")
    kept = (
        safe_filename(named).encode()[:_PREFIX_MAX_BYTES].decode(errors="ignore") if named else ""
    )
    return f"{kept}_" if kept else ""


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

"""Shots of a production: what is known of each, and the order in which people count them."""

import re
import unicodedata
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from anime.core.catalogue import Description
from anime.core.paths import composed
from anime.schemas import (
    MAX_CHARACTERS,
    GenerationRequest,
    GivenName,
    HeightOrNone,
    ModelOrNone,
    Name,
    NegativeOrNone,
    PromptText,
    Seed,
    WidthOrNone,
    WorkflowName,
)

MAX_TABLE_CHARS = 16_000_000
_DIGITS = re.compile(r"\d+")
_NO_CODE = frozenset("/\\")
_UNSEEN = frozenset({"Cc", "Cf", "Cs"})  # control and format characters, halves of a pair


def _is_code(text: str) -> str:
    code = composed(" ".join(text.split()))
    if not code:
        raise ValueError("is empty")
    unsafe = [each for each in text if each in _NO_CODE or unicodedata.category(each) in _UNSEEN]
    if unsafe:
        raise ValueError(f"holds {unsafe[0]!a}; use letters, digits, spaces, - and _")
    return code


ShotCode = Annotated[
    str, Field(min_length=1, max_length=64, examples=["sc2_c010"]), AfterValidator(_is_code)
]


class ShotFields(BaseModel):
    """What a person or a shot list says of a shot."""

    model_config = ConfigDict(extra="forbid")

    code: ShotCode = Field(description="The studio's own name of it, once in a project.")
    episode: ShotCode | None = None
    scene: ShotCode | None = None
    description: Description = Field(default="", description="What happens in it.")
    characters: list[GivenName] = Field(
        default_factory=list, max_length=MAX_CHARACTERS, description="Who is in it."
    )
    prompt: PromptText | None = Field(default=None, description="What to draw.")
    negative_prompt: NegativeOrNone = None
    workflow: WorkflowName | None = None
    model: ModelOrNone = None
    width: WidthOrNone = None
    height: HeightOrNone = None
    frames: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Its length in frames; the input `frames` of its workflow."
    )
    seconds: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] | None = Field(
        default=None, description="Its length in seconds, where it is not given in frames."
    )
    seed: Seed | None = None
    notes: Description = ""
    status: GivenName | None = Field(default=None, description="What the studio says of it.")

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if self.frames is not None and self.seconds is not None:
            raise ValueError("has both frames and seconds; give one of them")
        return self

    def request(self, project: str) -> GenerationRequest | None:
        """What renders a take of it; None without a prompt."""
        if self.prompt is None:
            return None
        given = {
            "negative_prompt": self.negative_prompt,
            "workflow": self.workflow,
            "model": self.model,
            "width": self.width,
            "height": self.height,
            "seed": self.seed,
            # One goes into the older field, so that the take has the id that it always had.
            "character": self.characters[0] if len(self.characters) == 1 else None,
            "characters": self.characters if len(self.characters) > 1 else None,
            "inputs": {"frames": self.frames} if self.frames else None,
        }
        return GenerationRequest(
            prompt=self.prompt,
            project=project,
            shot=self.code,
            **{name: value for name, value in given.items() if value is not None},
        )


class ShotState(StrEnum):
    """How far a shot is."""

    MISSING = "missing"  # it has no take that is not rejected, and none is under way
    RENDERING = "rendering"
    TO_REVIEW = "to review"  # it has takes, none of which is picked
    APPROVED = "approved"  # one is picked, made from what the shot says now
    STALE = "stale"  # one is picked, made from something else


class ShotRecord(ShotFields):
    """A shot as its row says, with how far its takes are."""

    id: UUID
    project_id: UUID
    state: ShotState
    takes: int = Field(description="Jobs for it that have ended with a file.")
    rejected: int = Field(description="Those of them whose files are all rejected.")
    retakes: int = Field(description="Jobs that render another take for a rejected one.")
    under_way: int = Field(description="Jobs for it that wait or render.")
    failed: int = Field(description="Jobs for it that have failed.")
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ShotChange(StrEnum):
    """Why a shot's event is published."""

    TAKE = "take"  # a file of it was recorded
    REVIEW = "review"
    JOB = "job"  # one of its jobs waits or begins, or has ended without a file
    LIST = "list"  # a shot list has added or changed it


class ShotEvent(BaseModel):
    """How far a shot is, as published; a full snapshot, so that a lost one does no harm."""

    shot_id: UUID
    project: str = Field(description="The project's slug.")
    code: str
    change: ShotChange
    state: ShotState
    takes: int
    rejected: int
    retakes: int
    under_way: int
    failed: int
    job_id: UUID | None = Field(description="The job that waits, begins or ends, or is a retake.")
    take: int | None = Field(description="The number of the take that was reviewed.")
    timestamp: AwareDatetime

    @classmethod
    def of(
        cls,
        shot: ShotRecord,
        project: str,
        change: ShotChange,
        at: datetime,
        *,
        job_id: UUID | None = None,
        take: int | None = None,
    ) -> Self:
        """The event of a shot that has changed."""
        counts = shot.model_dump(include={"state", *_COUNTS})
        return cls(
            shot_id=shot.id,
            project=project,
            code=shot.code,
            change=change,
            job_id=job_id,
            take=take,
            timestamp=at,
            **counts,
        )


_COUNTS = ("takes", "rejected", "retakes", "under_way", "failed")


class ListFormat(StrEnum):
    """What a shot list is written in."""

    CSV = "csv"
    XLSX = "xlsx"
    YAML = "yaml"
    OTIO = "otio"


class GivenList(BaseModel):
    """A shot list as somebody gives it."""

    model_config = ConfigDict(extra="forbid")

    project: GivenName = Field(description="Name of the project; made if there is none.")
    table: str = Field(
        max_length=MAX_TABLE_CHARS,
        description="The list as a spreadsheet exports CSV, with a row of headings; a workbook"
        " in base64.",
    )
    format: ListFormat = Field(default=ListFormat.CSV, description="What the list is written in.")
    columns: dict[Name, str] = Field(
        default_factory=dict,
        max_length=64,
        description="Fields of columns by heading, where they are not to be guessed; kept for "
        "the project. An empty field ignores the column.",
    )


class ShotImport(GivenList):
    """A shot list to be imported."""

    dry_run: bool = Field(default=False, description="Only say what it would change.")


class ImportedShots(BaseModel):
    """What an import has done, or would do."""

    added: int
    changed: int
    unchanged: int
    columns: dict[str, str] = Field(description="Which field each column of the list was read as.")
    ignored: list[str] = Field(description="Columns of which nobody has said what they are.")
    faults: list[str] = Field(
        default_factory=list,
        description="Why shots could not be rendered as they are: rows with workflows, models or"
        " characters that there are not.",
    )


def code_key(code: str) -> str:
    """What makes two codes one: their letters, whatever the case and the Unicode form.

    >>> code_key("SC2 c010") == code_key("sc2 C010")
    True
    """
    return composed(composed(code).casefold())


def natural_key(text: str) -> str:
    """A text that sorts, sign by sign, as people count: `sc2` before `sc10`.

    A number is written as the count of its digits and the digits, without zeros before it.

    >>> sorted(["sc10", "sc2", "sc02b", "SC1"], key=natural_key)
    ['SC1', 'sc2', 'sc02b', 'sc10']
    """
    return _DIGITS.sub(lambda found: _counted(int(found[0])), code_key(text))


def sort_key(shot: ShotFields) -> str:
    """By episode, then scene, then code; what has none comes first."""
    return "\x01".join(natural_key(part or "") for part in (shot.episode, shot.scene, shot.code))


def _counted(number: int) -> str:
    return f"{len(str(number)):02d}{number}"

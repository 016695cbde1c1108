"""Projects and characters, as people send them and as they are shown."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from anime.core.paths import slug_of, slugs_of
from anime.core.references import ReferenceRecord
from anime.schemas import (
    MAX_LORAS,
    GivenName,
    JsonObject,
    LoraChoice,
    Name,
    NegativeText,
    PromptText,
    Seed,
    Storable,
)

MAX_DESCRIPTION_CHARS = 10_000


def _is_slug(text: str) -> str:
    if slug_of(text) != text:
        raise ValueError(f"is no folder name; such as {slug_of(text)!r}")
    return text


Title = Annotated[GivenName, AfterValidator(str.strip)]
Slug = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_is_slug)]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARS), Storable]
Metadata = Annotated[JsonObject, Field(description="Anything else, as JSON; replaced as a whole.")]


class NewProject(BaseModel):
    """A project to be."""

    model_config = ConfigDict(extra="forbid")

    name: Title = Field(description="What people call it.")
    slug: Slug | None = Field(
        default=None, description="Its folder in the library; made from the name if left out."
    )
    description: Description = ""
    metadata: Metadata = Field(default_factory=dict)


class ProjectChange(BaseModel):
    """What is to change of a project; what is left out, or null, stays."""

    model_config = ConfigDict(extra="forbid")

    name: Title | None = None
    description: Description | None = None
    metadata: Metadata | None = None


class ProjectRecord(BaseModel):
    """A project. Its slug is its folder in the library and never changes."""

    id: UUID
    slug: str
    name: str
    description: str
    metadata: dict[str, Any]  # JSON of whoever wrote it
    created_at: AwareDatetime
    updated_at: AwareDatetime

    def is_called(self, name: str) -> bool:
        """Whether it is found by that slug or name."""
        return bool({self.slug, slug_of(self.name)} & set(slugs_of(name)))


class CatalogueLora(LoraChoice):
    """A LoRA of a style or a character."""

    architecture: Name | None = Field(
        default=None,
        description="What it was trained for, such as sdxl; left out, whether it fits is unknown.",
    )


class NewCharacter(BaseModel):
    """A character to be."""

    model_config = ConfigDict(extra="forbid")

    name: Title = Field(description="What people call them; once in a project.")
    project: GivenName | None = Field(
        default=None, description="Id, slug or name of the project; none: for all of them."
    )
    description: Description = ""
    metadata: Metadata = Field(default_factory=dict)


class CharacterChange(BaseModel):
    """What is to change of a character; what is left out, or null, stays."""

    model_config = ConfigDict(extra="forbid")

    description: Description | None = None
    metadata: Metadata | None = None


class NewVersion(BaseModel):
    """How a character is drawn from now on. A version is never changed, only followed by one."""

    model_config = ConfigDict(extra="forbid")

    prompt: PromptText = Field(description="What describes them in a prompt.")
    negative_prompt: NegativeText | None = Field(default=None, description="What they never are.")
    loras: list[CatalogueLora] = Field(default_factory=list, max_length=MAX_LORAS)
    seed: Seed | None = Field(default=None, description="A seed that shows them well.")
    notes: Description = ""
    is_canonical: bool | None = Field(
        default=None, description="Whether it is the one that counts; by default the first one is."
    )
    keeps_references: bool = Field(
        default=True, description="Whether it has the pictures of the version before it."
    )
    by: Name = Field(default="api", description="Who says it.")


class CharacterVersionRecord(BaseModel):
    """One version of a character; at most one of each is canonical."""

    id: UUID
    character_id: UUID
    number: int = Field(description="From 1, in the order they were made.")
    prompt: str
    negative_prompt: str | None
    loras: list[CatalogueLora]
    seed: int | None
    notes: str
    is_canonical: bool
    references: list[ReferenceRecord]
    created_at: AwareDatetime
    created_by: str | None
    approved_at: AwareDatetime | None = Field(description="When it last became canonical.")
    approved_by: str | None


class CharacterRecord(BaseModel):
    """A character, with the version that counts."""

    id: UUID
    slug: str
    name: str
    project_id: UUID | None
    description: str
    metadata: dict[str, Any]  # JSON of whoever wrote it
    canonical: CharacterVersionRecord | None
    created_at: AwareDatetime
    updated_at: AwareDatetime

"""Reference pictures of characters, and where they go in a workflow's list of pictures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field, model_validator

from anime.core.targets import PicturePlace
from anime.schemas import GivenName, Name

MAX_REFERENCES = 16  # of one version
MAX_REFERENCE_BYTES = 32 * 2**20


class ReferenceRole(StrEnum):
    """What a reference picture shows of a character."""

    FACE = "face"
    BODY = "body"
    OUTFIT = "outfit"
    STYLE = "style"


_ROLES = frozenset(ReferenceRole)
_Number = Annotated[int, Field(ge=1, le=2**31 - 1)]  # PostgreSQL's integer


class TakeName(BaseModel):
    """Which take of which shot."""

    model_config = ConfigDict(extra="forbid")

    project: GivenName = Field(description="Id, slug or name of the project.")
    shot: GivenName = Field(description="The shot's code.")
    number: _Number = Field(description="The take's number.")


class NewReference(BaseModel):
    """A picture that shows what a character looks like: uploaded, a file's, or a take's."""

    model_config = ConfigDict(extra="forbid")

    role: ReferenceRole = Field(description="face, body, outfit or style.")
    content: Base64Bytes | None = Field(default=None, description="The picture itself, in base64.")
    file_id: _Number | None = Field(default=None, description="A picture of the library.")
    take: TakeName | None = Field(default=None, description="An approved take.")
    by: Name = Field(default="api", description="Who says it.")

    @model_validator(mode="after")
    def _has_one_picture(self) -> Self:
        if sum(each is not None for each in (self.content, self.file_id, self.take)) != 1:
            raise ValueError("has no picture, or several; give content, file_id or take")
        return self


class ReferenceRecord(BaseModel):
    """A reference picture of one version of a character. It never changes."""

    version: int = Field(description="Number of the version that it belongs to.")
    position: int = Field(description="From 1, in the order in which workflows get them.")
    role: ReferenceRole
    sha256: str
    path: str = Field(description="That of its copy, relative to the library.")
    source: str = Field(description="Such as `upload`, `file 1207`, `take 2 of sc1_c010`.")
    created_at: AwareDatetime
    created_by: str


class ReferenceList(BaseModel):
    """The reference pictures of a version."""

    items: list[ReferenceRecord]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference picture. `path` is that of its copy, relative to the library."""

    role: ReferenceRole
    path: str
    sha256: str


def places_for(
    characters: Sequence[tuple[str, Sequence[Reference]]], places: Sequence[PicturePlace]
) -> list[tuple[str, Reference]]:
    """The pictures for the places, in their order, each with its character's slug.

    A place whose role is one of references takes one of that role; any other takes any. The
    characters take turns, so that each is seen before one is seen twice. A list of pictures has no
    gaps: it ends at the first place that no picture is left for.
    """
    placed: list[tuple[str, Reference]] = []
    count: Counter[str] = Counter()
    left = {slug: list(references) for slug, references in characters}
    for place in places:
        role = place.role.strip().casefold()
        fitting = {
            slug: found
            for slug, references in left.items()
            if (found := _first(references, role if role in _ROLES else None)) is not None
        }
        if not fitting:
            break
        slug = min(fitting, key=lambda each: count[each])
        count[slug] += 1
        left[slug].remove(fitting[slug])
        placed.append((slug, fitting[slug]))
    return placed


def _first(references: Sequence[Reference], role: str | None) -> Reference | None:
    return next((each for each in references if role is None or each.role == role), None)

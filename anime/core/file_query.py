"""What is asked of a search, and the shape of its answer."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal, NamedTuple
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from anime.schemas import FileRecord, GivenName, MediaKind, Seed, Storable

StateWord = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,31}$")]
ReviewWord = Literal["approved", "rejected", "picked"]
SearchText = Annotated[str, Field(min_length=1, max_length=500), Storable]


class FileQuery(BaseModel):
    """Which files are wanted. What is left out does not matter; the rest must all hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: GivenName | None = Field(default=None, description="Name or slug of the project.")
    character: GivenName | None = Field(default=None, description="Character, in any case.")
    job_id: UUID | None = Field(default=None, description="Job that made them.")
    kind: MediaKind | None = Field(default=None, description="image, video or audio.")
    since: AwareDatetime | None = Field(default=None, description="Made at this moment or later.")
    until: AwareDatetime | None = Field(default=None, description="Made before this moment.")
    text: SearchText | None = Field(
        default=None, description="Words that all stand in the texts; `word*` is a beginning."
    )
    seed: Seed | None = Field(default=None, description="Seed of the generation.")
    model: GivenName | None = Field(default=None, description="Model in any spelling, or its hash.")
    state: StateWord | None = Field(default=None, description="Such as present or missing.")
    shot: GivenName | None = Field(default=None, description="Code of the shot they are takes of.")
    review: ReviewWord | None = Field(
        default=None, description="What was said of them as takes: approved, rejected or picked."
    )


class FilePage(BaseModel):
    """Some files, newest first, and where the next page begins."""

    files: list[FileRecord]
    next_cursor: str | None = Field(
        default=None, description="Give it back as `cursor` for the next page; None at the end."
    )


class Position(NamedTuple):
    """A position in the order of files: newest first, and by id among those of one moment."""

    created_at: datetime
    file_id: int


def phrases_of(text: str) -> Iterator[tuple[str, bool]]:
    """Each word asked for, and whether only its beginning is meant.

    >>> list(phrases_of("neon  roof*"))
    [('neon', False), ('roof', True)]
    """
    for word in text.split():
        if beginning := word.rstrip("*"):
            yield beginning, beginning != word

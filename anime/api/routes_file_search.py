"""Finding files by what they show, whose they are and how they were made."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from anime.api.state import StudioDependency
from anime.core.dates import begin_of, end_of
from anime.db.repositories import FilePage, FileQuery, FileSearch
from anime.db.repositories.file_query import SearchText, StateWord
from anime.schemas import MediaKind, Name, Seed

router = APIRouter(tags=["files"])

_ZONE = "a day in the studio's time zone such as 2026-04-12, or a moment"


class FileSearchParameters(BaseModel):
    """What a search may ask for; all that is given must hold."""

    model_config = ConfigDict(extra="forbid")

    project: Name | None = Field(default=None, description="Name or slug of the project.")
    character: Name | None = Field(default=None, description="Character, in any case.")
    job: UUID | None = Field(default=None, description="Job that made them.")
    kind: MediaKind | None = Field(default=None, description="What they are.")
    since: str | None = Field(default=None, description=f"Made then or later: {_ZONE}.")
    until: str | None = Field(default=None, description=f"Made by its end, or before: {_ZONE}.")
    text: SearchText | None = Field(
        default=None, description="Words that all stand in the prompt; `word*` is its beginning."
    )
    seed: Seed | None = Field(default=None, description="Seed of the generation.")
    model: Name | None = Field(default=None, description="Checkpoint, in any case.")
    state: StateWord | None = Field(default=None, description="Such as present or missing.")
    limit: int = Field(default=50, ge=1, le=1000, description="How many files at most.")
    cursor: str | None = Field(
        default=None, max_length=100, description="`next_cursor` of the page before."
    )


@router.get("/files")
async def find_files(
    asked: Annotated[FileSearchParameters, Query()], studio: StudioDependency
) -> FilePage:
    """The files that fit, newest first, a page at a time."""
    zone = studio.settings.zone
    query = FileQuery(
        **asked.model_dump(include={"project", "character", "kind", "text", "model", "state"}),
        job_id=asked.job,
        seed=asked.seed,
        since=begin_of(asked.since, zone) if asked.since else None,
        until=end_of(asked.until, zone) if asked.until else None,
    )
    async with studio.database.session_scope() as session:
        return await FileSearch(session).page(query, limit=asked.limit, cursor=asked.cursor)

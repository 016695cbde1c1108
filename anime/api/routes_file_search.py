"""Finding files by what they show, whose they are and how they were made."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from anime.api.app_state import StateDependency
from anime.api.paging import Page, Paging
from anime.core.dates import begin_of, end_of
from anime.db.repositories import FileQuery, FileSearch
from anime.db.repositories.file_query import SearchText, StateWord
from anime.schemas import FileRecord, GivenName, MediaKind, Seed

router = APIRouter(tags=["files"])

_ZONE = "a day in the studio's time zone such as 2026-04-12, or a moment"


class FileSearchParameters(Paging):
    """What a search may ask for; all that is given must hold."""

    project: GivenName | None = Field(default=None, description="Name or slug of the project.")
    character: GivenName | None = Field(default=None, description="Character, in any case.")
    job: UUID | None = Field(default=None, description="Job that made them.")
    kind: MediaKind | None = Field(default=None, description="What they are.")
    since: str | None = Field(default=None, description=f"Made then or later: {_ZONE}.")
    until: str | None = Field(default=None, description=f"Made by its end, or before: {_ZONE}.")
    text: SearchText | None = Field(
        default=None, description="Words that all stand in the prompt; `word*` is its beginning."
    )
    seed: Seed | None = Field(default=None, description="Seed of the generation.")
    model: GivenName | None = Field(default=None, description="Checkpoint, in any case.")
    state: StateWord | None = Field(default=None, description="Such as present or missing.")


@router.get("/files")
async def find_files(
    asked: Annotated[FileSearchParameters, Query()], state: StateDependency
) -> Page[FileRecord]:
    """The files that fit, newest first, a page at a time."""
    zone = state.settings.zone
    query = FileQuery(
        **asked.model_dump(include={"project", "character", "kind", "text", "model", "state"}),
        job_id=asked.job,
        seed=asked.seed,
        since=begin_of(asked.since, zone) if asked.since else None,
        until=end_of(asked.until, zone) if asked.until else None,
    )
    async with state.database.session_scope() as session:
        found = await FileSearch(session).page(query, limit=asked.limit, cursor=asked.cursor)
    return Page(items=found.files, next_cursor=found.next_cursor)

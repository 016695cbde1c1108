"""Searching files by what they show, whose they are and how they were made."""

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

_DATE = "a day in the studio's time zone such as 2026-04-12, or a moment"


class FileSearchParameters(Paging):
    """Filters of a search; a file must match all that are given."""

    project: GivenName | None = Field(default=None, description="Name or slug of the project.")
    character: GivenName | None = Field(default=None, description="Character, in any case.")
    job: UUID | None = Field(default=None, description="Job that made the files.")
    kind: MediaKind | None = Field(default=None, description="Image, video or audio.")
    since: str | None = Field(default=None, description=f"Made then or later: {_DATE}.")
    until: str | None = Field(default=None, description=f"Made before its end: {_DATE}.")
    text: SearchText | None = Field(
        default=None, description="Words that the prompt has; `word*` is the beginning of one."
    )
    seed: Seed | None = Field(default=None, description="Seed of the generation.")
    model: GivenName | None = Field(default=None, description="Model in any spelling, or its hash.")
    state: StateWord | None = Field(
        default=None, description="State of the file, such as present or missing."
    )


@router.get("/files")
async def find_files(
    parameters: Annotated[FileSearchParameters, Query()], state: StateDependency
) -> Page[FileRecord]:
    """A page of the files that match, newest first."""
    zone = state.settings.zone
    query = FileQuery(
        **parameters.model_dump(include={"project", "character", "kind", "text", "model", "state"}),
        job_id=parameters.job,
        seed=parameters.seed,
        since=begin_of(parameters.since, zone) if parameters.since else None,
        until=end_of(parameters.until, zone) if parameters.until else None,
    )
    async with state.database.session_scope() as session:
        found = await FileSearch(session).page(
            query, limit=parameters.limit, cursor=parameters.cursor
        )
    return Page(items=found.files, next_cursor=found.next_cursor)

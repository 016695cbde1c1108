"""Searching files by what they show, whose they are and how they were made."""

from datetime import tzinfo
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field

from anime.api.app_state import StateDependency
from anime.api.error_documentation import problems
from anime.api.paging import Page, Paging
from anime.core.dates import begin_of, end_of
from anime.core.file_query import ReviewWord, SearchText, StateWord
from anime.core.months import MonthName, MonthOfFiles, month_span
from anime.db.repositories import FileQuery, FileSearch
from anime.db.repositories.tiles import TILES_OF_PAGE, TileRepository, Tiles
from anime.schemas import FileRecord, GivenName, MediaKind, Seed

router = APIRouter(tags=["files"])

_SEARCHED = {"project", "character", "kind", "text", "seed", "model", "state", "shot", "review"}
_DATE = "a day in the studio's time zone such as 2026-04-12, or a moment"


class MonthList(BaseModel):
    """The months of the library."""

    items: list[MonthOfFiles]
    tiles_of_page: int = Field(description="Files in each page of a month but its last one.")


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
    shot: GivenName | None = Field(default=None, description="Code of the shot they are takes of.")
    review: ReviewWord | None = Field(
        default=None, description="What was said of them as takes: approved, rejected or picked."
    )

    def query(self, zone: tzinfo) -> FileQuery:
        """The search; days are those of the zone."""
        return FileQuery(
            **self.model_dump(include=_SEARCHED),
            job_id=self.job,
            since=begin_of(self.since, zone) if self.since else None,
            until=end_of(self.until, zone) if self.until else None,
        )


class TileSearchParameters(FileSearchParameters):
    """Filters of a search for tiles, and where in it to begin."""

    month: MonthName | None = Field(
        default=None, description="Begin with this month; what is newer is passed over."
    )

    def query(self, zone: tzinfo) -> FileQuery:
        """The search from its month on."""
        query = super().query(zone)
        if self.month is None:
            return query
        end = month_span(self.month, zone).end
        return query.model_copy(update={"until": min(query.until or end, end)})


@router.get("/files")
async def find_files(
    parameters: Annotated[FileSearchParameters, Query()], state: StateDependency
) -> Page[FileRecord]:
    """A page of the files that match, newest first."""
    query = parameters.query(state.settings.zone)
    async with state.database.session_scope() as session:
        found = await FileSearch(session).page(
            query, limit=parameters.limit, cursor=parameters.cursor
        )
    return Page(items=found.files, next_cursor=found.next_cursor)


@router.get("/files/tiles")
async def find_tiles(
    parameters: Annotated[TileSearchParameters, Query()], state: StateDependency
) -> Tiles:
    """A page of the files that match, newest first, in few bytes: for a page that lays them out."""
    query = parameters.query(state.settings.zone)
    async with state.database.session_scope() as session:
        return await TileRepository(session).found(
            query, limit=parameters.limit, cursor=parameters.cursor
        )


@router.get("/files/months")
async def months(state: StateDependency) -> MonthList:
    """The months that have files, newest first, and how many each has."""
    async with state.database.autocommit() as session:
        found = await TileRepository(session).months(state.settings.zone)
    return MonthList(items=found, tiles_of_page=TILES_OF_PAGE)


@router.get("/files/months/{month}", responses=problems(404))
async def tiles_of_month(
    month: MonthName,
    state: StateDependency,
    page: Annotated[int, Query(ge=0, lt=1_000_000, description="From the month's beginning.")] = 0,
) -> Tiles:
    """A page of a month's files, newest first. As files come in, only the last page changes."""
    async with state.database.session_scope() as session:
        return await TileRepository(session).of_month(month, page, state.settings.zone)


@router.get("/files/{file_id}/siblings", responses=problems(404))
async def siblings(
    file_id: Annotated[int, PathParameter(ge=1, le=2**31 - 1)], state: StateDependency
) -> Tiles:
    """The files of the same batch, or of the same job, newest first; at most a page."""
    async with state.database.autocommit() as session:
        return await TileRepository(session).siblings(file_id)

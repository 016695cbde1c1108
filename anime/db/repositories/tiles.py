"""Files as a page lays them out: in few bytes, by month, or as a search finds them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta, tzinfo
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.file_query import FileQuery
from anime.core.months import MonthOfFiles, Span, cut_days, month_span, months_of
from anime.db.models import AnimeFile, ProductionJob, SearchableFile
from anime.db.repositories.bulk import is_among
from anime.db.repositories.file_search import FileSearch
from anime.db.repositories.files import FileRepository
from anime.db.repositories.metrics import MetricsRepository

TILES_OF_PAGE = 200
_BATCH_SPAN = timedelta(hours=1)  # a batch inserts all its jobs when it begins
_COLUMNS = (
    *(AnimeFile.id, AnimeFile.width, AnimeFile.height, AnimeFile.file_type, AnimeFile.state),
    *(AnimeFile.colours, AnimeFile.created_at),
)
# A page far into a month is counted along the index of time, not sorted.
_ALONG_THE_INDEX = text(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true),"
    " set_config('enable_sort', 'off', true), set_config('jit', 'off', true)"
)


class Tiles(BaseModel):
    """Some files, newest first: a list for each thing that is known of them, all equally long."""

    ids: list[int]
    moments: list[int] = Field(description="When each was made, in seconds since the UTC epoch.")
    widths: list[int] = Field(description="In pixels; 0 if it has none or it is not known.")
    heights: list[int] = Field(description="In pixels; 0 if it has none or it is not known.")
    kinds: list[str] = Field(description="Such as image, video or audio.")
    states: list[str] = Field(description="Such as present or missing.")
    colours: list[str] = Field(
        description="The picture's ThumbHash in base64; of older rows 4 × 4 colours, of 16 bits "
        "each, row by row; empty until its thumbnail was asked for."
    )
    next_cursor: str | None = Field(
        default=None, description="Of a search: send it as `cursor` for the next page."
    )


class TileRepository:
    """The tiles in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def months(self, zone: tzinfo) -> list[MonthOfFiles]:
        """The months that have files, the newest first; counters tell, so that it takes no time."""
        by_day = await MetricsRepository(self._session).files_by_day()
        spans = {span: await self._count(span) for span in cut_days(by_day, zone)}
        return months_of(by_day, spans, zone)

    async def of_month(self, month: str, page: int, zone: tzinfo) -> Tiles:
        """A page of the month. Pages count from 0 at its beginning: only the last one changes.

        Raises:
            InvalidRequest: there is no such month.
        """
        begin, end = month_span(month, zone)
        await self._session.execute(_ALONG_THE_INDEX)
        places = (
            select(SearchableFile.file_id)
            .where(SearchableFile.created_at >= begin, SearchableFile.created_at < end)
            .order_by(SearchableFile.created_at, SearchableFile.file_id)
            .offset(page * TILES_OF_PAGE)
            .limit(TILES_OF_PAGE)
        )
        ids = list(await self._session.scalars(places))
        return await self._tiles(ids[::-1])

    async def found(self, query: FileQuery, *, limit: int, cursor: str | None) -> Tiles:
        """A page of a search. Raises as `FileSearch.page`."""
        positions, next_cursor = await FileSearch(self._session).positions(
            query, limit=limit, cursor=cursor
        )
        tiles = await self._tiles([position.file_id for position in positions])
        return tiles.model_copy(update={"next_cursor": next_cursor})

    async def siblings(self, file_id: int) -> Tiles:
        """The files of the same batch, the newest first; of a job alone, those of the job.

        Raises:
            NotFound: there is no such file.
        """
        job = await FileRepository(self._session).job_of(file_id)
        if job is None:
            return await self._tiles([file_id])
        wanted = ProductionJob.id == job.id
        if job.flow_run_id is not None:  # as of a job that was rebuilt from its files
            made_together = ProductionJob.created_at.between(
                job.created_at - _BATCH_SPAN, job.created_at + _BATCH_SPAN
            )
            wanted |= (ProductionJob.flow_run_id == job.flow_run_id) & made_together
        jobs = select(ProductionJob.id).where(wanted)
        ids = await self._session.scalars(
            select(AnimeFile.id)
            .where(AnimeFile.job_id.in_(jobs))
            .order_by(AnimeFile.id.desc())
            .limit(TILES_OF_PAGE)
        )
        return await self._tiles(list(ids))

    async def add_colours(self, colours: Mapping[int, str]) -> None:
        """Keep the colours of files that have none."""
        await self._session.execute(
            update(AnimeFile), [{"id": each, "colours": text} for each, text in colours.items()]
        )

    async def _count(self, span: Span) -> int:
        statement = (
            select(func.count())
            .select_from(SearchableFile)
            .where(SearchableFile.created_at >= span.begin, SearchableFile.created_at < span.end)
        )
        return int(await self._session.scalar(statement) or 0)

    async def _tiles(self, ids: Sequence[int]) -> Tiles:
        rows = await self._session.execute(select(*_COLUMNS).where(is_among(AnimeFile.id, ids)))
        by_id = {row.id: row for row in rows}
        return tiles_of([by_id[each] for each in ids if each in by_id])


def tiles_of(rows: Sequence[Any]) -> Tiles:  # rows of _COLUMNS
    """The rows, column by column."""
    return Tiles(
        ids=[row.id for row in rows],
        moments=[int(row.created_at.timestamp()) for row in rows],
        widths=[row.width or 0 for row in rows],
        heights=[row.height or 0 for row in rows],
        kinds=[row.file_type or "" for row in rows],
        states=[row.state for row in rows],
        colours=[row.colours or "" for row in rows],
    )

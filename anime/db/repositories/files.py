"""The files of the library."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, func, inspect, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.assets import AssetRow, KnownAsset
from anime.db.models import AnimeFile, ProductionJob
from anime.db.repositories.bulk import is_among
from anime.errors import NotFound
from anime.schemas import FileRecord

# What a repeat leaves as it was: the row's identity, its age, and where it went since.
_KEPT_ON_REPEAT = frozenset({"id", "job_id", "source_path", "created_at", "state"})


_COLUMNS = tuple(field.name for field in fields(AssetRow))
_NAMES = {each.key: each.columns[0].name for each in inspect(AnimeFile).column_attrs}

# Put together once, and without the ORM: that takes longer than what it does.
_FILES = cast("Table", AnimeFile.__table__)
_NEW = insert(_FILES)
_UPSERT = _NEW.on_conflict_do_update(
    index_elements=[_FILES.c.job_id, _FILES.c.source_path],
    index_where=_FILES.c.source_path.is_not(None),
    set_={each.name: each for each in _NEW.excluded if each.name not in _KEPT_ON_REPEAT},
).returning(*(_FILES.c[name].label(attribute) for attribute, name in _NAMES.items()))


# Without the metadata, which may have many kilobytes; SQLAlchemy 2.0 and 2.1 type it differently.
KNOWN_ASSETS: Any = select(
    *(AnimeFile.id, AnimeFile.file_path, AnimeFile.source_path, AnimeFile.job_id),
    *(AnimeFile.file_size, AnimeFile.sha256, AnimeFile.state, AnimeFile.organized_at),
)


def known_asset(row: Any) -> KnownAsset:  # a row of KNOWN_ASSETS
    """What the row says of where the file lies and what is in it."""
    return KnownAsset(
        id=row.id,
        path=row.file_path or "",
        source_path=row.source_path,
        job_id=row.job_id,
        size_bytes=row.file_size,
        sha256=row.sha256,
        state=row.state,
        organized_at=row.organized_at,
    )


class FilePlace(NamedTuple):
    """Where a file lies, and what is in it; `file_path` is empty if no row says."""

    id: int
    filename: str
    file_path: str
    file_size: int
    sha256: str | None
    colours: str | None
    created_at: datetime


_PLACES = select(
    _FILES.c.id,
    func.coalesce(_FILES.c.filename, ""),
    func.coalesce(_FILES.c.file_path, ""),
    func.coalesce(_FILES.c.file_size, 0),
    _FILES.c.sha256,
    _FILES.c.colours,
    _FILES.c.created_at,
)
# Put together once: a page asks for hundreds a second.
_PLACE = _PLACES.where(_FILES.c.id == bindparam("file_id"))


class FileRepository:
    """The files in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def record(self, files: Sequence[AssetRow]) -> list[FileRecord]:
        """The files' rows, in the order they were first written in.

        Doing it twice is harmless: a file of the same job and source keeps its row and id,
        and the row says what the later call said.
        """
        if not files:
            return []
        now = datetime.now(UTC)
        rows = await self._session.execute(
            _UPSERT, [_by_column(row_of(file, now)) for file in _latest(files)]
        )
        return sorted((record_of(row) for row in rows), key=lambda record: record.id)

    async def get(self, file_id: int) -> FileRecord:
        """That file.

        Raises:
            NotFound: there is none with that id.
        """
        return record_of(await self._row(file_id))

    async def place(self, file_id: int) -> FilePlace:
        """Where that file lies; its metadata may have many kilobytes. Raises as `get`."""
        found = (await self._session.execute(_PLACE, {"file_id": file_id})).first()
        if found is None:
            raise _no_such_file(file_id)
        return FilePlace(*found)

    async def places(self, file_ids: Collection[int]) -> dict[int, FilePlace]:
        """Where those of them lie that have a row, by id."""
        rows = await self._session.execute(_PLACES.where(is_among(AnimeFile.id, file_ids)))
        return {row[0]: FilePlace(*row) for row in rows}

    async def some(self, file_ids: Collection[int]) -> dict[int, FileRecord]:
        """Those of them that there are, by id."""
        found = await self._all(select(AnimeFile).where(is_among(AnimeFile.id, file_ids)))
        return {file.id: file for file in found}

    async def job_of(self, file_id: int) -> ProductionJob | None:
        """The job that made that file, if it has a row. Raises as `get`."""
        job_id = (await self._row(file_id)).job_id
        return await self._session.get(ProductionJob, job_id) if job_id else None

    async def of_job(self, job_id: UUID) -> list[FileRecord]:
        """The files of that job, in the order in which they were recorded."""
        return (await self.of_jobs([job_id])).get(job_id, [])

    async def of_jobs(self, job_ids: Collection[UUID]) -> dict[UUID, list[FileRecord]]:
        """The files of each of those jobs that has made any, in the order they were recorded."""
        files = await self._all(
            select(AnimeFile).where(AnimeFile.job_id.in_(job_ids)).order_by(AnimeFile.id)
        )
        made: dict[UUID, list[FileRecord]] = {}
        for file in files:
            if file.job_id is not None:
                made.setdefault(file.job_id, []).append(file)
        return made

    async def _row(self, file_id: int) -> AnimeFile:
        row = await self._session.get(AnimeFile, file_id)
        if row is None:
            raise _no_such_file(file_id)
        return row

    async def _all(
        self,
        statement: Select[Any],  # of AnimeFile; SQLAlchemy 2.0 and 2.1 type it differently
    ) -> list[FileRecord]:
        rows = await self._session.scalars(statement)
        return [record_of(row) for row in rows]


def _no_such_file(file_id: int) -> NotFound:
    return NotFound(f"There is no file {file_id}.", "`anime files` lists the newest.")


def _latest(files: Sequence[AssetRow]) -> Iterable[AssetRow]:
    """The files, without earlier mentions of the same one: an upsert may meet a row once."""
    identities = (
        (file.job_id, file.source_path) if file.job_id and file.source_path else number
        for number, file in enumerate(files)
    )
    return dict(zip(identities, files, strict=True)).values()


def row_of(file: AssetRow, now: datetime) -> dict[str, Any]:  # values of any column
    """The file's values by attribute of AnimeFile; it was made and came in now, if none says."""
    values: dict[str, Any] = {name: getattr(file, name) for name in _COLUMNS}
    values["details"] = values.pop("metadata")
    values["created_at"] = file.created_at or now
    values["organized_at"] = file.organized_at or now
    return values


def _by_column(values: dict[str, Any]) -> dict[str, Any]:  # as row_of gives them
    return {_NAMES[attribute]: value for attribute, value in values.items()}


def record_of(row: Any) -> FileRecord:  # an AnimeFile, or a row of its columns
    """The row; what an older program left empty is empty text, 0 or nothing."""
    details = row.details if row.details is not None else {}
    return FileRecord(
        id=row.id,
        filename=row.filename or "",
        file_type=row.file_type or "",
        file_path=row.file_path or "",
        file_size=row.file_size or 0,
        job_id=row.job_id,
        project_id=row.project_id,
        width=row.width,
        height=row.height,
        sha256=row.sha256,
        state=row.state,
        created_at=row.created_at,
        organized_at=row.organized_at,
        metadata=details if isinstance(details, dict) else {"value": details},
    )

"""What sweeps have seen, what they need to know, and what they record, many rows at a time."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import and_, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.assets import AssetRow, KnownAsset
from anime.core.job_status import JobStatus
from anime.core.ownership import KnownJob, KnownProject
from anime.core.sweep_plan import ImportOutcome, ScannedFile, folder_key
from anime.db.models import FINAL, AnimeFile, ProductionJob, Project
from anime.db.repositories.bulk import is_among
from anime.db.repositories.files import KNOWN_ASSETS, known_asset
from anime.db.repositories.leases import NOW, is_free
from anime.db.repositories.sweep_sql import (
    BY_INDEX,
    COPY_ROWS,
    INSERT_FILES,
    INSERT_SWEPT,
    PRUNE_FOLDERS,
    PRUNE_LINES,
    REMEMBER_FOLDERS,
    ROWS_TABLE,
    ROWS_UNPACKED,
    SOME_LINES,
    SOURCES_OF,
    UNKNOWN_AMONG,
)

# A job that no run holds and nobody has touched for so long has crashed for good: what it left
# behind is organised. Until then its next run looks for its files itself.
_ABANDONED = timedelta(hours=1)

SourceLine = tuple[bytes, bytes, int, int]  # key of the folder, name, size, mtime in nanoseconds


@dataclass(frozen=True, slots=True)
class RememberedSource:
    """A line of a source. `path` is its folder's, None where only the folder's key is known."""

    folder: bytes  # key
    name: bytes
    was_kept: bool
    path: bytes | None


@dataclass(frozen=True, slots=True)
class SweptLine:
    """What was done with one file: to be remembered, with its new row if it has one."""

    sighting: ScannedFile
    outcome: ImportOutcome
    source_kept: bool = True
    file_id: int | None = None
    row: AssetRow | None = None
    where: str | None = None  # path of the row that is to be its file's, if that has no id yet


class SweepRepository:
    """A sweep's view of the database, in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def unknown_among(self, files: Sequence[SourceLine]) -> list[int]:
        """Places, from 0 and in order, of those that are not remembered as they are."""
        folders, names, sizes, times = zip(*files, strict=True) if files else ((), (), (), ())
        columns = (_octets(folders), _octets(names), _words(sizes), _words(times))
        rows = await self._run(UNKNOWN_AMONG, *columns)
        return [number - 1 for (number,) in rows]

    async def some_sources(self, number: int) -> list[RememberedSource]:
        """About so many of those that are remembered, taken by chance."""
        return [RememberedSource(*row) for row in await self._run(SOME_LINES, number, number)]

    async def sources_of(self, file_ids: Sequence[int]) -> dict[int, list[Path]]:
        """Where sweeps have seen the content of each file."""
        found: dict[int, list[Path]] = defaultdict(list)
        for file_id, folder, name in await self._run(SOURCES_OF, list(file_ids)):
            found[file_id].append(Path(os.fsdecode(folder), os.fsdecode(name)))
        return found

    async def remember_folders(self, paths: Mapping[bytes, bytes]) -> None:
        """Record where folders are, by key. Twice is harmless."""
        await self._run(REMEMBER_FOLDERS, list(paths), list(paths.values()))

    async def prune(self, sources: Sequence[RememberedSource]) -> None:
        """Remove the lines of those sources, and folders of which no line is left."""
        folders = [source.folder for source in sources]
        await self._run(PRUNE_LINES, folders, [source.name for source in sources])
        await self._run(PRUNE_FOLDERS, sorted(set(folders)))

    async def _run(
        self, statement: bytes, *values: object
    ) -> list[tuple[Any, ...]]:  # of any shape
        """The statement's rows, by way of the driver: arrays of thousands, in their binary form."""
        connection = await self._driver()
        async with connection.cursor(binary=True) as cursor:
            try:
                await cursor.execute(statement, values)
                return await cursor.fetchall() if cursor.description else []
            except psycopg.Error as fault:
                raise _as_sqlalchemy(fault) from fault

    async def projects(self) -> list[KnownProject]:
        """All projects."""
        rows = await self._session.execute(select(Project.id, Project.slug, Project.name))
        return [KnownProject(row.id, row.slug, row.name) for row in rows]

    async def jobs(self, job_ids: Collection[UUID]) -> list[KnownJob]:
        """Those of the jobs that have a row."""
        if not job_ids:
            return []
        is_live = ~is_free() | and_(
            ProductionJob.status.not_in(FINAL),
            ProductionJob.updated_at > NOW - _ABANDONED,
        )
        # Older programs recorded less, and had no leases.
        has_all = and_(ProductionJob.status == JobStatus.COMPLETED, ProductionJob.fence > 0)
        rows = await self._session.execute(
            select(ProductionJob.id, is_live.label("is_live"), has_all.label("has_all"), Project)
            .outerjoin(Project, Project.id == ProductionJob.project_id)
            .where(is_among(ProductionJob.id, job_ids))
        )
        return [
            KnownJob(
                row.id,
                KnownProject(row.Project.id, row.Project.slug, row.Project.name)
                if row.Project
                else None,
                row.is_live,
                row.has_all,
            )
            for row in rows
        ]

    async def recorded(self, job_ids: Collection[UUID]) -> dict[tuple[UUID, str], KnownAsset]:
        """The recorded files of those jobs, by job and source."""
        if not job_ids:
            return {}
        await self._session.execute(text(BY_INDEX))
        rows = await self._session.execute(
            KNOWN_ASSETS.where(
                is_among(AnimeFile.job_id, job_ids), AnimeFile.source_path.is_not(None)
            )
        )
        return {(row.job_id, row.source_path): known_asset(row) for row in rows}

    async def kept(self, sha256s: Collection[str]) -> dict[str, list[KnownAsset]]:
        """The files with those contents, by content, the oldest first."""
        if not sha256s:
            return {}
        await self._session.execute(text(BY_INDEX))
        rows = await self._session.execute(KNOWN_ASSETS.where(is_among(AnimeFile.sha256, sha256s)))
        found: dict[str, list[KnownAsset]] = defaultdict(list)
        # Sorted here: asked to, the planner may read the whole table in the order of its ids.
        for row in sorted(rows, key=lambda row: row.id):
            found[row.sha256].append(known_asset(row))
        return found

    async def write(self, lines: Sequence[SweptLine]) -> dict[str, int]:
        """Ids of the rows, by path, of the new files among the lines; all lines are remembered.

        Twice is harmless: a file's row is found again by job and source, or by source and
        content. A line whose row another program holds with other content is left out, so that
        the next sweep looks at it again.
        """
        ids = await self._insert([line for line in lines if line.row is not None])
        numbered = [(line, line.file_id or ids.get(line.where or "")) for line in lines]
        await self._remember([each for each in numbered if each[0].where is None or each[1]])
        folders = {line.sighting.folder for line in lines}
        await self.remember_folders({folder_key(each): each for each in folders})
        return ids

    async def _remember(self, numbered: Sequence[tuple[SweptLine, int | None]]) -> None:
        """Record the lines, each with the id of its file's row."""
        lines = [line for line, _ in numbered]
        files = [line.sighting for line in lines]
        await self._run(
            INSERT_SWEPT,
            _octets(folder_key(each.folder) for each in files),
            _octets(each.name for each in files),
            _words(each.size_bytes for each in files),
            _words(each.mtime_ns for each in files),
            _words(line.outcome.value for line in lines),
            _words(line.source_kept for line in lines),
            _words(file_id or "NULL" for _, file_id in numbered),
        )

    async def _insert(self, lines: Sequence[SweptLine]) -> dict[str, int]:
        """Ids of the rows, by path. A line that its row's identity denies it has none."""
        if not lines:
            return {}
        jobs = {line.row.job_id for line in lines if line.row and line.row.job_id}
        recorded = await self.recorded(jobs)
        await self._session.execute(text(ROWS_TABLE))
        await self._session.execute(text(ROWS_UNPACKED))
        await self._copy(COPY_ROWS, (_values(line, recorded) for line in lines))
        ids: dict[str, int] = {}
        for statement in INSERT_FILES:
            rows = await self._session.execute(text(statement))
            ids |= {row.file_path: row.id for row in rows}
        return ids

    async def _copy(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        connection = await self._driver()
        try:
            async with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                for row in rows:
                    await copy.write_row(row)
        except psycopg.Error as fault:
            raise _as_sqlalchemy(fault) from fault

    async def _driver(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:  # rows of any shape
        """The driver's own connection, in this transaction: for what SQLAlchemy has no word for."""
        raw = await (await self._session.connection()).get_raw_connection()
        connection = raw.driver_connection
        assert isinstance(connection, psycopg.AsyncConnection)  # noqa: S101  of the URL's driver
        return connection


def _octets(values: Iterable[bytes]) -> str:
    """An array of `bytea` as text: the driver's own form takes ten times as long to make."""
    return "{" + ",".join([rf"\\x{value.hex()}" for value in values]) + "}"


def _words(values: Iterable[int | str]) -> str:
    """An array of numbers, truth values or plain words as text."""
    return "{" + ",".join(map(str, values)) + "}"


def _as_sqlalchemy(fault: psycopg.Error) -> DBAPIError:
    """The same fault as SQLAlchemy reports it, so that the session explains it."""
    explained = DBAPIError.instance(None, None, fault, psycopg.Error)
    assert isinstance(explained, DBAPIError)  # noqa: S101  by the fault's class
    return explained


def _values(line: SweptLine, recorded: Mapping[tuple[UUID, str], KnownAsset]) -> tuple[object, ...]:
    """The columns of COPY_ROWS.

    A job's counter can begin anew once its files were moved away: the same name, another
    picture. Such a one is set apart by its content.
    """
    row = line.row
    assert row is not None  # noqa: S101  the caller has chosen
    before = recorded.get((row.job_id, row.source_path or "")) if row.job_id else None
    apart = before is not None and before.sha256 != row.sha256
    source_path = f"{row.source_path}#{(row.sha256 or '')[:12]}" if apart else row.source_path
    return (
        *(row.filename, row.file_path, row.file_type, row.media_type, source_path),
        *(row.created_at, row.project_id, row.job_id, row.width, row.height, row.frames),
        *(row.metadata, row.file_size, row.sha256),
    )

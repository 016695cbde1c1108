"""Rows made anew from what the library's files carry. Nothing that is there is changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from anime.assets.inventory.inspection_pool import (
    InspectedFile,
    InspectionPool,
    UnusableLibraryFile,
)
from anime.assets.inventory.row_builder import rows_of_file
from anime.assets.inventory.walk import LibraryFile, files_of
from anime.core.paths import thumbnail_path
from anime.db.advisory_lock import SWEEP, advisory_lock
from anime.db.repositories import FileRow, InventoryRepository, Recovered
from anime.db.session import Database
from anime.errors import StorageError

BATCH_FILES = 256  # as many rows go into one transaction
MAX_LISTED = 1000  # of each kind in a report: memory must not grow with the library
Progress = Callable[[int], None]  # told how many files were looked at


@dataclass
class RebuildReport:
    """What a rebuild has found and written, or would have."""

    is_dry_run: bool = False
    files_seen: int = 0
    files_known: int = 0
    files_added: int = 0
    files_relinked: int = 0
    jobs_added: int = 0
    projects_added: int = 0
    files_unfit: int = 0
    unfit: dict[str, str] = field(default_factory=dict)  # why, by path; not all of many

    def leave_out(self, unfit: UnusableLibraryFile) -> None:
        """Count a file that gets no row."""
        self.files_unfit += 1
        if len(self.unfit) < MAX_LISTED:
            self.unfit[str(unfit.file.path)] = unfit.why


async def rebuild(
    database: Database,
    library: Path,
    *,
    zone: tzinfo,
    is_dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> RebuildReport:
    """Rows for all files of the library that have none, with their jobs and projects.

    Doing it twice is harmless: what has a row is not even opened.

    Raises:
        StorageError: the library is not there, or a sweep is at it.
        DatabaseUnavailable: PostgreSQL went away; what was written stays.
    """
    report = RebuildReport(is_dry_run)
    # A sweep's files are in their place before they have rows: those are not ours to write.
    async with advisory_lock(database.address, SWEEP) as turn, InspectionPool(library) as pool:
        if turn is None:
            raise _busy()
        rebuilder = _Rebuilder(database, library, zone, report)
        async for files in files_of(library, at_a_time=BATCH_FILES):
            new = await rebuilder.without_row(files)
            inspected = await pool.inspect_library_file(new)
            await turn.confirm()
            await rebuilder.write(inspected)
            progress(report.files_seen)
    return report


def _busy() -> StorageError:
    return StorageError(
        "A sweep or another rebuild is at the library just now.", "Try again when it is done."
    )


@dataclass
class _Rebuilder:
    """Brings batches into the database and counts them."""

    database: Database
    library: Path
    zone: tzinfo
    report: RebuildReport

    async def without_row(self, files: Sequence[LibraryFile]) -> list[LibraryFile]:
        """The files that have no row under their path."""
        async with self.database.session_scope() as session:
            recorded = await InventoryRepository(session).recorded([str(f.path) for f in files])
        self.report.files_seen += len(files)
        self.report.files_known += len(recorded)
        return [file for file in files if str(file.path) not in recorded]

    async def write(self, inspected: Sequence[InspectedFile | UnusableLibraryFile]) -> None:
        """The rows of a batch, in one transaction."""
        found = []
        for file in inspected:
            if isinstance(file, UnusableLibraryFile):
                self.report.leave_out(file)
            else:
                found.append(self._rows(file))
        if not found:
            return
        async with self.database.session_scope() as session, session.begin_nested() as trial:
            await self._write(session, found)
            if self.report.is_dry_run:
                await trial.rollback()

    async def _write(self, session: AsyncSession, found: Sequence[Recovered]) -> None:
        """Rows whose file was moved get its new path; the others are new."""
        inventory = InventoryRepository(session)
        # A generation may have written its rows since these files were inspected.
        recorded = await inventory.recorded([each.file.file_path for each in found])
        found = [each for each in found if each.file.file_path not in recorded]
        hashes = {each.file.sha256 for each in found if each.file.sha256}
        lost = _lost(await inventory.rows_of_content(hashes))
        new = []
        for each in found:
            if rows := lost.get(each.file.sha256):
                await inventory.relink(rows.pop(0).id, each.file.file_path, each.file.filename)
                self.report.files_relinked += 1
            else:
                new.append(each)
        added = await inventory.add(new)
        self.report.files_added += added.files
        self.report.jobs_added += added.jobs
        self.report.projects_added += added.projects

    def _rows(self, file: InspectedFile) -> Recovered:
        small = self.library / thumbnail_path(file.sha256)
        return rows_of_file(
            file, zone=self.zone, thumbnail_path=str(small) if small.is_file() else None
        )


def _lost(rows: Sequence[FileRow]) -> dict[str | None, list[FileRow]]:
    """The rows whose file is not where they say, by content."""
    lost: dict[str | None, list[FileRow]] = {}
    for row in rows:
        if not row.path or not Path(row.path).exists():
            lost.setdefault(row.sha256, []).append(row)
    return lost

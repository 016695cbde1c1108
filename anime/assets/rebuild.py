"""Rows made anew from what the library's files carry. Nothing that is there is changed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from anime.assets.inspection.pool import InspectionPool
from anime.assets.library_files import LibraryFile, Progress, files_of, within_reach
from anime.assets.provenance import read_provenance
from anime.assets.row_builder import InspectedFile, rows_of_file
from anime.core.assets import Asset
from anime.core.paths import kind_of, media_type_of, owner_of, thumbnail_path
from anime.core.sweep_plan import Found, Reason, Unusable
from anime.db.advisory_lock import SWEEP, advisory_lock
from anime.db.repositories import InventoryRepository, KnownAsset, Recovered
from anime.db.session import Database
from anime.errors import StorageError, UnusableReason

BATCH_FILES = 256  # as many rows go into one transaction
MAX_LISTED = 1000  # of each kind in a report: memory must not grow with the library


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

    def leave_out(self, file: LibraryFile, why: str) -> None:
        """Count a file that gets no row."""
        self.files_unfit += 1
        if len(self.unfit) < MAX_LISTED:
            self.unfit[str(file.path)] = why


async def rebuild(
    database: Database,
    library: Path,
    *,
    zone: tzinfo,
    archive: Path | None = None,
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
    async with advisory_lock(database.address, SWEEP) as turn, InspectionPool() as pool:
        if turn is None:
            raise StorageError(
                "A sweep or another rebuild is at the library just now.",
                "Try again when it is done.",
            )
        rebuilder = _Rebuilder(database, library, archive, zone, report)
        async for files in files_of(library, at_a_time=BATCH_FILES):
            new = await rebuilder.without_row(files)
            found = await pool.read([file.sighting for file in new])
            await turn.confirm()
            await rebuilder.write(list(zip(new, found, strict=True)))
            progress(report.files_seen)
    return report


@dataclass
class _Rebuilder:
    """Brings batches into the database and counts them."""

    database: Database
    library: Path
    archive: Path | None
    zone: tzinfo
    report: RebuildReport

    async def without_row(self, files: Sequence[LibraryFile]) -> list[LibraryFile]:
        """The files that have no row under their path."""
        async with self.database.session_scope() as session:
            recorded = await InventoryRepository(session).recorded([str(f.path) for f in files])
        self.report.files_seen += len(files)
        self.report.files_known += len(recorded)
        return [file for file in files if str(file.path) not in recorded]

    async def write(self, files: Sequence[tuple[LibraryFile, Found]]) -> None:
        """The rows of a batch, in one transaction."""
        found = await asyncio.to_thread(self._recovered, files)
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
        known = await inventory.rows_of_content(hashes)
        lost = _lost(await asyncio.to_thread(within_reach, known, self.archive))
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

    def _recovered(self, files: Sequence[tuple[LibraryFile, Found]]) -> list[Recovered]:
        recovered = []
        for file, found in files:
            try:
                inspected = _inspected(self.library, file, found)
            except StorageError as fault:
                self.report.leave_out(file, fault.what)
                continue
            if isinstance(inspected, str):
                self.report.leave_out(file, inspected)
                continue
            small = self.library / thumbnail_path(inspected.asset.sha256)
            known = str(small) if small.is_file() else None
            recovered.append(rows_of_file(inspected, zone=self.zone, thumbnail_path=known))
        return recovered


def _inspected(library: Path, file: LibraryFile, found: Found) -> InspectedFile | str:
    """The file, with its provenance; or why it gets no row, in a sentence.

    What is no media gets one if a job has made it.

    Raises:
        StorageError: the library cannot give its provenance.
    """
    name = file.path.name
    match found:
        case Reason():
            return f"{file.place}: {found.value}."
        case Unusable(reason=UnusableReason.NOT_MEDIA.value, sha256=str(sha256)):
            asset = Asset(sha256, media_type_of(name), kind_of(name))
        case Unusable():
            return found.what
        case Asset():
            asset = found
    origin = read_provenance(library, asset.sha256, owner=owner_of(str(file.place)))
    if asset is not found and origin is None:
        return f"{name} is no picture, film or sound, and nobody's output."
    return InspectedFile(file, asset, origin)


def _lost(rows: Sequence[KnownAsset]) -> dict[str | None, list[KnownAsset]]:
    """The rows whose file is not where they say, by content."""
    lost: dict[str | None, list[KnownAsset]] = {}
    for row in rows:
        if not row.path or not Path(row.path).exists():
            lost.setdefault(row.sha256, []).append(row)
    return lost

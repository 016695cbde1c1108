"""The rows of files held against the files: what is missing, altered, moved, or has no row."""

import asyncio
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anime.assets.library_files import (
    LibraryFile,
    Progress,
    files_of,
    require_library,
    within_reach,
)
from anime.assets.rebuild import MAX_LISTED
from anime.assets.repair import Repairer
from anime.assets.store import hash_of
from anime.core.paths import FileState
from anime.db.repositories import InventoryRepository, KnownAsset
from anime.db.session import Database

_BATCH_ROWS = 1000
_TOUCHED_SECONDS = 2.0  # clocks and file systems are not finer than that


@dataclass
class VerifyReport:
    """What a verification has found. The lists are cut where there is too much to list."""

    checked: int = 0
    present: int = 0
    missing: int = 0
    altered: int = 0
    returned: int = 0  # were missing or altered, and are as they were
    relinked: int = 0  # lie elsewhere in the library, and their rows say so now
    repaired: int = 0  # were missing, and were fetched from elsewhere
    without_row: int = 0
    out_of_reach: int = 0  # in the archive, which is not there: nobody knows
    missing_files: list[str] = field(default_factory=list)
    altered_files: list[str] = field(default_factory=list)
    relinked_files: dict[str, str] = field(default_factory=dict)  # new path by old one
    repaired_files: dict[str, str] = field(default_factory=dict)  # from where, by path
    files_without_row: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether every row has its file and every file its row."""
        return not (self.missing or self.altered or self.without_row or self.out_of_reach)

    def found_again(self, path: str, where: str, listed: dict[str, str]) -> None:
        """Count a file as missing no more; it is listed with where it was found."""
        self.missing -= 1
        if path in self.missing_files:
            self.missing_files.remove(path)
        if len(listed) < MAX_LISTED:
            listed[path] = where


async def verify(
    database: Database,
    library: Path,
    *,
    archive: Path | None = None,
    is_quick: bool = False,
    repair_from: Sequence[Path] | None = None,
    progress: Progress = lambda _: None,
) -> VerifyReport:
    """Every row held against its file, and every file against the rows. No row is deleted.

    A row gets the state its file is in; one whose file lies elsewhere in the library, with the
    same content, is told where. Quick: only files of another size, or that were written after
    they came in, are read. Rows stay as they are whose file is in an archive that is not there.
    With `repair_from`, folders of ComfyUI's, missing files are fetched from their sources and from
    quarantine.

    Raises:
        StorageError: the library is not there: nothing is called missing because of that.
        DatabaseUnavailable: PostgreSQL went away; what was found out by then is written.
    """
    await require_library(library)
    report = VerifyReport()
    verifier = _Verifier(database, library, archive, report)
    after = 0
    while rows := await verifier.rows_after(after):
        await verifier.check(rows, is_quick=is_quick)
        after = rows[-1].id
        progress(report.checked)
    async for files in files_of(library, at_a_time=_BATCH_ROWS):
        await verifier.find_rows_for(files)
    if repair_from is not None and report.missing:
        await verifier.fetch_missing(Repairer(database, library, repair_from))
    return report


@dataclass
class _Verifier:
    """Holds batches against each other and counts what comes out."""

    database: Database
    library: Path
    archive: Path | None
    report: VerifyReport

    async def rows_after(
        self, file_id: int, states: Collection[FileState] = tuple(FileState)
    ) -> list[KnownAsset]:
        async with self.database.session_scope() as session:
            return await InventoryRepository(session).rows_after(
                file_id, limit=_BATCH_ROWS, states=states
            )

    async def check(self, rows: Sequence[KnownAsset], *, is_quick: bool) -> None:
        """Give each row the state its file is in."""
        changed: dict[FileState, list[int]] = {state: [] for state in FileState}
        found = dict(zip(rows, await self._states(rows, is_quick=is_quick), strict=True))
        missing = [row for row, state in found.items() if state is FileState.MISSING]
        lost = await asyncio.to_thread(within_reach, missing, self.archive)
        out_of_reach = set(missing).difference(lost)
        self.report.checked += len(rows)
        self.report.out_of_reach += len(out_of_reach)
        for row, state in found.items():
            if row in out_of_reach:
                continue
            self._count(row, state)
            if state.value != row.state:
                changed[state].append(row.id)
        if changed[FileState.MISSING]:  # or has the mount gone since we began?
            await require_library(self.library)
        async with self.database.session_scope() as session:
            for state, ids in changed.items():
                await InventoryRepository(session).mark(ids, state)

    async def find_rows_for(self, files: Sequence[LibraryFile]) -> None:
        """Tell rows of missing files where these lie now; list the files that have no row."""
        async with self.database.session_scope() as session:
            inventory = InventoryRepository(session)
            recorded = await inventory.recorded([str(file.path) for file in files])
            strays = [file for file in files if str(file.path) not in recorded]
            missing = await inventory.missing_of_sizes({file.size_bytes for file in strays})
        lost = await asyncio.to_thread(within_reach, missing, self.archive)
        sizes = {row.size_bytes for row in lost}
        likely = [file for file in strays if file.size_bytes in sizes]
        hashes = await _hashes([file.path for file in likely])
        found = dict(zip(likely, hashes, strict=True))
        for file in strays:
            row = _taken(lost, found.get(file))
            if row is None:
                self.report.without_row += 1
                _list(self.report.files_without_row, str(file.path))
            else:
                await self._relink(row, file)

    async def fetch_missing(self, repairer: Repairer) -> None:
        """Fetch what can be had of the missing files, wherever a source of theirs is left."""
        after = 0
        while rows := await self.rows_after(after, [FileState.MISSING]):
            for path, source in (await repairer.fetch(rows)).items():
                self.report.repaired += 1
                self.report.found_again(path, source, self.report.repaired_files)
            after = rows[-1].id

    async def _relink(self, row: KnownAsset, file: LibraryFile) -> None:
        async with self.database.session_scope() as session:
            await InventoryRepository(session).relink(row.id, str(file.path), file.path.name)
        self.report.relinked += 1
        self.report.found_again(row.path, str(file.path), self.report.relinked_files)

    async def _states(self, rows: Sequence[KnownAsset], *, is_quick: bool) -> list[FileState]:
        """The state of each row's file, in their order."""
        paths = [self.library / row.path for row in rows]
        found = await asyncio.to_thread(lambda: [*map(_at_a_glance, rows, paths)])
        unread = [
            number
            for number, (row, (state, is_touched)) in enumerate(zip(rows, found, strict=True))
            if state is FileState.PRESENT and row.sha256 and (is_touched or not is_quick)
        ]
        states = [state for state, _ in found]
        hashes = await _hashes([paths[number] for number in unread])
        for number, sha256 in zip(unread, hashes, strict=True):
            if sha256 != rows[number].sha256:
                states[number] = FileState.ALTERED
        return states

    def _count(self, row: KnownAsset, state: FileState) -> None:
        report = self.report
        match state:
            case FileState.PRESENT:
                report.present += 1
                report.returned += row.state != FileState.PRESENT.value
            case FileState.MISSING:
                report.missing += 1
                _list(report.missing_files, row.path)
            case FileState.ALTERED:
                report.altered += 1
                _list(report.altered_files, row.path)


def _at_a_glance(row: KnownAsset, path: Path) -> tuple[FileState, bool]:
    """The state of a file without reading it, and whether it was written after its row was."""
    try:
        status = os.stat(path)  # noqa: PTH116  a name with a NUL is no OSError to pathlib
    except (OSError, ValueError):
        return FileState.MISSING, False
    if row.size_bytes is not None and status.st_size != row.size_bytes:
        return FileState.ALTERED, False
    at = row.organized_at
    is_touched = at is None or status.st_mtime > at.timestamp() + _TOUCHED_SECONDS
    return FileState.PRESENT, is_touched


async def _hashes(paths: Sequence[Path]) -> list[str | None]:
    """The SHA-256 of each file in their order; None where it cannot be read."""
    return await asyncio.gather(*(asyncio.to_thread(hash_of, path) for path in paths))


def _taken(rows: list[KnownAsset], sha256: str | None) -> KnownAsset | None:
    """The first row with that content, taken out: one file is one row's."""
    number = next((n for n, row in enumerate(rows) if sha256 and row.sha256 == sha256), None)
    return None if number is None else rows.pop(number)


def _list(names: list[str], name: str) -> None:
    if len(names) < MAX_LISTED:
        names.append(name)

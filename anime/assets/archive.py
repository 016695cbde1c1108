"""Rejected takes move to the archive: copied, verified, written down, then removed.

In this order: the file has its place in the archive, the manifest has its line, the row points
there, the source is removed. One take after the other, so only the manifest's last line can be
unfinished; the next run finishes it. Every step finds what is done.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from uuid import uuid4

from anime.assets.journal import Journal
from anime.assets.store import INCOMING, AssetStore, StoredFile
from anime.core.retention import (
    ArchiveTake,
    LeaveTake,
    RejectedTake,
    RetentionReport,
    plan_take,
)
from anime.db.repositories.retention import RetentionRepository
from anime.db.session import Database
from anime.errors import ConfigurationError, StorageError

MANIFEST = "manifest.jsonl"
_Stamp = tuple[int, int, int]  # inode, size, time of the last change in ns
_AT_ONCE = 200  # rows read together
_BACKED_UP = "A backup or drill is at work; it goes another night."


@dataclass(frozen=True, slots=True)
class Source:
    """A file on its way out, as it was when it was read."""

    path: Path
    sha256: str
    size_bytes: int
    stamp: _Stamp

    def remove(self) -> None:
        """Remove it, unless it is another one now. Blocks; doing it twice is harmless."""
        try:
            if _stamp(self.path.lstat()) == self.stamp:
                self.path.unlink()
        except FileNotFoundError:
            return

    def changed(self) -> StorageError:
        """The error for a copy that is not the same."""
        return StorageError(
            f"The archive did not get {self.path} as it is: it is kept where it was.",
            "Look at the disks, and whether something writes to that file.",
        )


class Archive:
    """A folder outside of the library, with a manifest."""

    def __init__(self, root: Path, library: Path, database: Database) -> None:
        self._files = AssetStore(root, called="archive")
        self._sources = AssetStore(library)
        self._library = library
        self._database = database
        self._manifest = Journal(root / MANIFEST)

    async def take_in(self, before: datetime, now: datetime, report: RetentionReport) -> None:
        """Archive what was rejected and made before. A dry run, by the report, only counts.

        Raises:
            ConfigurationError: the archive lies within the library.
            StorageError: the archive is missing or full; what is not archived yet stays.
            StorageTimedOut: the archive or the library does not answer.
        """
        await self._refuse_library()
        if report.is_dry_run:
            async for take in self._rejected(before):
                step = plan_take(take, self._library)
                report.note_take(step, await self._sources.in_thread(_size_of, take.path))
            return
        await self._files.check()
        await self._files.tidy()
        await self._files.in_thread(self._manifest.__enter__)
        async with self._files.cleaned_up(self._manifest.__exit__):
            await self._finish_last()
            async for take in self._rejected(before):
                async with self._database.session_scope() as session:
                    is_free = await RetentionRepository(session).keep_backups_out()
                step = plan_take(take, self._library) if is_free else LeaveTake(take, _BACKED_UP)
                report.note_take(*await self._carry_out(step, now))

    async def _refuse_library(self) -> None:
        root: Path = await self._files.in_thread(self._files.root.resolve)
        if root.is_relative_to(await self._sources.in_thread(self._library.resolve)):
            raise ConfigurationError(
                f"The archive {self._files.root} lies within the library.",
                "Point ANIME_ARCHIVE_DIR to a folder outside of it.",
            )

    async def _rejected(self, before: datetime) -> AsyncIterator[RejectedTake]:
        last = 0
        while True:
            async with self._database.session_scope() as session:
                found = await RetentionRepository(session).rejected(
                    before, after_id=last, limit=_AT_ONCE
                )
            for take in found:
                yield take
            if len(found) < _AT_ONCE:
                return
            last = found[-1].file_id

    async def _carry_out(
        self, step: ArchiveTake | LeaveTake, now: datetime
    ) -> tuple[ArchiveTake | LeaveTake, int]:
        """What became of it, and its size if it was archived."""
        if isinstance(step, LeaveTake):
            return step, 0
        source = await self._look_at(step.take)
        if isinstance(source, str):
            return LeaveTake(step.take, source), 0
        placed = await self._place(source, step.target)
        if why := await self._move(step.take, source, placed, now):
            return LeaveTake(step.take, why), 0
        target = PurePosixPath(placed.relative_to(self._files.root))
        return replace(step, target=target), source.size_bytes

    async def _move(
        self, take: RejectedTake, source: Source, placed: Path, now: datetime
    ) -> str | None:
        """Let the file in the archive count and remove the other; or why that is not done."""
        async with self._database.session_scope() as session:
            takes = RetentionRepository(session)
            # A backup looks at one folder after the other: none may move on meanwhile. It need not
            # wait for the copy, which may take long: until now the file is where it was.
            if not await takes.keep_backups_out():
                return _BACKED_UP
            await self._files.in_thread(self._write_down, take, source, placed, now)
            is_ours = await takes.archive(take, str(placed))
        if not is_ours:
            await self._files.in_thread(self._withdraw, take, placed, now)
            return "Somebody has changed its row meanwhile."
        await self._sources.in_thread(source.remove)
        return None

    async def _place(self, source: Source, target: PurePosixPath) -> Path:
        """Where the file is in the archive now, with the same content."""
        received: StoredFile | None = await self._files.in_thread(self._link, source)
        if received is None:
            received = await self._files.receive(self._sources.chunks_of(source.path))
        async with self._files.placed_or_removed(received):
            if received.sha256 != source.sha256:
                raise source.changed()
            placed = await self._files.place(received, target)
        if await self._files.sha256_of(placed) != source.sha256:
            raise source.changed()
        return placed

    def _link(self, source: Source) -> StoredFile | None:
        """A second name in the archive; None on another disk."""
        name = self._files.root / INCOMING / uuid4().hex
        try:
            os.link(source.path, name, follow_symlinks=False)
        except OSError:
            return None
        return StoredFile(name, source.sha256, source.size_bytes)

    def _write_down(self, take: RejectedTake, source: Source, placed: Path, now: datetime) -> None:
        line = {
            "event": "archived",
            "file_id": take.file_id,
            "path": str(placed.relative_to(self._files.root)),
            "from": take.path,
            "sha256": source.sha256,
            "size_bytes": source.size_bytes,
            "job_id": str(take.job_id) if take.job_id else None,
            "project": take.project,
        }
        known = self._manifest.last()
        if {**known, "at": None} != {**line, "at": None}:  # a run that died has written it
            self._manifest.write({**line, "at": now.isoformat()})

    def _withdraw(self, take: RejectedTake, placed: Path, now: datetime) -> None:
        """Write down that the file in the archive is only a copy: the row is not for it."""
        path = str(placed.relative_to(self._files.root))
        self._manifest.write(
            {"event": "withdrawn", "file_id": take.file_id, "path": path, "at": now.isoformat()}
        )

    async def _finish_last(self) -> None:
        """Remove the source of the last take, if a run died before it did."""
        line = await self._files.in_thread(self._manifest.last)
        if line.get("event") != "archived":
            return
        placed = self._files.root / str(line["path"])
        async with self._database.session_scope() as session:
            is_archived = await RetentionRepository(session).is_archived_at(
                int(line["file_id"]), str(placed)
            )
        if not is_archived or not await self._files.in_thread(placed.is_file):
            return
        take = RejectedTake(
            int(line["file_id"]), str(line["from"]), str(line["sha256"]), None, None
        )
        source = await self._look_at(take)
        if isinstance(source, Source):
            await self._sources.in_thread(source.remove)

    async def _look_at(self, take: RejectedTake) -> Source | str:
        """The file of a row, or why it is left alone.

        Raises:
            OSError: it cannot be read.
        """
        path = Path(take.path)
        found = await self._sources.in_thread(look_at, path, self._library)
        if isinstance(found, str):
            return found
        sha256 = await self._sources.sha256_of(path)
        if take.sha256 is not None and take.sha256 != sha256:
            return "Its content has changed; `anime verify` says more."
        return Source(path, sha256, found.st_size, _stamp(found))


def _size_of(path: str) -> int:
    try:
        return Path(path).lstat().st_size
    except OSError:
        return 0


def look_at(path: Path, library: Path) -> os.stat_result | str:
    """How the file is, or why it is left alone. Blocks."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "It is gone; `anime verify` looks for it."
    if not S_ISREG(found.st_mode) or not path.resolve().is_relative_to(library.resolve()):
        return "It is a link to somewhere else, or no file."
    return found


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns

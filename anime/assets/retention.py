"""What is old goes: thumbnails, quarantine and rejected takes. Nothing does unless it is set.

Doing it twice is harmless. Thumbnails are made again when asked for; a day of quarantine is
announced by one run, and removed for good by a later one.
"""

import json
import os
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TypeVar

from anime.assets.archive import Archive
from anime.assets.journal import Journal
from anime.assets.store import INCOMING, AssetStore, write_file
from anime.core.retention import (
    KeepDays,
    QuarantineDay,
    RetentionReport,
    RetentionTally,
    is_due,
    plan_days,
)
from anime.core.sweep_plan import QUARANTINE
from anime.db.session import Database
from anime.errors import ConfigurationError
from anime.settings import Settings

_ANNOUNCED = ".announced.json"
_REMOVED = "removed.jsonl"
_AT_ONCE = 200  # files that are looked at, or removed, in one call

T = TypeVar("T")
_File = tuple[Path, os.stat_result]


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept where, and for how long. A dry run, by the report, only counts."""

    library: Path
    keep: KeepDays
    archive: Path | None = None

    @classmethod
    def from_settings(cls, settings: Settings, library: Path | None = None) -> "Retention":
        """What the environment says; of another library than its own, if one is given."""
        keep = KeepDays(
            thumbnails=settings.keep_thumbnails_days,
            quarantine=settings.keep_quarantine_days,
            rejected=settings.keep_rejected_days,
        )
        return cls(library or settings.library, keep, settings.archive_dir)

    async def thumbnails(self, report: RetentionReport, now: datetime) -> None:
        """Remove old thumbnails. Raises StorageTimedOut: the library does not answer."""
        if self.keep.thumbnails:
            disk = AssetStore(self.library)
            async for some in _some_of(_files(self.library / ".thumbnails"), disk):
                await disk.in_thread(self._tidy_thumbnails, some, report, now)

    async def quarantine(self, report: RetentionReport, now: datetime) -> None:
        """Remove old days of quarantine that were announced, and announce the rest.

        `now` is local time.

        Raises:
            StorageTimedOut: the library does not answer.
        """
        if not self.keep.quarantine:
            return
        disk, folder = AssetStore(self.library), self.library / QUARANTINE
        told: dict[str, datetime] = await disk.in_thread(_announced, folder)
        days = [day async for some in _some_of(_days(folder), disk, 1) for day in some]
        steps = plan_days(days, self.keep.quarantine, now.date(), announced=told, now=now)
        for aside, is_removed in steps:
            counted = report.removed if is_removed else report.announced
            tally = RetentionTally(files=aside.files, size_bytes=aside.size_bytes)
            counted[aside.path.name] = tally
            if is_removed and not report.is_dry_run:
                await _remove(Path(aside.path), disk, folder / _REMOVED, now)
        tells = {name: told.get(name, now).isoformat() for name in report.announced}
        if (tells or told) and not report.is_dry_run:
            await disk.in_thread(
                write_file,
                folder / _ANNOUNCED,
                json.dumps(tells).encode(),
                drafts=self.library / INCOMING,
                replaces=True,
            )

    async def takes(self, report: RetentionReport, now: datetime, database: Database) -> None:
        """Archive old rejected takes.

        Raises:
            ConfigurationError: there is no archive, or it is no place for one.
            StorageError: the archive cannot take them.
        """
        if not self.keep.rejected:
            return
        if self.archive is None:
            raise ConfigurationError(
                "ANIME_KEEP_REJECTED_DAYS is set, but there is no archive.",
                "Set ANIME_ARCHIVE_DIR to an existing folder outside of the library.",
            )
        before = now - timedelta(days=self.keep.rejected)
        await Archive(self.archive, self.library, database).take_in(before, now, report)

    def _tidy_thumbnails(
        self, files: Iterable[_File], report: RetentionReport, now: datetime
    ) -> None:
        for path, found in files:
            # Read last; where the file system keeps no such time, made.
            asked_for = datetime.fromtimestamp(max(found.st_atime, found.st_mtime), UTC)
            if path.suffix == ".webp" and is_due(asked_for, self.keep.thumbnails, now):
                if not report.is_dry_run:
                    path.unlink(missing_ok=True)
                report.thumbnails.add(found.st_size)


async def _some_of(
    found: Iterator[T], disk: AssetStore, at_a_time: int = _AT_ONCE
) -> AsyncIterator[list[T]]:
    """What is found on the disk, so many at a time: in no call is it waited for more."""
    while some := await disk.in_thread(lambda: list(islice(found, at_a_time))):
        yield some


def _days(folder: Path) -> Iterator[QuarantineDay]:
    """What lies there, the oldest day first; anything not named as a day is somebody else's."""
    for path in sorted(folder.glob("[0-9]" * 8)):
        try:
            day = date.fromisoformat(path.name)
        except ValueError:
            continue
        if path.is_dir() and not path.is_symlink():
            sizes = [found.st_size for _, found in _files(path)]
            yield QuarantineDay(day, path, len(sizes), sum(sizes))


def _files(folder: Path) -> Iterator[_File]:
    """The files below it, one after the other: there may be millions. Links are not followed."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            try:
                yield path, path.lstat()
            except FileNotFoundError:  # another one was faster
                continue


async def _remove(day: Path, disk: AssetStore, removed: Path, now: datetime) -> None:
    """Remove the folder; what was in it stays written down."""
    async for some in _some_of(_files(day), disk):
        await disk.in_thread(_remove_files, some, Journal(removed), now)
    await disk.in_thread(_remove_folder, day)


def _remove_files(files: Iterable[_File], journal: Journal, now: datetime) -> None:
    with journal:
        for path, found in files:
            journal.write({"path": str(path), "size_bytes": found.st_size, "at": now.isoformat()})
            path.unlink(missing_ok=True)


def _remove_folder(day: Path) -> None:
    with suppress(FileNotFoundError):  # another one was faster
        shutil.rmtree(day)  # removes links, and not what they point to


def _announced(folder: Path) -> dict[str, datetime]:
    """When each day was announced first; nothing where that cannot be read."""
    try:
        known = json.loads((folder / _ANNOUNCED).read_text())
        return {str(day): datetime.fromisoformat(told) for day, told in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}

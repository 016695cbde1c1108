"""What is old goes: thumbnails, quarantine and rejected takes. Nothing does unless it is set.

Doing it twice is harmless. Thumbnails are made again when asked for; a day of quarantine is
announced by one run, and removed for good by a later one.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from anime.assets.archive import Archive
from anime.assets.journal import Journal
from anime.assets.store import INCOMING, write_file
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
        """Remove old thumbnails."""
        if self.keep.thumbnails:
            await asyncio.to_thread(self._tidy_thumbnails, report, now)

    async def quarantine(self, report: RetentionReport, now: datetime) -> None:
        """Remove old days of quarantine that were announced, and announce the rest.

        `now` is local time.
        """
        if self.keep.quarantine:
            await asyncio.to_thread(self._tidy_quarantine, report, now)

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

    def _tidy_thumbnails(self, report: RetentionReport, now: datetime) -> None:
        for path, found in _files(self.library / ".thumbnails"):
            # Read last; where the file system keeps no such time, made.
            asked_for = datetime.fromtimestamp(max(found.st_atime, found.st_mtime), UTC)
            if path.suffix == ".webp" and is_due(asked_for, self.keep.thumbnails, now):
                if not report.is_dry_run:
                    path.unlink(missing_ok=True)
                report.thumbnails.add(found.st_size)

    def _tidy_quarantine(self, report: RetentionReport, now: datetime) -> None:
        folder = self.library / QUARANTINE
        told = _announced(folder)
        days = list(_days(folder))
        steps = plan_days(days, self.keep.quarantine, now.date(), announced=told, now=now)
        for aside, is_removed in steps:
            counted = report.removed if is_removed else report.announced
            tally = RetentionTally(files=aside.files, size_bytes=aside.size_bytes)
            counted[aside.path.name] = tally
            if is_removed and not report.is_dry_run:
                _remove(Path(aside.path), Journal(folder / _REMOVED), now)
        tells = {name: told.get(name, now).isoformat() for name in report.announced}
        if (tells or told) and not report.is_dry_run:
            text = json.dumps(tells).encode()
            write_file(folder / _ANNOUNCED, text, drafts=self.library / INCOMING, replaces=True)


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


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files below it, one after the other: there may be millions. Links are not followed."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            try:
                yield path, path.lstat()
            except FileNotFoundError:  # another one was faster
                continue


def _remove(day: Path, journal: Journal, now: datetime) -> None:
    """Remove the folder; what was in it stays written down."""
    with journal:
        for path, found in _files(day):
            journal.write({"path": str(path), "size_bytes": found.st_size, "at": now.isoformat()})
    with suppress(FileNotFoundError):  # another one was faster
        shutil.rmtree(day)  # removes links, and not what they point to


def _announced(folder: Path) -> dict[str, datetime]:
    """When each day was announced first; nothing where that cannot be read."""
    try:
        known = json.loads((folder / _ANNOUNCED).read_text())
        return {str(day): datetime.fromisoformat(told) for day, told in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}

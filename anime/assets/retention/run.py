"""One round of retention: what the settings ask for, and nothing else."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from anime.assets.archive import Archive
from anime.assets.retention.quarantine import tidy_quarantine
from anime.assets.retention.thumbnails import tidy_thumbnails
from anime.core.retention import KeepDays, RetentionReport
from anime.db.session import Database
from anime.errors import ConfigurationError
from anime.settings import Settings


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept where, and for how long."""

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
        """Remove old thumbnails, or count them in a dry run."""
        if self.keep.thumbnails:
            report.thumbnails = await asyncio.to_thread(
                tidy_thumbnails,
                self.library,
                self.keep.thumbnails,
                now,
                applies=not report.is_dry_run,
            )

    async def quarantine(self, report: RetentionReport, now: datetime) -> None:
        """Remove old quarantine that was announced, and announce the rest; or count it."""
        if self.keep.quarantine:
            await asyncio.to_thread(
                tidy_quarantine, self.library, self.keep.quarantine, now, report
            )

    async def takes(self, report: RetentionReport, now: datetime, database: Database) -> None:
        """Archive old rejected takes, or name them in a dry run.

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

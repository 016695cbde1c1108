"""What holds for backups and drills alike: one at a time, and a full disk is told."""

import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import URL

from anime.db.advisory_lock import BACKUP, advisory_lock
from anime.errors import BackupFailed

TURN_SECONDS = 20.0  # longer than the row of a rejected take needs to point to the archive
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@asynccontextmanager
async def only_one(address: URL) -> AsyncIterator[None]:
    """The right to change the folder of backups, which dies with this process.

    Raises:
        BackupFailed: another program has it.
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    async with advisory_lock(address, BACKUP, wait_seconds=TURN_SECONDS) as turn:
        if turn is None:
            raise BackupFailed(
                "Another backup or drill is at work just now.", "Try again when it is done."
            )
        yield


@contextmanager
def disk_faults(root: Path) -> Iterator[None]:
    """What the operating system refuses below the folder of backups becomes a BackupFailed."""
    try:
        yield
    except OSError as fault:
        reason = os.strerror(fault.errno) if fault.errno else str(fault)
        raise BackupFailed(
            f"The folder {root} for backups cannot be written: {reason}.",
            "Free some space there, or point ANIME_BACKUP_DIR to another disk."
            if fault.errno in _FULL
            else "Look at that disk, at the rights of its folder, and at ANIME_BACKUP_DIR.",
        ) from fault

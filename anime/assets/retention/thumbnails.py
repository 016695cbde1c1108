"""Thumbnails that nobody has asked for in a long time. They are made again when asked for."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from anime.core.retention import RetentionTally, is_due

FOLDER = ".thumbnails"  # below the library


def tidy_thumbnails(library: Path, days: int, now: datetime, *, applies: bool) -> RetentionTally:
    """How many were removed, or would be. Blocks; doing it twice is harmless."""
    tally = RetentionTally()
    for entry in _files(library / FOLDER):
        try:
            found = entry.stat(follow_symlinks=False)
            if not is_due(_asked_for(found), days, now):
                continue
            if applies:
                Path(entry.path).unlink()
        except FileNotFoundError:  # another one was faster
            continue
        tally.add(found.st_size)
    return tally


def _asked_for(found: os.stat_result) -> datetime:
    """When it was read last; where the file system keeps no such time, when it was made."""
    return datetime.fromtimestamp(max(found.st_atime, found.st_mtime), UTC)


def _files(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """The thumbnails, one after the other: there may be millions."""
    try:
        with os.scandir(folder) as shelves:
            for shelf in shelves:
                if shelf.is_dir(follow_symlinks=False):
                    with os.scandir(shelf) as entries:
                        yield from (each for each in entries if each.name.endswith(".webp"))
    except FileNotFoundError:
        return

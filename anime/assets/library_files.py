"""The files of a library, folder by folder; memory does not grow with their number."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from anime.assets.importer.walk import walk
from anime.assets.store import AssetStore
from anime.core.assets import KnownAsset
from anime.core.sweep_plan import ScannedFile
from anime.errors import StorageError

Progress = Callable[[int], None]  # told how many files were looked at
_NOT_OURS = re.compile(rb"/quarantine/[0-9]{8}$")  # what a sweep has put aside
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """A regular file. `place` is relative to the library; the time is in nanoseconds."""

    path: Path
    place: PurePosixPath
    size_bytes: int
    mtime_ns: int

    @property
    def sighting(self) -> ScannedFile:
        """The same as a sweep sees it."""
        folder, name = os.fsencode(self.path.parent), os.fsencode(self.path.name)
        return ScannedFile(folder, name, self.size_bytes, self.mtime_ns)


async def files_of(library: Path, *, at_a_time: int) -> AsyncIterator[list[LibraryFile]]:
    """The files of the library in the order of their paths, so many at a time.

    Hidden files and folders, quarantine, debris and links are left out.

    Raises:
        StorageError: the library is not there.
    """
    await require_library(library)
    files = _below(library)
    while batch := await asyncio.to_thread(lambda: list(islice(files, at_a_time))):
        yield batch


def has_files(folder: Path) -> bool:
    """Whether there is anything: of a mount that is away, an empty folder remains."""
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return False


def within_reach(rows: Iterable[KnownAsset], archive: Path | None) -> list[KnownAsset]:
    """The rows but those of an archive that is away: nobody knows whether their files are lost."""
    if archive is None or has_files(archive):
        return [*rows]
    return [row for row in rows if not Path(row.path).is_relative_to(archive)]


async def require_library(library: Path) -> None:
    """Make sure that there is a library: a lost mount must not look like lost files.

    Raises:
        StorageError: there is none, or it is empty.
        StorageTimedOut: it does not answer.
    """
    if not await AssetStore(library).in_thread(has_files, library):
        raise StorageError(
            f"There is no library in {library}, or it is empty.",
            "Mount it, or point ANIME_LIBRARY_DIR to where it is.",
        )


def _below(library: Path) -> Iterator[LibraryFile]:
    root = os.fsencode(library)
    for folder in walk(root, is_left_out=_is_put_aside, is_wanted=_is_shown):
        for name, size_bytes, mtime_ns in sorted(folder.files):
            path = Path(os.fsdecode(folder.path), os.fsdecode(name))
            if _is_text(path):
                yield LibraryFile(
                    path, PurePosixPath(path.relative_to(library)), size_bytes, mtime_ns
                )


def _is_put_aside(folder: bytes) -> bool:
    return _NOT_OURS.search(folder) is not None


def _is_shown(name: bytes) -> bool:
    return not name.startswith(b".")


def _is_text(path: Path) -> bool:
    """Whether PostgreSQL can hold the path: the library itself makes no other."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        _log.warning("Left out, as its name is no UTF-8: %r", str(path))
        return False
    return True

"""The files of a library, folder by folder; memory does not grow with their number."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from anime.assets.importer.walk import size_and_time
from anime.core.debris import USUAL_DEBRIS
from anime.core.sweep_plan import ScannedFile
from anime.errors import StorageError

_NOT_OURS = re.compile(r"quarantine/[0-9]{8}")  # what a sweep has put aside
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
    await asyncio.to_thread(require_library, library)
    files = _below(library, PurePosixPath())
    while batch := await asyncio.to_thread(lambda: list(islice(files, at_a_time))):
        yield batch


def require_library(library: Path) -> None:
    """Make sure that there is a library: a lost mount must not look like lost files.

    Raises:
        StorageError: there is none, or it is empty.
    """
    try:
        with os.scandir(library) as entries:
            is_there = any(True for _ in entries)
    except OSError:
        is_there = False
    if not is_there:
        raise StorageError(
            f"There is no library in {library}, or it is empty.",
            "Mount it, or point ANIME_LIBRARY_DIR to where it is.",
        )


def _below(library: Path, place: PurePosixPath) -> Iterator[LibraryFile]:
    try:
        with os.scandir(library / place) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as fault:
        _log.warning("The folder %r cannot be listed: %s", str(library / place), fault.strerror)
        return
    for entry in listed:
        inner = place / entry.name
        if entry.name.startswith(".") or entry.name in USUAL_DEBRIS or not _is_text(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            if not _NOT_OURS.fullmatch(str(inner)):
                yield from _below(library, inner)
        elif (file := _file(entry, inner)) is not None:
            yield file


def _file(entry: os.DirEntry[str], place: PurePosixPath) -> LibraryFile | None:
    """The file; None for what is none, or has gone since it was listed."""
    try:
        if not entry.is_file(follow_symlinks=False):
            return None
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    return LibraryFile(Path(entry.path), place, *size_and_time(status))


def _is_text(name: str) -> bool:
    """Whether PostgreSQL can hold the name: the library itself makes no other."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        _log.warning("Left out, as its name is no UTF-8: %r", name)
        return False
    return True

"""What lies in a folder and below it. All of it blocks: call it in a thread.

In bytes throughout: a name need not be text, and a hundred thousand of them are read faster.
"""

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from anime.core.debris import USUAL_DEBRIS, Debris
from anime.core.ownership import MAX_SIDECAR_BYTES, SIDECAR, Sidecar, read_sidecar
from anime.core.sweep_plan import ScannedFile, is_candidate

Listed = tuple[bytes, int, int]  # name, size in bytes, mtime in nanoseconds
FILES_AT_ONCE = 20_000  # of one folder, so that memory does not grow with it
_BIGINT = 2**63 - 1  # some file systems know later times, PostgreSQL does not
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder and files in it that may be media, by name; of very many, some. `path` is absolute.

    `passed_over`: how many files and folders in it are debris.
    """

    path: bytes
    files: Sequence[Listed]
    passed_over: int = 0


def walk(
    root: bytes,
    *,
    is_left_out: Callable[[bytes], bool],
    is_wanted: Callable[[bytes], bool] = is_candidate,
    debris: Debris = USUAL_DEBRIS,
) -> Iterator[Folder]:
    """Every folder below the root, the root first; of many files, some at a time.

    Links are not followed.

    `is_left_out`, asked of a folder's path: whether it is, with all below it; `is_wanted`, of a
    file's name. A folder that cannot be listed is logged and left out, unless it is the root.

    Raises:
        OSError: the root cannot be listed.
    """
    pending = [root]
    while pending:
        path = pending.pop()
        below: list[bytes] = []
        try:
            yield from _list(path, below, is_wanted, debris)
        except OSError as fault:
            if path == root:
                raise
            _log.warning("Left out: %r: %s", os.fsdecode(path), fault.strerror)
            continue
        pending.extend(sorted((each for each in below if not is_left_out(each)), reverse=True))


def _list(
    path: bytes, below: list[bytes], is_wanted: Callable[[bytes], bool], debris: Debris
) -> Iterator[Folder]:
    """The folder's files, and with the last of them, in `below`, the folders in it."""
    files: list[Listed] = []
    passed_over = 0
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name in debris:
                passed_over += 1
            elif entry.is_dir(follow_symlinks=False):
                if not name.startswith(b"."):
                    below.append(entry.path)
            elif is_wanted(name) and (found := _seen(entry)) is not None:
                files.append((name, *found))
                if len(files) == FILES_AT_ONCE:
                    yield Folder(path, sorted(files))
                    files = []
    yield Folder(path, sorted(files), passed_over)


def _seen(entry: "os.DirEntry[bytes]") -> tuple[int, int] | None:
    """Size and time of a regular file; None for anything else, and for what has gone."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    return size_and_time(status) if stat.S_ISREG(status.st_mode) else None


def size_and_time(status: os.stat_result) -> tuple[int, int]:
    """Bytes, and nanoseconds as far as the database can count them."""
    return status.st_size, max(-_BIGINT, min(_BIGINT, status.st_mtime_ns))


def look_again(sighting: ScannedFile) -> ScannedFile | None:
    """The file as it is now; None when it has gone or is no regular file any more."""
    try:
        status = os.lstat(sighting.path)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return ScannedFile(sighting.folder, sighting.name, *size_and_time(status))


def name_of(sighting: ScannedFile) -> str:
    """Where the file lies, as a text that the file system takes."""
    return os.fsdecode(sighting.path)


def inode_of(status: os.stat_result) -> tuple[int, int]:
    """Device and number: two names with the same are one file."""
    return status.st_dev, status.st_ino


def is_rested(sighting: ScannedFile, settle_seconds: float) -> bool:
    """Whether the file was last written long enough ago; a time to come says nothing."""
    age_seconds = time.time() - sighting.mtime_ns / 1e9
    return settle_seconds <= 0 or age_seconds >= settle_seconds


def sidecar_in(folder: bytes) -> Sidecar | None:
    """What a `job_metadata.json` in that folder says; None when there is none to be read."""
    path = os.path.join(folder, SIDECAR.encode())  # noqa: PTH118  bytes
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(descriptor, "rb") as stream:  # noqa: PTH123  a descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        text = stream.read(MAX_SIDECAR_BYTES + 1)
    return read_sidecar(text) if len(text) <= MAX_SIDECAR_BYTES else None

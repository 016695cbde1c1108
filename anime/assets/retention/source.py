"""A file of the library on its way out: looked at once, and removed only if it is still that."""

import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from anime.assets.store import sha256_of
from anime.core.retention import RejectedTake
from anime.errors import StorageError

_Stamp = tuple[int, int, int]  # inode, size, time of the last change in ns


@dataclass(frozen=True, slots=True)
class Source:
    """The file as it was when it was read."""

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


def look_at(take: RejectedTake, library: Path) -> Source | str:
    """The file of a row, or why it is left alone. Blocks.

    Raises:
        OSError: it cannot be read.
    """
    path = Path(take.path)
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "It is gone; `anime verify` looks for it."
    if not S_ISREG(found.st_mode) or not path.resolve().is_relative_to(library.resolve()):
        return "It is a link to somewhere else, or no file."
    sha256 = sha256_of(path)
    if take.sha256 is not None and take.sha256 != sha256:
        return "Its content has changed; `anime verify` says more."
    return Source(path, sha256, found.st_size, _stamp(found))


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns

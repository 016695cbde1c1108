"""Files of other folders come into the library. All of it blocks: call it in a thread.

The rules are those of `anime.assets.store`: whole, under a name that was free, never over another.
Doing it twice makes one file, as the same content at the target counts as placed.
"""

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath

from anime.assets.importer.walk import inode_of, name_of, size_and_time
from anime.assets.quarantine import (
    record_beside,
    record_of_quarantined,
    write_record,
)
from anime.assets.store import (
    INCOMING,
    copy_hashed,
    draft_in,
    link,
    link_or_copy,
    sha256_of,
    storage_faults,
    sync_folder,
)
from anime.core.paths import names_beside
from anime.core.sweep_plan import ImportCandidate, Mode, Quarantine, Reason, ScannedFile
from anime.errors import StorageError


class ImportPlacer:
    """Brings files into one library, in one mode, and flushes what it has touched."""

    def __init__(self, root: Path, mode: Mode) -> None:
        self._root = root
        self._mode = mode
        self._touched: set[str] = set()
        self._made: dict[str, str] = {}

    def place(
        self,
        seen: ImportCandidate,
        target: PurePosixPath,
        sha256: str | None,
        *,
        aside: str | None = None,
    ) -> str | Reason:
        """Where the file lies in the library now, or why it was left; the source stays.

        `aside`, of a file that goes to quarantine: where it was, as its record will say.

        Raises:
            StorageError: the library cannot take it.
        """
        relative, _, wanted = str(target).rpartition("/")
        folder = self._made.get(relative) or self._make(relative)
        self._touched.add(folder)
        mark = sha256 if aside is None else hashlib.sha256(aside.encode()).hexdigest()
        with storage_faults(Path(folder)):
            for name in names_beside(wanted, mark):
                if aside is not None and record_beside(Path(folder, name)) not in {None, aside}:
                    continue  # of several empty files each comes back to where it was
                placed = self._try(seen.sighting, f"{folder}/{name}", sha256)
                if placed is not None:
                    return placed
        raise StorageError(
            f"{target} and every name like it is taken in the library.",
            "Look into that folder: nothing makes so many files of one name.",
        )

    def quarantine_file(self, step: Quarantine) -> str | Reason:
        """Where the file lies in quarantine now, with a JSON file beside it that says why.

        Raises:
            StorageError: the library cannot take it.
        """
        origin = step.seen.sighting.path.hex()
        placed = self.place(step.seen, step.target, step.unusable.sha256, aside=origin)
        if not isinstance(placed, Reason):
            with storage_faults(Path(placed).parent):
                write_record(self._root, record_of_quarantined(step, Path(placed)))
        return placed

    def sync(self) -> None:
        """Make the new names survive a power cut.

        Raises:
            StorageError: the disk is gone.
        """
        while self._touched:
            folder = Path(self._touched.pop())
            with storage_faults(folder):
                sync_folder(folder)

    def _make(self, relative: str) -> str:
        """The folder below the root, made if missing; never the root: a lost mount is an error."""
        path = PurePosixPath(relative)
        with storage_faults(self._root):
            for part in (*reversed(path.parents[:-1]), path):
                (self._root / part).mkdir(exist_ok=True)
        self._made[relative] = str(self._root / path)
        return self._made[relative]

    def _try(self, source: ScannedFile, target: str, sha256: str | None) -> str | Reason | None:
        """The target, if the file is there now; None when another one is."""
        origin = name_of(source)
        try:
            if self._mode is Mode.COPY or not link(origin, target):
                return _copy(self._root, origin, Path(target), sha256)
        except FileExistsError:
            return target if is_same(target, origin, sha256) else None
        except FileNotFoundError:
            if os.path.lexists(origin):
                raise
            return Reason.GONE
        status = os.lstat(target)
        if stat.S_ISREG(status.st_mode) and size_and_time(status) == source[2:]:
            return target
        os.unlink(target)  # noqa: PTH108  a link of our own, to what came in the file's place
        return Reason.GONE


def _copy(root: Path, origin: str, target: Path, sha256: str | None) -> str | Reason:
    """The target, copied whole and flushed; a reason when the source is not what was read."""
    with draft_in(root / INCOMING) as draft:
        try:
            source = os.open(origin, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return Reason.GONE
        except OSError:
            return Reason.UNREADABLE
        with open(source, "rb") as content, draft.open("wb") as copied:  # noqa: PTH123  a descriptor
            found = copy_hashed(content, copied)
            status = os.fstat(source)
        if sha256 is not None and found != sha256:
            return Reason.GONE
        draft.chmod(0o644)
        os.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
        link_or_copy(draft, target)
    return str(target)


def is_same(target: str, origin: str, sha256: str | None) -> bool:
    """Whether what has the name is the very file, or another one with its content."""
    try:
        there, here = os.lstat(target), os.lstat(origin)
    except FileNotFoundError:
        return False
    if inode_of(there) == inode_of(here):
        return True
    if not stat.S_ISREG(there.st_mode) or there.st_size != here.st_size:
        return False
    return sha256 is not None and sha256_of(Path(target)) == sha256

"""Taking the contents of files into the folder of backups: what is there is not read again."""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from anime.assets.backup.folder import BackupFolder
from anime.assets.backup.listing import ListedFile, read_listing, with_known_hashes
from anime.core.backups import LISTING
from anime.db.repositories import InventoryRepository
from anime.db.session import Database
from anime.errors import BackupFailed

_MAX_LISTED = 1_000  # unread files that a manifest names
_CHANGING = "It changed while it was read; the next backup takes it"


@dataclass
class ContentTaker:
    """Gives files their hashes, and the folder their contents, and counts."""

    folder: BackupFolder
    roots: Mapping[str, Path]
    database: Database
    files: int = 0
    size_bytes: int = 0
    files_new: int = 0  # whose content no earlier backup has
    bytes_copied: int = 0
    files_unread: int = 0
    unread: dict[str, str] = field(default_factory=dict)

    def _known(self) -> Iterator[ListedFile]:
        """The files of the last backup; none if it cannot be read: then all are looked at."""
        names = self.folder.names()
        if names:
            with suppress(BackupFailed):
                yield from read_listing(self.folder.root / names[-1] / LISTING)

    def looked_up(self, walked: Iterator[ListedFile]) -> Iterator[ListedFile]:
        """The files of a walk with the hashes of the last backup, if it still has the contents."""
        for file in with_known_hashes(walked, self._known()):
            if file.sha256 and not self.folder.has(file.sha256):
                file.sha256 = ""
            yield file

    async def rows_of(self, files: Sequence[ListedFile]) -> Mapping[str, tuple[str, int]]:
        """Hash and size of the files without a hash that have a row, by path."""
        paths = [str(each.place_in(self.roots)) for each in files if not each.sha256]
        if not paths:
            return {}
        async with self.database.reading() as session:
            known = InventoryRepository(session).contents_at(
                [path for path in paths if _is_text(path)]
            )
            return await known

    def take(
        self, files: Sequence[ListedFile], rows: Mapping[str, tuple[str, int]]
    ) -> list[ListedFile]:
        """The files that the backup has now; contents that are new were taken in.

        Raises:
            OSError: the folder of backups cannot take them.
        """
        for file in files:
            if not file.sha256:
                self._take(file, rows.get(str(file.place_in(self.roots))))
        taken = [each for each in files if each.sha256]
        self.files += len(taken)
        self.size_bytes += sum(each.size_bytes for each in taken)
        return taken

    def leave_out(self, path: bytes, fault: OSError) -> None:
        """Count what cannot be read."""
        self._note(path, fault.strerror or str(fault))

    def _take(self, file: ListedFile, row: tuple[str, int] | None) -> None:
        """A file with a row is never changed; another one is copied, and may be changing."""
        path = file.place_in(self.roots)
        try:
            if row and row[1] == file.size_bytes and self._has(path, row[0]):
                file.sha256 = row[0]
            else:
                self._copy(file, path, row)
        except FileNotFoundError:
            return  # moved or removed since
        except PermissionError as fault:
            if fault.filename is None or Path(os.fsdecode(fault.filename)) != path:
                raise  # the folder of backups is what may not be written
            self.leave_out(file.path, fault)
        except OSError as fault:
            if fault.errno != errno.EIO:
                raise
            self.leave_out(file.path, fault)

    def _has(self, path: Path, sha256: str) -> bool:
        """Whether there is that content, after a link to the file if that can be made."""
        is_new = self.folder.link_in(path, sha256)
        if is_new is None:
            return self.folder.has(sha256)
        self.files_new += is_new
        return True

    def _copy(self, file: ListedFile, path: Path, row: tuple[str, int] | None) -> None:
        sha256 = self.folder.copy_in(path)
        found = path.stat()
        if (found.st_size, found.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
            self._note(file.path, _CHANGING)
            return
        if row and row[0] != sha256:
            self._note(file.path, "It is not what its row says: look at it with `anime verify`")
        file.sha256 = sha256
        self.files_new += 1
        self.bytes_copied += file.size_bytes

    def _note(self, path: bytes, why: str) -> None:
        self.files_unread += 1
        if len(self.unread) < _MAX_LISTED:
            self.unread[os.fsdecode(path).encode(errors="backslashreplace").decode()] = why


def _is_text(path: str) -> bool:
    """Whether PostgreSQL can hold the path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True

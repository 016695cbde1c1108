"""Taking the contents of files into the folder of backups: what is there is not read again."""

import errno
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import URL

from anime.assets.backup.folder import BackupFolder
from anime.assets.backup.listing import ListedFile, paired, read_listing, with_known_hashes
from anime.core.backups import LISTING, moment_of
from anime.db.dump import contents_of_rows
from anime.errors import BackupFailed

_MAX_LISTED = 1_000  # unread files that a manifest names
_BEFORE = timedelta(days=1)  # a row is written after its file has come, by other clocks than ours
_THREADS = 4  # links and copies wait for the disk
_CHANGING = "It changed while it was read; the next backup takes it"
FileAndRow = tuple[ListedFile, ListedFile | None]  # the row as a file, with the hash that it says


@dataclass
class _Taken:
    """What one thread has done."""

    files_new: int = 0
    bytes_copied: int = 0
    unread: list[tuple[bytes, str]] = field(default_factory=list)


@dataclass
class ContentTaker(AbstractContextManager["ContentTaker"]):
    """Gives files their hashes, and the folder their contents, and counts; to be used in `with`."""

    folder: BackupFolder
    roots: Mapping[str, Path]
    address: URL
    files: int = 0
    size_bytes: int = 0
    files_new: int = 0  # whose content no earlier backup has
    bytes_copied: int = 0
    files_unread: int = 0
    unread: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "contents")
        self._folders = {name: str(path) for name, path in self.roots.items()}

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def looked_up(self, walked: Iterator[ListedFile]) -> Generator[FileAndRow, None, None]:
        """The files of a walk, with the hashes of the last backup if it still has the contents.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        for file, row in paired(with_known_hashes(walked, self._known()), self._rows()):
            if file.sha256 and not self.folder.has(file.sha256):
                file.sha256 = ""
            yield file, row

    def take(self, files: Sequence[FileAndRow]) -> list[ListedFile]:
        """The files that the backup has now; contents that are new were taken in.

        Raises:
            OSError: the folder of backups cannot take them.
        """
        unknown = [each for each in files if not each[0].sha256]
        parts = [unknown[number::_THREADS] for number in range(_THREADS)]
        for done in self._threads.map(self._take_some, filter(None, parts)):
            self.files_new += done.files_new
            self.bytes_copied += done.bytes_copied
            for path, why in done.unread:
                self._note(path, why)
        taken = [file for file, _ in files if file.sha256]
        self.files += len(taken)
        self.size_bytes += sum(each.size_bytes for each in taken)
        return taken

    def leave_out(self, path: bytes, fault: OSError) -> None:
        """Count what cannot be read."""
        self._note(path, fault.strerror or str(fault))

    def _known(self) -> Iterator[ListedFile]:
        """The files of the last backup; none if it cannot be read: then all are looked at."""
        names = self.folder.names()
        if names:
            with suppress(BackupFailed):
                yield from read_listing(self.folder.root / names[-1] / LISTING)

    def _rows(self) -> Iterator[ListedFile]:
        """The files that have rows, as these say of them; what the last backup has may be missing.

        One that it has and that was touched meanwhile is read once more, which does no harm.
        """
        names = self.folder.names()
        since = moment_of(names[-1]) - _BEFORE if names else datetime.min.replace(tzinfo=UTC)
        for name, folder in sorted(self._folders.items()):
            for path, sha256, size_bytes in contents_of_rows(self.address, folder, since):
                yield ListedFile(f"{name}{path[len(folder) :]}".encode(), size_bytes, 0, sha256)

    def _take_some(self, files: Sequence[FileAndRow]) -> _Taken:
        done = _Taken()
        for file, row in files:
            self._take(file, row, done)
        return done

    def _take(self, file: ListedFile, row: ListedFile | None, done: _Taken) -> None:
        """A file with a row is never changed; another one is copied, and may be changing."""
        root, _, rest = os.fsdecode(file.path).partition("/")
        path = f"{self._folders[root]}/{rest}"
        try:
            if row and row.size_bytes == file.size_bytes and self._has(path, row.sha256, done):
                file.sha256 = row.sha256
            else:
                self._copy(file, path, row, done)
        except FileNotFoundError:
            return  # moved or removed since
        except PermissionError as fault:
            if fault.filename is None or os.fsdecode(fault.filename) != path:
                raise  # the folder of backups is what may not be written
            done.unread.append((file.path, str(fault.strerror)))
        except OSError as fault:
            if fault.errno != errno.EIO:
                raise
            done.unread.append((file.path, str(fault.strerror)))

    def _has(self, path: str, sha256: str, done: _Taken) -> bool:
        """Whether there is that content, after a link to the file if that can be made."""
        is_new = self.folder.link_in(path, sha256)
        if is_new is None:
            return self.folder.has(sha256)
        done.files_new += is_new
        return True

    def _copy(self, file: ListedFile, path: str, row: ListedFile | None, done: _Taken) -> None:
        sha256 = self.folder.copy_in(path)
        found = os.stat(path)  # noqa: PTH116
        if (found.st_size, found.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
            done.unread.append((file.path, _CHANGING))
            return
        if row and row.sha256 != sha256:
            done.unread.append(
                (file.path, "It is not what its row says: look at it with `anime verify`")
            )
        file.sha256 = sha256
        done.files_new += 1
        done.bytes_copied += file.size_bytes

    def _note(self, path: bytes, why: str) -> None:
        self.files_unread += 1
        if len(self.unread) < _MAX_LISTED:
            self.unread[os.fsdecode(path).encode(errors="backslashreplace").decode()] = why

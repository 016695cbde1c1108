"""The files of a backup, in the order of their paths; memory does not grow with their number.

A line has hash, size, time and path, and ends with NUL, so that any name fits. A path begins with
the name of its root. Two listings, and a listing and a walk, are compared as they are read. All of
it blocks: call it in a thread.
"""

import gzip
import os
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from anime.assets.store import INCOMING, flush_to_disk
from anime.errors import BackupFailed

_END = b"\0"
_HASH = 64  # characters
_READ_BYTES = 1024 * 1024
_UNFINISHED = re.compile(rb"\..*\.tmp")  # as the store names what is not whole yet
# What is made again when it is asked for, or not whole yet.
_LEFT_OUT = frozenset({INCOMING.encode(), b".thumbnails"})


@dataclass(slots=True)
class ListedFile:
    """A file of a backup. `path` begins with its root's name; the time is in nanoseconds."""

    path: bytes
    size_bytes: int
    mtime_ns: int
    sha256: str = ""

    @property
    def key(self) -> bytes:
        """What listings are ordered by: a folder's files come together."""
        return self.path.replace(b"/", b"\0")

    @property
    def root(self) -> str:
        """The name of its root."""
        return os.fsdecode(self.path).partition("/")[0]

    def place_in(self, roots: Mapping[str, Path]) -> Path:
        """Where it is, or is to be."""
        root, _, rest = os.fsdecode(self.path).partition("/")
        return roots[root] / rest


class ListingWriter(AbstractContextManager["ListingWriter"]):
    """Writes a new listing, to be used in `with`."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("xb")
        self._packed = gzip.GzipFile(fileobj=self._stream, mode="wb", compresslevel=1, mtime=0)

    def write(self, files: Iterable[ListedFile]) -> None:
        """Append lines."""
        self._packed.write(
            b"".join(
                b"%b %d %d %b\0" % (each.sha256.encode(), each.size_bytes, each.mtime_ns, each.path)
                for each in files
            )
        )

    def __exit__(self, *_: object) -> None:
        try:
            self._packed.close()
            flush_to_disk(self._stream)
        finally:
            self._stream.close()


def read_listing(path: Path) -> Iterator[ListedFile]:
    """The files of a listing.

    Raises:
        BackupFailed: it is damaged.
    """
    with _damage_told(path):
        for line in _lines(path):
            sha256, size_bytes, mtime_ns, where = line.split(b" ", 3)
            yield ListedFile(where, int(size_bytes), int(mtime_ns), sha256.decode("ascii"))


def hashes_in(path: Path, among: Collection[str]) -> set[str]:
    """Those of the hashes that a listing has; its other lines are passed over quickly.

    Raises:
        BackupFailed: it is damaged.
    """
    wanted = {sha256.encode() for sha256 in among}
    with _damage_told(path):
        return {line[:_HASH].decode() for line in _lines(path) if line[:_HASH] in wanted}


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, zlib.error) as fault:
        raise BackupFailed(
            f"The listing {path} is damaged: {fault}.",
            "Take another backup; this one is not whole.",
        ) from fault


def _lines(path: Path) -> Iterator[bytes]:
    rest = b""
    with gzip.open(path) as stream:
        while chunk := stream.read(_READ_BYTES):
            *whole, rest = (rest + chunk).split(_END)
            yield from whole
    if rest:
        raise ValueError("its last line is cut off")


@dataclass(slots=True)
class FolderWalk:
    """The regular files below roots, in the order of a listing, and what is passed over."""

    roots: Mapping[str, Path]
    unread: Callable[[bytes, OSError], None]
    links: int = 0

    def files(self) -> Iterator[ListedFile]:
        """Each file, without its hash. Links are counted, not followed."""
        for name in sorted(self.roots):
            yield from self._below(os.fsencode(self.roots[name]), name.encode())

    def _below(self, folder: bytes, shown: bytes) -> Iterator[ListedFile]:
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as fault:
            self.unread(shown, fault)
            return
        for entry in found:
            name, path = entry.name, shown + b"/" + entry.name
            if name in _LEFT_OUT or _UNFINISHED.fullmatch(name):
                continue
            if entry.is_symlink():
                self.links += 1
            elif entry.is_dir(follow_symlinks=False):
                yield from self._below(entry.path, path)
            elif entry.is_file(follow_symlinks=False):
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:  # gone since
                    continue
                yield ListedFile(path, status.st_size, status.st_mtime_ns)


def with_known_hashes(
    walked: Iterable[ListedFile], before: Iterable[ListedFile]
) -> Iterator[ListedFile]:
    """The files of a walk; those that an earlier listing has the same get its hash."""
    for file, known in paired(walked, before):
        if known and (known.size_bytes, known.mtime_ns) == (file.size_bytes, file.mtime_ns):
            file.sha256 = known.sha256
        yield file


def hashes_only_in(files: Iterable[ListedFile], others: Iterable[ListedFile]) -> set[str]:
    """Hashes of the files that the other listing lacks or has with another content."""
    return {
        file.sha256
        for file, other in paired(files, others)
        if other is None or other.sha256 != file.sha256
    }


def paired(
    files: Iterable[ListedFile], others: Iterable[ListedFile]
) -> Iterator[tuple[ListedFile, ListedFile | None]]:
    """Each of the files with the other of its path, if there is one. Both are in order.

    Where the others are not, some are not found.
    """
    rest = iter(others)
    other = next(rest, None)
    other_key = other.key if other else b""
    for file in files:
        key = file.key
        while other is not None and other_key < key:
            other = next(rest, None)
            other_key = other.key if other else b""
        yield file, other if other is not None and other_key == key else None

"""The library on disk: files come in whole, and nothing is ever overwritten.

A file is written under a temporary name inside the library, flushed to the disk, and then
linked to its place. A link fails where something already is, so two writers of one name
cannot lose a picture between looking and writing.
"""

import asyncio
import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from anime.core.paths import next_name
from anime.errors import StorageError

INCOMING = ".incoming"  # temporary files; below the root, so that linking never crosses a disk
MIN_FREE_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_ABANDONED_SECONDS = 24 * 3600.0  # nobody writes one file for so long
_ADVICE = {
    errno.ENOSPC: "Free some space there, or point ANIME_LIBRARY_DIR to another disk.",
    errno.EDQUOT: "Free some of your quota there, or point ANIME_LIBRARY_DIR elsewhere.",
    errno.EROFS: "Mount it writable, or point ANIME_LIBRARY_DIR to a writable folder.",
    errno.EACCES: "Give this user the right to write there, or change ANIME_LIBRARY_DIR.",
    errno.EPERM: "Give this user the right to write there, or change ANIME_LIBRARY_DIR.",
    errno.ENOENT: "Mount or create it, or point ANIME_LIBRARY_DIR to a folder that exists.",
}
# What a link answers where a copy may still do: another disk, or a file system without links.
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


@dataclass(frozen=True)
class StoredFile:
    """A file that has come in whole and has no place yet."""

    path: Path
    sha256: str
    size_bytes: int


class _Incoming:
    """A temporary file that is being written."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.path = path
        self._stream = os.fdopen(descriptor, "wb")

    def write(self, chunk: bytes) -> None:
        """Append a piece."""
        self._stream.write(chunk)

    def close(self) -> None:
        """Bring everything down to the disk."""
        _flush_to_disk(self._stream)
        self._stream.close()

    def discard(self) -> None:
        """Take the file away, whatever state it is in."""
        with suppress(OSError):  # what is buffered may not fit on the disk
            self._stream.close()
        self.path.unlink(missing_ok=True)


class AssetStore:
    """A folder that finished files are put into."""

    def __init__(self, root: Path, *, may_create: bool = False) -> None:
        self.root = root
        self._may_create = may_create

    async def check(self) -> None:
        """Make sure that a file could be written now.

        Raises:
            StorageError: the folder is missing, not writable or (nearly) full.
        """
        await asyncio.to_thread(self._check)

    async def tidy(self) -> int:
        """How many temporary files were taken away that a killed program has left, a day ago."""
        return await asyncio.to_thread(self._tidy)

    async def receive(self, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Write a stream to a temporary file, hashing it on the way, down to the disk.

        Raises:
            StorageError: the library cannot take it; nothing is left behind.
        """
        incoming = await asyncio.to_thread(self._open_temporary)
        digest, size = hashlib.sha256(), 0
        try:
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                await asyncio.to_thread(self._write, incoming, chunk)
            await asyncio.to_thread(self._finish, incoming)
        except BaseException:
            await asyncio.to_thread(incoming.discard)
            raise
        return StoredFile(incoming.path, digest.hexdigest(), size)

    async def place(self, received: StoredFile, target: PurePosixPath) -> Path:
        """Give a received file its place, or the next free name beside it.

        The same content at the target counts as placed: doing it twice makes one file.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        return await asyncio.to_thread(self._place, received, target)

    def _check(self) -> None:
        try:
            if self._may_create:
                self.root.mkdir(parents=True, exist_ok=True)
            if not self.root.is_dir():
                raise FileNotFoundError(errno.ENOENT, "No such folder", str(self.root))
            self._open_temporary().discard()
            free = shutil.disk_usage(self.root).free
        except OSError as fault:
            raise storage_error(fault, self.root) from fault
        if free < MIN_FREE_BYTES:
            raise StorageError(
                f"The library {self.root} has only {free // 2**20} MB left on its disk.",
                _ADVICE[errno.ENOSPC],
            )

    def _tidy(self) -> int:
        gone = 0
        for path in (self.root / INCOMING).glob("*"):
            with suppress(OSError):  # another one was faster, or it is no file
                if time.time() - path.lstat().st_ctime > _ABANDONED_SECONDS:
                    path.unlink()
                    gone += 1
        return gone

    def _open_temporary(self) -> "_Incoming":
        try:
            incoming = self.root / INCOMING
            if self._may_create:
                incoming.mkdir(parents=True, exist_ok=True)
            elif not incoming.is_dir():
                incoming.mkdir()  # not its parents: a lost mount must not be mistaken for new
            descriptor, name = tempfile.mkstemp(dir=incoming)
        except OSError as fault:
            raise storage_error(fault, self.root) from fault
        return _Incoming(descriptor, Path(name))

    def _write(self, incoming: "_Incoming", chunk: bytes) -> None:
        try:
            incoming.write(chunk)
        except OSError as fault:
            raise storage_error(fault, self.root) from fault

    def _finish(self, incoming: "_Incoming") -> None:
        try:
            incoming.close()
        except OSError as fault:
            raise storage_error(fault, self.root) from fault

    def _place(self, received: StoredFile, target: PurePosixPath) -> Path:
        wanted = self.root / target
        try:
            wanted.parent.mkdir(parents=True, exist_ok=True)
            received.path.chmod(0o644)
            placed = _link_beside(received, wanted)
            sync_folder(placed.parent)
            received.path.unlink(missing_ok=True)
        except OSError as fault:
            raise storage_error(fault, wanted.parent) from fault
        return placed


def _link_beside(received: StoredFile, wanted: Path) -> Path:
    """Link to the wanted name, or to the first free one after it."""
    number = 1
    while True:
        candidate = wanted if number == 1 else wanted.with_name(next_name(wanted.name, number))
        try:
            link_or_copy(received.path, candidate)
        except FileExistsError:
            if sha256_of(candidate) == received.sha256:
                return candidate
            number += 1
        else:
            return candidate


def link_or_copy(source: Path, target: Path) -> None:
    """Make the target without overwriting; a copy where the file system has no links.

    Raises:
        FileExistsError: the target is there already.
        OSError: it cannot be made.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as fault:
        if fault.errno not in NO_LINKS:
            raise
        _copy_exclusively(source, target)


def _copy_exclusively(source: Path, target: Path) -> None:
    """Copy to a name that must be free; half a copy is taken away again."""
    with target.open("xb") as copy:
        try:
            with source.open("rb") as original:
                shutil.copyfileobj(original, copy)
            _flush_to_disk(copy)
        except BaseException:
            target.unlink()
            raise


async def chunks_of(path: Path) -> AsyncIterator[bytes]:
    """The content of a file, read in threads."""
    with path.open("rb") as stream:
        while chunk := await asyncio.to_thread(stream.read, _CHUNK_BYTES):
            yield chunk


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush_to_disk(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make a new name in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(fault: OSError, place: Path) -> StorageError:
    """What the operating system's refusal means for a person."""
    reason = os.strerror(fault.errno) if fault.errno else str(fault)
    advice = _ADVICE.get(fault.errno or 0, "Look at the disk and at ANIME_LIBRARY_DIR.")
    return StorageError(f"The library cannot write to {place}: {reason}.", advice)

"""How files come into being: whole, and never over another. Nothing else here writes any.

A file is written under a temporary name on the disk it is for, flushed, and then linked to its
place. A link fails where something already is, so two writers of one name cannot lose a picture
between looking and writing. Where links are refused, a copy to a name that must be free does it.
"""

import asyncio
import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeAlias, TypeVar

from anime.assets.folder_reader import ANSWER_SECONDS, FolderReader
from anime.core.paths import names_beside
from anime.errors import InvalidRequest, StorageError, StorageTimedOut, StorageUnavailable

if TYPE_CHECKING:
    from anime.settings import Settings

T = TypeVar("T")
InThread: TypeAlias = Callable[..., Awaitable[Any]]  # has a function called in a thread

INCOMING = ".incoming"  # temporary files; below the root, so that linking never crosses a disk
MIN_FREE_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
RESTART_SECONDS = 600.0  # a file server that restarts costs a run a wait, and not its job
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
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


@dataclass(frozen=True)
class StoredFile:
    """A file that has come in whole and has no place yet."""

    path: Path
    sha256: str
    size_bytes: int


class AssetStore:
    """A folder that finished files are put into.

    Its disk is used in threads of its own: on a network mount whose server is gone, each call
    hangs, and is given up after `seconds` with StorageTimedOut, in which it is `called` that.
    """

    def __init__(
        self,
        root: Path,
        *,
        may_create: bool = False,
        seconds: float = RESTART_SECONDS,
        called: str = "library",
    ) -> None:
        self.root = root
        self.disk = FolderReader(root, called=called)
        self._may_create = may_create
        self._seconds = seconds

    @classmethod
    def of(cls, settings: "Settings", *, seconds: float = RESTART_SECONDS) -> Self:
        """The studio's library; of its own default folder, it is made."""
        return cls(settings.library, may_create=settings.library_dir is None, seconds=seconds)

    async def in_thread(self, call: Callable[..., T], *arguments: object, **named: object) -> T:
        """What the call returns or raises.

        Raises:
            StorageTimedOut: it takes too long.
        """
        return await self.disk.run(partial(call, *arguments, **named), seconds=self._seconds)

    async def check(self) -> None:
        """Make sure that a file could be written now.

        Raises:
            StorageError: the folder is missing, not writable or (nearly) full.
        """
        await self.in_thread(self._check)

    async def tidy(self) -> int:
        """How many temporary files were taken away that a killed program has left, a day ago."""
        return await self.in_thread(self._tidy)

    async def receive(self, chunks: AsyncIterable[bytes]) -> StoredFile:
        """Write a stream to a temporary file, hashing it on the way, down to the disk.

        Raises:
            StorageError: the library cannot take it; nothing is left behind.
        """
        draft = await self.in_thread(self._draft)
        digest, size, is_whole = hashlib.sha256(), 0, False
        stream: FileIO | None = None

        def close() -> None:
            try:
                if stream is not None:
                    stream.close()
            finally:
                if not is_whole:
                    draft.unlink(missing_ok=True)

        async with self.cleaned_up(close):
            stream = await self.in_thread(draft.open, "wb", buffering=0)
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                with storage_faults(self.root):
                    await self.in_thread(_write_all, stream, chunk)
            with storage_faults(self.root):
                await self.in_thread(flush_to_disk, stream)
            is_whole = True
        return StoredFile(draft, digest.hexdigest(), size)

    async def place(self, received: StoredFile, target: PurePosixPath) -> Path:
        """Give a received file its place, or the next free name beside it.

        The same content at the target counts as placed: doing it twice makes one file.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        return await self.in_thread(self._place, received, target)

    @asynccontextmanager
    async def placed_or_removed(self, received: StoredFile) -> AsyncIterator[None]:
        """A received file that has no place when the block ends is removed."""
        async with self.cleaned_up(partial(received.path.unlink, missing_ok=True)):
            yield

    async def chunks_of(self, path: Path) -> AsyncIterator[bytes]:
        """The content of a file of this disk. Raises StorageTimedOut: it takes too long."""
        stream: FileIO = await self.in_thread(path.open, "rb", buffering=0)
        async with self.cleaned_up(stream.close):
            async for chunk in chunks_in(stream, self.in_thread):
                yield chunk

    async def sha256_of(self, path: Path) -> str:
        """The SHA-256 of a file of this disk, however large; raises as `chunks_of`, and OSError."""
        digest = hashlib.sha256()
        async for chunk in self.chunks_of(path):
            digest.update(chunk)
        return digest.hexdigest()

    @asynccontextmanager
    async def cleaned_up(self, clean_up: Callable[[], None]) -> AsyncIterator[None]:
        """Have it cleaned up when the block ends.

        A disk that did not answer is not waited for once more: it is cleaned up when that is back.
        """
        try:
            yield
        except StorageUnavailable:
            with suppress(StorageTimedOut):
                await self.disk.run(clean_up, seconds=ANSWER_SECONDS)
            raise
        except BaseException:
            await self.in_thread(clean_up)
            raise
        await self.in_thread(clean_up)

    def _check(self) -> None:
        with storage_faults(self.root):
            self._draft().unlink()
            free = shutil.disk_usage(self.root).free
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

    def _draft(self) -> Path:
        with storage_faults(self.root):
            if self._may_create:
                self.root.mkdir(parents=True, exist_ok=True)
            return new_draft(self.root / INCOMING)

    def _place(self, received: StoredFile, target: PurePosixPath) -> Path:
        wanted = self.root / target
        with storage_faults(wanted.parent):
            wanted.parent.mkdir(parents=True, exist_ok=True)
            received.path.chmod(0o644)
            placed = place_beside(received.path, wanted, received.sha256)
            sync_folder(placed.parent)
            received.path.unlink(missing_ok=True)
        return placed


def write_file(
    target: Path, content: bytes, *, drafts: Path | None = None, replaces: bool = False
) -> None:
    """Write a small file; `drafts`: the folder it is written in first, its own if left out.

    Raises:
        FileExistsError: there is one already, and it is not to be replaced.
        OSError: the disk cannot take it; what was there is untouched.
    """
    with draft_in(drafts or target.parent) as draft:
        with draft.open("wb") as stream:
            stream.write(content)
            flush_to_disk(stream)
        draft.chmod(0o644)
        draft.replace(target) if replaces else link_or_copy(draft, target)


def write_new(path: Path, content: bytes) -> None:
    """Write a file where somebody has asked for it, whole and over no other.

    Raises:
        InvalidRequest: there is one already.
        StorageError: it cannot be written.
    """
    try:
        write_file(path, content)
    except FileExistsError:
        raise InvalidRequest(f"{path} is there already.", "Give another name.") from None
    except OSError as fault:
        raise StorageError(
            f"{path} cannot be written: {fault.strerror}.", "Give a folder that you may write."
        ) from fault


@contextmanager
def draft_in(folder: Path) -> Iterator[Path]:
    """An empty file for what is not whole yet; gone with the block, unless it has got a name."""
    draft = new_draft(folder)
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def new_draft(folder: Path) -> Path:
    """An empty file. Of the folder's parents none is made: a lost mount is not a new one."""
    folder.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
    os.close(descriptor)
    return Path(name)


def place_beside(source: Path, wanted: Path, sha256: str) -> Path:
    """Where the file is now: at the wanted name, or the first free one like it.

    One with the same content counts as placed.

    Raises:
        OSError: the folder cannot take it, or has very many files of that name.
    """
    for name in names_beside(wanted.name, sha256):
        target = wanted.with_name(name)
        try:
            link_or_copy(source, target)
        except FileExistsError:
            if target.is_file() and sha256_of(target) == sha256:
                return target
        else:
            return target
    raise OSError(errno.EEXIST, "Every name like it is taken", str(wanted))


def link_or_copy(source: Path, target: Path) -> None:
    """Make the target without overwriting; a copy where the file system has no links.

    Raises:
        FileExistsError: the target is there already.
        OSError: it cannot be made.
    """
    if not link(source, target):
        with target.open("xb") as copied:
            try:
                with source.open("rb") as original:
                    shutil.copyfileobj(original, copied)
                flush_to_disk(copied)
            except BaseException:
                target.unlink()
                raise


def link(source: str | Path, target: str | Path) -> bool:
    """Whether the file has the other name now; False where there are no links.

    Raises:
        FileExistsError: something has that name.
        OSError: it cannot be linked, and not be copied either.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as fault:
        if fault.errno in _NO_LINKS:
            return False
        raise
    return True


async def chunks_of(path: Path) -> AsyncIterator[bytes]:
    """The content of a file that may lie on any disk, opened, read and closed in threads."""
    stream = await asyncio.to_thread(path.open, "rb", buffering=0)
    try:
        async for chunk in chunks_in(stream):
            yield chunk
    finally:
        await asyncio.to_thread(stream.close)


async def chunks_in(
    stream: BinaryIO | FileIO, in_thread: InThread = asyncio.to_thread
) -> AsyncIterator[bytes]:
    """What is left of an open file, read in threads."""
    while chunk := await in_thread(stream.read, _CHUNK_BYTES):
        yield chunk


def copy_hashed(source: BinaryIO, target: BinaryIO) -> str:
    """The SHA-256 of what was copied, down to the disk."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    flush_to_disk(target)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_of(path: Path) -> str | None:
    """The SHA-256 of the file; None where it cannot be read."""
    try:
        return sha256_of(path)
    except OSError:
        return None


def flush_to_disk(stream: BinaryIO) -> None:
    """Make what was written survive a power cut."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make a new name in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_faults(place: Path) -> Iterator[None]:
    """What the operating system refuses at that place becomes a StorageError for a person."""
    try:
        yield
    except OSError as fault:
        reason = os.strerror(fault.errno) if fault.errno else str(fault)
        advice = _ADVICE.get(fault.errno or 0, "Look at the disk and at ANIME_LIBRARY_DIR.")
        raise StorageError(f"The library cannot write to {place}: {reason}.", advice) from fault


@contextmanager
def reading_faults(place: Path) -> Iterator[None]:
    """What the operating system refuses when the place is read becomes an error to wait out.

    A mount that is sick may be well again later.
    """
    try:
        yield
    except OSError as fault:
        raise StorageUnavailable(
            f"{place} cannot be read: {fault.strerror or fault}.",
            "Look at the disk or mount that it is on.",
        ) from fault


def _write_all(stream: FileIO, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[stream.write(left) :]

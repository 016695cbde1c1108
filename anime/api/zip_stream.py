"""Files of the library in one ZIP, written while it is sent: nothing of it is kept."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from io import RawIOBase
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from anime.assets.folder_reader import ANSWER_SECONDS, FolderReader, FoundFile
from anime.core.paths import next_name
from anime.errors import StorageUnavailable

PIECE_BYTES = 2**20
MISSING = "missing.txt"
_FIRST_YEAR = 1980  # of ZIP's calendar
_CHANGED = "it changed or went away while it was read"


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file that is wanted; `found` is None if it is not there, and `missing` says why."""

    label: str
    name: str
    found: FoundFile | None = None
    missing: str = ""


class _Pieces(RawIOBase):
    """Collects what a ZipFile writes; it cannot seek."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, piece: bytes) -> int:  # type: ignore[override]  # ZipFile writes only these
        self._written += piece
        return len(piece)

    def take(self) -> bytes:
        """What was written since the last call."""
        taken, self._written = bytes(self._written), bytearray()
        return taken


async def zip_of(entries: Sequence[ZipEntry], library: FolderReader) -> AsyncGenerator[bytes, None]:
    """The ZIP, piece by piece, uncompressed: pictures are already.

    What is missing, or vanishes meanwhile, stands in its `missing.txt`.
    """
    pieces, names = _Pieces(), set[str]()
    missing = [f"{each.label}: {each.missing}" for each in entries if each.found is None]
    with ZipFile(pieces, "w", ZIP_STORED) as archive:
        for entry in entries:
            if entry.found is None:
                continue
            info = ZipInfo(_free_name(entry.name, names), _moment(entry.found))
            info.file_size = entry.found.status.st_size  # by which the form of its header is chosen
            written = _written(archive, info, entry.found, library, pieces)
            try:
                async with aclosing(written):  # before the ZIP, if the client leaves meanwhile
                    async for piece in written:
                        yield piece
            except (OSError, StorageUnavailable):
                missing.append(f"{entry.label}: {_CHANGED}")
        if missing:
            archive.writestr(MISSING, "\n".join(missing) + "\n")
    yield pieces.take()


async def _written(
    archive: ZipFile, info: ZipInfo, file: FoundFile, library: FolderReader, pieces: _Pieces
) -> AsyncGenerator[bytes, None]:
    """The pieces of one file. Raises OSError, StorageUnavailable: it cannot be read."""

    async def read(start: int) -> bytes:
        return await library.run(partial(_piece_of, file.path, start), seconds=ANSWER_SECONDS)

    content, size = await read(0), 0
    with archive.open(info, "w") as target:
        while content:
            size += target.write(content)
            yield pieces.take()
            content = await read(size)


def _piece_of(path: Path, start: int) -> bytes:
    """Opened and closed in one thread: to close a file takes as long as a read of it that hangs."""
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(PIECE_BYTES)


def _free_name(name: str, names: set[str]) -> str:
    """The name, or one with a number if another file of the ZIP has it, in whatever case."""
    free, number = name, 2
    while free.casefold() in names | {MISSING}:
        free = next_name(name, number)
        number += 1
    names.add(free.casefold())
    return free


def _moment(file: FoundFile) -> tuple[int, int, int, int, int, int]:
    found = time.localtime(file.status.st_mtime)
    return max(found.tm_year, _FIRST_YEAR), *found[1:6]

"""Looking into files of the library, several at once."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from anime.assets.importer.reader_pool import usable_cores
from anime.assets.inspection import inspect_file
from anime.assets.inventory.walk import LibraryFile
from anime.assets.metadata import Recipe
from anime.assets.provenance import Provenance, read_provenance
from anime.assets.store import sha256_of
from anime.core.paths import FileKind, media_type_of, owner_of
from anime.core.png_metadata import FileStamp, read_stamp
from anime.errors import StorageError, UnusableFile, UnusableReason

_CHUNK = 16  # files that a thread looks into before it says so: each word wakes the event loop


@dataclass(frozen=True, slots=True)
class InspectedFile:
    """What a file is, and all that tells where it comes from."""

    file: LibraryFile
    sha256: str
    media_type: str
    kind: FileKind | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    recipe: Recipe = field(default_factory=Recipe)
    stamp: FileStamp | None = None
    origin: Provenance | None = None


@dataclass(frozen=True, slots=True)
class UnusableLibraryFile:
    """A file that gets no row, and why in a sentence."""

    file: LibraryFile
    why: str


class InspectionPool:
    """Threads that look, one a core: hashing and decoding let go of the interpreter."""

    def __init__(self, library: Path) -> None:
        self._library = library
        self._threads = ThreadPoolExecutor(usable_cores(), "look")

    async def inspect_library_file(
        self, files: Sequence[LibraryFile]
    ) -> list[InspectedFile | UnusableLibraryFile]:
        """What is in each file, in their order."""
        loop = asyncio.get_running_loop()
        chunks = [files[at : at + _CHUNK] for at in range(0, len(files), _CHUNK)]
        looks = await asyncio.gather(
            *(loop.run_in_executor(self._threads, _look_into, self._library, c) for c in chunks)
        )
        return [look for chunk in looks for look in chunk]

    async def hash(self, files: Sequence[Path]) -> list[str | None]:
        """The SHA-256 of each file in their order; None where it cannot be read."""
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            *(loop.run_in_executor(self._threads, _hash, file) for file in files)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)


def _look_into(
    library: Path, files: Sequence[LibraryFile]
) -> list[InspectedFile | UnusableLibraryFile]:
    return [inspect_library_file(library, file) for file in files]


def inspect_library_file(library: Path, file: LibraryFile) -> InspectedFile | UnusableLibraryFile:
    """What the file is and where it comes from. It blocks."""
    try:
        look = _examined(file)
        origin = read_provenance(library, look.sha256, owner=owner_of(str(file.place)))
    except (StorageError, OSError) as fault:
        return UnusableLibraryFile(file, getattr(fault, "what", str(fault)))
    if look.kind is None and origin is None:
        return UnusableLibraryFile(
            file, f"{file.path.name} is no picture, film or sound, and nobody's output."
        )
    return replace(look, origin=origin)


def _examined(file: LibraryFile) -> InspectedFile:
    """What the file itself says; of one that is no media, only its hash.

    Raises:
        StorageError: it cannot be read, or it is media and not whole.
    """
    try:
        found = inspect_file(file.path, name=str(file.place))
    except UnusableFile as fault:
        if fault.reason is not UnusableReason.NOT_MEDIA:
            raise
        return InspectedFile(file, sha256_of(file.path), media_type_of(file.path.name))
    return InspectedFile(
        file,
        found.sha256,
        found.media_type,
        found.kind,
        width=found.width,
        height=found.height,
        frames=found.frames,
        recipe=found.recipe(),
        stamp=read_stamp(found.texts),
    )


def _hash(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None

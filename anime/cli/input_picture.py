"""Copies an input picture into the library, for workflows that start from one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from anime.assets.store import AssetStore, chunks_of, sha256_of
from anime.core.paths import INPUTS_FOLDER
from anime.errors import InvalidRequest
from anime.settings import Settings

KINDS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})


def check_picture(path: Path) -> None:
    """Make sure that the file can be an input picture.

    Raises:
        InvalidRequest: it is missing, or ComfyUI does not load its kind.
    """
    if not path.is_file():
        if path.exists():  # a folder, or a pipe, whose kind no name tells
            raise InvalidRequest(f"{path} is no file.", "Give --image a picture in a file.")
        raise InvalidRequest(f"There is no file {path}.", "Give --image an existing picture.")
    if path.suffix.lower() not in KINDS:
        raise InvalidRequest(
            f"{path.name} is no picture by its name.",
            f"Give --image one that ends in {', '.join(sorted(KINDS))}.",
        )


async def name_in_library(path: Path) -> str:
    """The path of the picture's copy, relative to the library; it follows from the content.

    Raises:
        InvalidRequest: it cannot be read.
    """
    try:
        digest = await asyncio.to_thread(sha256_of, path)
    except OSError as fault:
        raise _unreadable(path, fault) from fault
    return f"{INPUTS_FOLDER}/{digest}{path.suffix.lower()}"


async def store_input_picture(path: Path, name: str, settings: Settings) -> None:
    """Put a copy of the picture into the library, unless it is there.

    Raises:
        StorageError: the library cannot store it.
    """
    library = AssetStore.of(settings)
    if not await asyncio.to_thread((library.root / name).is_file):
        await library.place(await library.receive(_chunks(path)), PurePosixPath(name))


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks_of(path):
            yield chunk
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _unreadable(path: Path, fault: OSError) -> InvalidRequest:
    return InvalidRequest(f"{path} cannot be read: {fault.strerror}.", "Give a file you may read.")

"""Pictures that people hand in, kept in the library under the hash of their content."""

from collections.abc import AsyncIterable, AsyncIterator
from pathlib import PurePosixPath

from pydantic import BaseModel, Field

from anime.assets.inspection.facts import Inspection
from anime.assets.inspection.whole_file import inspect_upload
from anime.assets.store import AssetStore
from anime.core.paths import INPUTS_FOLDER, FileKind
from anime.core.references import MAX_REFERENCE_BYTES
from anime.errors import UnusableFile, UnusableReason

# What ComfyUI's LoadImage reads, by media type.
_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
}


class InputPicture(BaseModel):
    """A picture that requests can name."""

    name: str = Field(description="What a request calls it: its path in the library.")
    sha256: str
    width: int | None
    height: int | None


async def store_picture(
    library: AssetStore, chunks: AsyncIterable[bytes], *, name: str
) -> InputPicture:
    """The picture in the library, once its content is known to be one. `name` is for messages.

    Twice is harmless: it has its hash for a name.

    Raises:
        UnusableFile: it is no picture that workflows take, damaged or too large.
        StorageError: the library cannot store it.
    """
    received = await library.receive(limited(chunks, name))
    async with library.placed_or_removed(received):
        facts = await inspect_upload(received.path, name=name)
        target = f"{INPUTS_FOLDER}/{facts.sha256}{_suffix_of(facts, name)}"
        placed = await library.place(received, PurePosixPath(target))
    return InputPicture(
        name=placed.relative_to(library.root).as_posix(),
        sha256=received.sha256,
        width=facts.width,
        height=facts.height,
    )


def _suffix_of(facts: Inspection, name: str) -> str:
    suffix = _SUFFIXES.get(facts.media_type)
    if suffix is None or facts.kind is not FileKind.IMAGES:
        raise UnusableFile(
            f"{name} is no picture that workflows take: it is {facts.media_type}.",
            "Give a PNG, JPEG, WEBP, GIF or BMP with one frame.",
            reason=UnusableReason.NOT_MEDIA,
        )
    return suffix


async def limited(chunks: AsyncIterable[bytes], name: str) -> AsyncIterator[bytes]:
    """The chunks. Raises UnusableFile once there are more bytes than an input picture may have."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > MAX_REFERENCE_BYTES:
            raise UnusableFile(
                f"{name} has more than {MAX_REFERENCE_BYTES // 2**20} MB.",
                "Give a smaller picture: workflows scale references down anyway.",
                reason=UnusableReason.TOO_LARGE,
            )
        yield chunk

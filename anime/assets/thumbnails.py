"""Small pictures of large ones."""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps
from pydantic import Base64Bytes

from anime.assets.inspection.limits import decoding, refuse_too_large
from anime.assets.limited_process import LimitedFunction, ask_of_each, call_kept
from anime.assets.store import InThread, draft_in
from anime.core.media_types import HEAD_BYTES, media_type_by_content
from anime.core.thumbhash import MOST_PX, thumbhash
from anime.errors import AnimeError, UnusableFile

THUMBNAIL_PX = 384
PROXY_PX = 1600


async def draw_thumbnail(
    source: Path,
    target: Path,
    px: int = THUMBNAIL_PX,
    *,
    in_thread: InThread = asyncio.to_thread,
) -> str:
    """Write the first frame, at most `px` wide and high, as WEBP; replaces the target.

    It is drawn in the process with limits that is kept for such work, and written `in_thread`.
    Returns its colours, as `colours_of`.

    Raises:
        UnusableFile: the source has nothing to show, or cannot be decoded.
        OSError: the source cannot be read, or the target cannot be written.
    """
    died = UnusableFile(
        f"{source.name} cannot be drawn: its decoder crashed, or took too much time or memory.",
        "Nothing: the file is in the library, without a thumbnail.",
    )
    drawn = await call_kept(died, _DRAW, source, px)
    colours: str = await in_thread(_written, drawn, target)
    return colours


class DrawnThumbnail(NamedTuple):
    """A thumbnail, and its colours."""

    webp: Base64Bytes
    colours: str


def thumbnail_of(source: Path, px: int) -> DrawnThumbnail:
    """What `draw_thumbnail` writes; raises the same, and draws it here."""
    small, webp = first_frame(source, px), BytesIO()
    small.thumbnail((px, px))
    small.save(webp, "WEBP", quality=82)
    return DrawnThumbnail(webp.getvalue(), colours_of(small))


_DRAW = LimitedFunction(thumbnail_of, DrawnThumbnail)


def colours_of_thumbnails(paths: Sequence[Path]) -> list[str | None]:
    """The colours of each; None of one that cannot be read. It blocks."""
    return ask_of_each(_COLOURS, paths)


def _colours_in(paths: Sequence[Path]) -> list[str | None]:
    return [_colours_in_file(path) for path in paths]


def _colours_in_file(path: Path) -> str | None:
    try:
        with decoding(path.name), Image.open(path) as picture:
            refuse_too_large(path.name, *picture.size)
            return colours_of(picture)
    except (OSError, AnimeError):
        return None


_COLOURS = LimitedFunction(_colours_in, list[str | None])


def _written(drawn: DrawnThumbnail, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    with draft_in(target.parent) as draft:
        draft.write_bytes(drawn.webp)
        draft.chmod(0o644)
        draft.replace(target)
    return drawn.colours


def colours_of(picture: Image.Image) -> str:
    """The picture's ThumbHash in base64, for a page to show until the picture has come."""
    tiny = picture.convert("RGB")
    tiny.thumbnail((MOST_PX, MOST_PX), Image.Resampling.BOX)
    return b64encode(thumbhash(*tiny.size, tiny.tobytes())).decode()


def first_frame(source: Path, px: int = THUMBNAIL_PX) -> Image.Image:
    """What a picture or film shows first, upright; of a sound its cover.

    It is in RGB, or RGBA where a part of it is transparent. A JPEG may come smaller than it is,
    though no smaller than `px`.

    Raises:
        UnusableFile: the source has nothing to show, or cannot be decoded.
        OSError: the source cannot be read.
    """
    with source.open("rb") as stream:
        media_type = media_type_by_content(stream.read(HEAD_BYTES)) or ""
        stream.seek(0)
        if not media_type.startswith("image/") or media_type in {"image/heic", "image/x-exr"}:
            from anime.assets.inspection.clips import (
                first_picture,  # FFmpeg is large: only for films
            )

            return first_picture(stream, source.name, media_type)
        with decoding(source.name), Image.open(stream) as picture:
            refuse_too_large(source.name, *picture.size)
            picture.draft("RGB", (2 * px, 2 * px))
            return _in_colours(ImageOps.exif_transpose(picture))


def _in_colours(picture: Image.Image) -> Image.Image:
    """The picture in RGB or RGBA; 65,535 of 16 bits is white, which Pillow does of 255."""
    if picture.mode.startswith("I"):
        picture = picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")

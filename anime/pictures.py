"""Looking into pictures and drawing small ones. All of it blocks: call it in a thread."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from anime.core.png_metadata import exif_texts, png_texts
from anime.core.sheet import Sheet
from anime.errors import StorageError

THUMBNAIL_PX = 384
_TEXT_BYTES = 16 * 1024 * 1024  # of a PNG: its texts come before its pixels
_PAPER, _INK = (24, 22, 30), (232, 228, 238)
_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)


@dataclass(frozen=True)
class PictureFacts:
    """What decoding a picture tells: size in pixels and number of frames."""

    width: int
    height: int
    frames: int


def inspect_picture(path: Path, name: str) -> PictureFacts:
    """Decode every frame once: a truncated file does not get past this.

    Raises:
        StorageError: the file, called `name` in the message, is no picture or not a whole one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                frames = getattr(picture, "n_frames", 1)
                for number in range(frames):
                    picture.seek(number)
                    picture.load()
                return PictureFacts(picture.width, picture.height, frames)
    except (OSError, SyntaxError, ValueError, *_BOMBS) as fault:
        raise StorageError(
            f"{name} is not a whole picture: {fault}.",
            "Look at the disk of the ComfyUI server and run the generation again.",
        ) from fault


def texts_in(path: Path) -> dict[str, str]:
    """The texts ComfyUI wrote into a PNG or WEBP, by name; none for anything else.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        beginning = stream.read(_TEXT_BYTES)
    if texts := png_texts(beginning):
        return texts
    try:
        with Image.open(path) as picture:
            return exif_texts(picture.getexif())
    except (UnidentifiedImageError, SyntaxError, ValueError, *_BOMBS):
        return {}


def draw_thumbnail(source: Path, target: Path) -> None:
    """Write the first frame, at most 384 pixels wide and high, as WEBP; replaces the target.

    Raises:
        OSError: the source is no picture, or the target cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        with Image.open(source) as picture:
            small = picture.convert("RGB")
            small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
            small.save(temporary, "WEBP", quality=82)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def draw_sheet(sheet: Sheet, pictures: Sequence[Path], target: Path) -> None:
    """Write a contact sheet as PNG: a picture in each cell, its caption below; replaces the target.

    Raises:
        OSError: a picture cannot be read, or the target cannot be written.
    """
    paper = Image.new("RGB", sheet.size, _PAPER)
    pen = ImageDraw.Draw(paper)
    font = ImageFont.load_default(sheet.caption_px)
    for cell, path in zip(sheet.cells, pictures, strict=True):
        with Image.open(path) as picture:
            fitted = ImageOps.contain(picture.convert("RGB"), cell.picture_size)
        paper.paste(fitted, cell.picture_at(fitted.size))
        pen.text(cell.caption_at, cell.caption, font=font, fill=_INK)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        paper.save(temporary, "PNG")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)

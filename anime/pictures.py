"""Looking into pictures and drawing small ones. All of it blocks: call it in a thread."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from anime.errors import StorageError

THUMBNAIL_PX = 384
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

"""Pictures that Pillow decodes: JPEG, WEBP, GIF and AVIF."""

from contextlib import suppress
from typing import BinaryIO

from PIL import ExifTags, Image

from anime.assets.inspection.facts import MediaFacts
from anime.assets.inspection.limits import (
    MAX_FRAMES,
    MAX_PICTURE_BYTES,
    decoding,
    refuse_too_large,
    unusable,
)
from anime.core.paths import FileKind
from anime.core.png_metadata import USER_COMMENT, exif_texts
from anime.errors import UnusableReason

_FORMATS = {
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
}
_DECODED_PIXELS = 2**30  # of all frames together: a few seconds; the rest are only counted
_MILLISECONDS = 1000


def read_picture(stream: BinaryIO, name: str, media_type: str, *, size: int) -> MediaFacts:
    """The facts of a picture of `size` bytes, its frames decoded.

    Raises:
        UnusableFile: it is cut short, damaged, forged or too large; `name` is in the message.
        OSError: the disk fails.
    """
    if size > MAX_PICTURE_BYTES:
        raise unusable(UnusableReason.TOO_LARGE, f"{name} has {size // 2**20} MB.")
    with decoding(name):
        try:
            picture = Image.open(stream, formats=(_FORMATS[media_type],))
        except Image.DecompressionBombError as fault:
            raise unusable(UnusableReason.TOO_LARGE, f"{name} is too large: {fault}.") from fault
        with picture:
            return _decoded(picture, name, media_type)


def _decoded(picture: Image.Image, name: str, media_type: str) -> MediaFacts:
    refuse_too_large(name, *picture.size)
    texts = _texts(picture)
    frames, milliseconds = _play(picture, name)
    is_animation = frames > 1
    return MediaFacts(
        media_type=media_type,
        kind=FileKind.VIDEOS if is_animation else FileKind.IMAGES,
        width=picture.width,
        height=picture.height,
        frames=frames,
        duration_seconds=milliseconds / _MILLISECONDS if is_animation else None,
        texts=texts,
    )


def _play(picture: Image.Image, name: str) -> tuple[int, float]:
    """The number of frames and how long they are shown, in milliseconds."""
    milliseconds = 0.0
    affordable = max(1, _DECODED_PIXELS // (picture.width * picture.height))
    for number in range(MAX_FRAMES + 1):
        try:
            picture.seek(number)
        except EOFError:
            return number, milliseconds
        if number < affordable:
            picture.load()
        milliseconds += picture.info.get("duration") or 0
    raise unusable(UnusableReason.TOO_LARGE, f"{name} has over {MAX_FRAMES} frames.")


def _texts(picture: Image.Image) -> dict[str, str]:
    """The texts in its EXIF; none where that is broken, as the picture may be whole."""
    with suppress(Exception):  # Pillow's reader of EXIF raises whatever it trips over
        exif = picture.getexif()
        comment = exif.get_ifd(ExifTags.IFD.Exif).get(USER_COMMENT)
        return exif_texts({**exif, USER_COMMENT: comment})
    return {}

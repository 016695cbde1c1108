"""Pictures that Pillow decodes: JPEG, WEBP, GIF, AVIF, TIFF and BMP.

Sources: Pillow 13.0 (`Image.info`, `Image.getexif`, `getiptcinfo`), Exif 2.32 for how a picture is
turned, IPTC's Information Interchange Model 4.2 for its caption.
"""

from contextlib import suppress
from typing import BinaryIO

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

from anime.assets.inspection.facts import SIDEWAYS, MediaFacts
from anime.assets.inspection.limits import (
    MAX_FRAMES,
    MAX_PICTURE_BYTES,
    decoding,
    refuse_too_large,
    unusable,
)
from anime.assets.metadata.embedded_texts import comment_texts, exif_texts, may_tell, xmp_texts
from anime.assets.metadata.novelai import hidden_texts
from anime.core.paths import FileKind
from anime.errors import UnusableReason

_FORMATS = {
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
    "image/tiff": "TIFF",
    "image/bmp": "BMP",
}
_DECODED_PIXELS = 2**30  # of all frames together: a few seconds; the rest are only counted
_MILLISECONDS = 1000
_CAPTION = (2, 120)  # of IPTC
_MAX_COMMENTS = 16


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


def _decoded(picture: ImageFile.ImageFile, name: str, media_type: str) -> MediaFacts:
    refuse_too_large(name, *picture.size)
    texts, orientation = picture_texts(picture), orientation_of(picture)
    frames, milliseconds = _play(picture, name)
    if media_type == "image/webp" and frames == 1 and not may_tell(texts):
        texts |= hidden_texts(picture.tobytes(), picture.mode, *picture.size)
    # Pages of a TIFF are no frames.
    is_animation = frames > 1 and media_type != "image/tiff"
    width, height = picture.size
    if orientation in SIDEWAYS:
        width, height = height, width
    return MediaFacts(
        media_type=media_type,
        kind=FileKind.VIDEOS if is_animation else FileKind.IMAGES,
        width=width,
        height=height,
        frames=frames if is_animation else 1,
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


def orientation_of(picture: Image.Image) -> int:
    """How the picture is to be turned to be shown, as EXIF has it; 1 is not at all."""
    with suppress(Exception):  # Pillow's reader of EXIF raises whatever it trips over
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _comments(picture: ImageFile.ImageFile) -> list[object]:
    """The last comment first; a JPEG that was a PNG may have one for each of its texts."""
    segments: list[tuple[str, bytes]] = getattr(picture, "applist", [])
    several = [segment for marker, segment in reversed(segments) if marker == "COM"]
    several.sort(key=lambda segment: not segment.startswith(b"parameters: "))
    return [*several[:_MAX_COMMENTS]] or [picture.info.get("comment")]


def picture_texts(picture: ImageFile.ImageFile) -> dict[str, str]:
    """The texts in its EXIF, XMP, IPTC caption and comments; none of those that are broken."""
    texts: dict[str, str] = {}
    with suppress(Exception):  # as above; the picture may be whole
        exif = picture.getexif()
        texts = exif_texts({**exif, **exif.get_ifd(ExifTags.IFD.Exif)})
    for name in ("xmp", "XML:com.adobe.xmp"):
        with suppress(Exception):
            texts = {**xmp_texts(picture.info.get(name)), **texts}
    for comment in _comments(picture):
        with suppress(Exception):
            texts = {**comment_texts(comment), **texts}
    with suppress(Exception):
        caption = (IptcImagePlugin.getiptcinfo(picture) or {})[_CAPTION]
        if isinstance(caption, bytes):
            texts.setdefault("Caption", caption.decode("utf-8", "replace"))
    return texts

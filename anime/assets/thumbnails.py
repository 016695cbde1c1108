"""Small pictures of large ones. It blocks: call it in a thread."""

from pathlib import Path

from PIL import Image, ImageOps

from anime.assets.inspection.limits import decoding, refuse_too_large
from anime.assets.store import draft_in
from anime.core.media_types import HEAD_BYTES, media_type_by_content

THUMBNAIL_PX = 384


def draw_thumbnail(source: Path, target: Path) -> None:
    """Write the first frame, at most 384 pixels wide and high, as WEBP; replaces the target.

    Raises:
        UnusableFile: the source has nothing to show, or cannot be decoded.
        OSError: the source cannot be read, or the target cannot be written.
    """
    small = first_frame(source)
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    target.parent.mkdir(parents=True, exist_ok=True)
    with draft_in(target.parent) as draft:
        small.save(draft, "WEBP", quality=82)
        draft.chmod(0o644)
        draft.replace(target)


def first_frame(source: Path) -> Image.Image:
    """What a picture or film shows first, upright; of a sound its cover.

    It is in RGB, or RGBA where a part of it is transparent. A JPEG may come smaller than it is,
    though no smaller than a thumbnail.

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
            picture.draft("RGB", (2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
            return _in_colours(ImageOps.exif_transpose(picture))


def _in_colours(picture: Image.Image) -> Image.Image:
    """The picture in RGB or RGBA; 65,535 of 16 bits is white, which Pillow does of 255."""
    if picture.mode.startswith("I"):
        picture = picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")

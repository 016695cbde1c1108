"""The pictures of cells, read from foreign files: plain pixels, which nobody decodes again.

It blocks, and hostile files may take the process down with them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import ImageOps
from pydantic import Base64Bytes

from anime.assets.thumbnails import first_frame
from anime.core.sheet_layout import Size
from anime.errors import AnimeError


class WantedPicture(NamedTuple):
    """The first of these files that can be read is wanted, no larger than that."""

    sources: tuple[Path, ...]
    size: Size


class CellPicture(NamedTuple):
    """A picture in RGB or RGBA, row by row."""

    mode: str
    size: Size
    pixels: Base64Bytes


def read_cell_pictures(wanted: Sequence[WantedPicture]) -> list[CellPicture | None]:
    """The picture of each; None where no file can be read."""
    return [_first_readable(each) for each in wanted]


def _first_readable(wanted: WantedPicture) -> CellPicture | None:
    for path in wanted.sources:
        try:
            picture = ImageOps.contain(first_frame(path), wanted.size)
        except (OSError, AnimeError):
            continue
        return CellPicture(picture.mode, picture.size, picture.tobytes())
    return None

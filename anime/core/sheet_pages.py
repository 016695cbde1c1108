"""A contact sheet of several pages: how many pictures each takes, and what is said of them."""

import math
from collections.abc import Mapping
from pathlib import PurePath

from anime.core.paths import next_name
from anime.core.sheet_layout import Size, cell_for
from anime.schemas import FileRecord

SHEETS_FOLDER = ".sheets"  # below the library: sheets without a place of their own
CELL_PX = 256
CAPTION_LINES = 3
DEFAULT_COLUMNS = 6
_A4 = math.sqrt(2)  # of its width
_ROW_PX = CELL_PX + CAPTION_LINES * 21 + 16
_COLUMN_PX = CELL_PX + 16


def pictures_per_page(columns: int | None) -> int:
    """How many pictures make the page as high, beside its width, as paper is.

    >>> pictures_per_page(None), pictures_per_page(3)
    (42, 9)
    """
    across = columns or DEFAULT_COLUMNS
    return across * max(1, round(across * _COLUMN_PX * _A4 / _ROW_PX))


def page_for(count: int, columns: int | None, *, is_only: bool) -> tuple[Size, int | None]:
    """The cells and columns of so many pictures; without columns, they stand as square as can be.

    Few of them on the only page may be large.
    """
    if columns is None and is_only:
        return cell_for(count), None
    return (CELL_PX, CELL_PX), columns or DEFAULT_COLUMNS


def page_path(first: PurePath, number: int) -> PurePath:
    """Where a page goes; they count from 1.

    >>> str(page_path(PurePath("rain.png"), 1)), str(page_path(PurePath("rain.png"), 2))
    ('rain.png', 'rain-2.png')
    """
    return first if number == 1 else first.with_name(next_name(first.name, number))


def caption_of(file: FileRecord) -> str:
    """Three lines: the name, how the prompt begins, the seed. What is not known is left empty."""
    seed = _text(file.metadata, "seed")
    return "\n".join(
        [file.filename, _text(file.metadata, "prompt"), f"seed {seed}" if seed else ""]
    )


def _text(metadata: Mapping[str, object], key: str) -> str:
    """What a producer wrote there, if it is a word or a number, on one line."""
    value = metadata.get(key)
    return " ".join(str(value).split()) if isinstance(value, str | int) else ""

"""Where the pictures and captions of a contact sheet go. All lengths are in pixels."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from anime.core.labels import shorten

Size = tuple[int, int]  # width, height
Point = tuple[int, int]  # from the left, from the top

_LETTER_WIDTH = 0.55  # of its height, on average, in the font Pillow brings
LINE_HEIGHT = 1.5  # of the letters, from one line to the next
_FEW = 36  # pictures that are shown in full size


@dataclass(frozen=True)
class Cell:
    """The box of one picture and the caption under it, whose lines are apart by newlines."""

    at: Point
    picture_size: Size
    caption: str
    caption_at: Point

    def picture_at(self, size: Size) -> Point:
        """Where a picture of that size goes to stand in the middle of the box."""
        left, top = self.at
        width, height = self.picture_size
        return left + (width - size[0]) // 2, top + (height - size[1]) // 2


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: its size, its grid, and one cell for each picture."""

    size: Size
    columns: int
    rows: int
    cells: tuple[Cell, ...]


def lay_out(
    captions: Sequence[str],
    *,
    cell_size: Size = (320, 320),
    columns: int | None = None,
    gap_px: int = 16,
    caption_px: int = 14,
) -> Sheet:
    """A sheet with one cell for each caption, row by row; as square as it can be by default.

    Each line of a caption is cut to the width of its cell; `caption_px` is the height of letters.
    """
    width, height = cell_size
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    line = math.ceil(caption_px * LINE_HEIGHT)
    pitch = width + gap_px, height + lines * line + gap_px
    across = columns or _squarest(len(captions), pitch)
    rows = math.ceil(len(captions) / across)
    cells = []
    for number, caption in enumerate(captions):
        row, column = divmod(number, across)
        left, top = gap_px + column * pitch[0], gap_px + row * pitch[1]
        fitting = "\n".join(fit(words, width / caption_px) for words in caption.split("\n"))
        cells.append(Cell((left, top), cell_size, fitting, (left, top + height)))
    size = gap_px + across * pitch[0], gap_px + max(rows, 1) * pitch[1]
    return Sheet(size, across, rows, tuple(cells))


def fit(text: str, room: float) -> str:
    """The text on one line, cut to the room, which is counted in heights of a letter.

    >>> fit("a girl on a rooftop", 6), fit("屋根の上の少女", 6)
    ('a girl on…', '屋根の上の…')
    """
    line = shorten(text, len(text))
    taken, letters = 0.0, 0
    for letter in line:
        taken += 1.0 if unicodedata.east_asian_width(letter) in "WF" else _LETTER_WIDTH
        if taken > room:
            break
        letters += 1
    return shorten(line, letters)


def cell_for(count: int) -> Size:
    """The size of a picture's box, smaller on a sheet of many.

    >>> cell_for(4), cell_for(100), cell_for(1000)
    ((320, 320), (192, 192), (128, 128))
    """
    side = 320 if count <= _FEW else max(128, round(320 * math.sqrt(_FEW / count)))
    return side, side


def _squarest(count: int, pitch: Size) -> int:
    """The number of columns that makes the sheet about as wide as high, none left empty."""
    wanted = round(math.sqrt(count * pitch[1] / pitch[0]))
    return max(1, min(count, wanted))

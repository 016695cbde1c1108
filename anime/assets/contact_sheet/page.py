"""Drawing one page of a contact sheet. All of it blocks: call it in a thread.

Its pictures are read in the process with limits, and only pasted here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from anime.assets.contact_sheet.cell_pictures import (
    CellPicture,
    WantedPicture,
    read_cell_pictures,
)
from anime.assets.contact_sheet.fonts import CaptionFonts
from anime.assets.limited_process import LimitedFunction, ask_of_each
from anime.core.sheet_layout import LINE_HEIGHT, Cell, Sheet, lay_out
from anime.core.sheet_pages import page_for

PAPER, INK, BOX, FAINT = (24, 22, 30), (232, 228, 238), (44, 41, 54), (150, 144, 165)
UNREADABLE = "cannot be read"
_BYTES = {"RGB": 3, "RGBA": 4}  # of a pixel


@dataclass(frozen=True, slots=True)
class SheetEntry:
    """What a cell shows: the first of these pictures that can be read, else the words."""

    sources: tuple[Path, ...]
    caption: str
    words: str = UNREADABLE


def draw_page(
    entries: Sequence[SheetEntry],
    lettering: CaptionFonts,
    *,
    columns: int | None = None,
    is_only: bool = True,
) -> Image.Image:
    """A page, laid out by `page_for`; a picture that cannot be read is a cell that says so."""
    cell_size, columns = page_for(len(entries), columns, is_only=is_only)
    sheet = lay_out(
        [entry.caption for entry in entries],
        cell_size=cell_size,
        columns=columns,
        caption_px=lettering.height_px,
    )
    page = Image.new("RGB", sheet.size, PAPER)
    pen = ImageDraw.Draw(page)
    spacing = lettering.height_px * (LINE_HEIGHT - 1)
    for cell, entry, read in zip(sheet.cells, entries, _read(sheet, entries), strict=True):
        picture = _picture_of(read, cell)
        if picture is None:
            _draw_words(pen, cell, entry.words, lettering)
        else:
            mask = picture if picture.mode == "RGBA" else None
            page.paste(picture, cell.picture_at(picture.size), mask)
        text, font = lettering.letter(cell.caption)
        text = "\n".join(_cut(line, font, cell.picture_size[0]) for line in text.split("\n"))
        pen.multiline_text(cell.caption_at, text, font=font, fill=INK, spacing=spacing)
    return page


def _read(sheet: Sheet, entries: Sequence[SheetEntry]) -> list[CellPicture | None]:
    wanted = [
        WantedPicture(entry.sources, cell.picture_size)
        for cell, entry in zip(sheet.cells, entries, strict=True)
    ]
    return ask_of_each(_READ, wanted)


_READ = LimitedFunction(read_cell_pictures, list[CellPicture | None])


def _picture_of(read: CellPicture | None, cell: Cell) -> Image.Image | None:
    """The picture, if it is one that fits: who reads a foreign file may claim anything."""
    if read is None:
        return None
    (width, height), (most_wide, most_high) = read.size, cell.picture_size
    is_right = 0 < width <= most_wide and 0 < height <= most_high
    if not is_right or len(read.pixels) != width * height * _BYTES.get(read.mode, 0):
        return None
    return Image.frombytes(read.mode, read.size, read.pixels)


def _cut(line: str, font: ImageFont.FreeTypeFont, width_px: int) -> str:
    """The line without what would reach into the next cell: fonts differ in their widths."""
    while line and font.getlength(line) > width_px:
        line = line[:-1]
    return line


def _draw_words(pen: ImageDraw.ImageDraw, cell: Cell, words: str, lettering: CaptionFonts) -> None:
    (left, top), (width, height) = cell.at, cell.picture_size
    pen.rectangle((left, top, left + width - 1, top + height - 1), fill=BOX)
    text, font = lettering.letter(words)
    middle = left + width / 2, top + height / 2
    pen.text(middle, text, font=font, fill=FAINT, anchor="mm")

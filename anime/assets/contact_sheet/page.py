"""Drawing one page of a contact sheet. All of it blocks: call it in a thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from anime.assets.contact_sheet.fonts import CaptionFonts
from anime.assets.thumbnails import first_frame
from anime.core.sheet_layout import LINE_HEIGHT, Cell, Sheet, Size
from anime.errors import UnusableFile

PAPER, INK, BOX, FAINT = (24, 22, 30), (232, 228, 238), (44, 41, 54), (150, 144, 165)
UNREADABLE = "cannot be read"


@dataclass(frozen=True, slots=True)
class SheetPicture:
    """What a cell shows: the first of these pictures that can be read, else the words."""

    sources: tuple[Path, ...]
    words: str = UNREADABLE


def draw_page(sheet: Sheet, shown: Sequence[SheetPicture], lettering: CaptionFonts) -> Image.Image:
    """The page; a picture that cannot be read is a cell that says so."""
    page = Image.new("RGB", sheet.size, PAPER)
    pen = ImageDraw.Draw(page)
    spacing = sheet.caption_px * (LINE_HEIGHT - 1)
    for cell, each in zip(sheet.cells, shown, strict=True):
        picture = _first_readable(each.sources, cell.picture_size)
        if picture is None:
            _draw_words(pen, cell, each.words, lettering)
        else:
            mask = picture if picture.mode == "RGBA" else None
            page.paste(picture, cell.picture_at(picture.size), mask)
        text, font = lettering.letter(cell.caption)
        text = "\n".join(_cut(line, font, cell.picture_size[0]) for line in text.split("\n"))
        pen.multiline_text(cell.caption_at, text, font=font, fill=INK, spacing=spacing)
    return page


def _first_readable(sources: Sequence[Path], size: Size) -> Image.Image | None:
    for path in sources:
        try:
            return ImageOps.contain(first_frame(path), size)
        except (OSError, UnusableFile):
            continue
    return None


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

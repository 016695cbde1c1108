"""Drawing many pictures on one. It blocks: call it in a thread."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from anime.core.sheet import Sheet

_PAPER, _INK = (24, 22, 30), (232, 228, 238)


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

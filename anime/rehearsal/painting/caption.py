"""The panel at the foot of a picture that says what was asked for, and that it is a rehearsal."""

import unicodedata
from functools import lru_cache, partial
from itertools import accumulate, groupby
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from anime.rehearsal.painting.canvas import Point
from anime.rehearsal.painting.motif import Color

MARK = "REHEARSAL"
MOST_PANEL = 0.34  # of the height
SMALLEST_TYPE = 8.0  # pixels
SMALLEST_MARK = 4.0
LINE_PITCH = 1.32  # of the size of type
MOST_LINES = 3  # of the prompt, and of the facts
MOST_SIGNS = 600  # of a prompt; no panel has room for more
WRITING: Color = (248, 248, 252)
QUIET: Color = (196, 200, 216)
UNKNOWN = "\U0010fffe"  # no font has this one
MORE_FONTS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKjp-Regular.otf",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "ipag.ttf",
    "TakaoGothic.ttf",
    "Hiragino Sans GB.ttc",
)
# What a line says, in which colour, in type of how many pixels.
Line: TypeAlias = tuple[str, Color, float]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write_caption(picture: Image.Image, prompt: str, facts: str) -> None:
    """Lay the panel over the foot of the picture; what does not fit is left out."""
    size = max(SMALLEST_TYPE, min(picture.width / 26, picture.height / 22))
    margin, small = max(2, round(size * 0.55)), max(SMALLEST_TYPE, size * 0.74)
    wide = float(picture.width - 2 * margin)
    room = wide - 1.2 * size
    lines = [(line, WRITING, size) for line in wrap(prompt, size, room, MOST_LINES)]
    lines += [(line.strip(" ,"), QUIET, small) for line in wrap(facts, small, room, MOST_LINES)]
    while lines and _panel_height(lines) > MOST_PANEL * picture.height:
        lines.pop()
    pen = ImageDraw.Draw(picture, "RGBA")
    if lines:
        _draw_panel(pen, (margin, picture.height - margin - _panel_height(lines)), wide, lines)
    size = max(SMALLEST_MARK, min(small, wide / 7))
    wide = text_width(MARK, size) + 1.2 * size
    _draw_panel(pen, (margin, margin), wide, [(MARK, WRITING, size)])


def _draw_panel(pen: ImageDraw.ImageDraw, at: Point, wide: float, lines: list[Line]) -> None:
    (left, y), inset = at, round(0.6 * lines[0][2])
    box = (left, round(y), round(left + wide), round(y + _panel_height(lines)))
    pen.rounded_rectangle(box, radius=inset, fill=(12, 14, 26, 160), outline=(*QUIET, 110))
    for text, color, size in lines:
        x, y = left + inset, y + size * LINE_PITCH
        for font, signs in groupby(text, partial(_font, size=size)):
            run = "".join(signs)
            pen.text((x, y), run, fill=color, font=font, anchor="ls")
            x += text_width(run, size)


def _panel_height(lines: list[Line]) -> float:
    return sum(size for _text, _color, size in lines) * LINE_PITCH + lines[-1][2] * 0.6


def wrap(text: str, size: float, room: float, most_lines: int) -> list[str]:
    """The text in lines no wider than `room` pixels; shortened with an ellipsis if it must be.

    What has no spaces, as in Japanese, is cut where the line ends.
    """
    printable = (" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)
    rest = " ".join("".join(printable)[:MOST_SIGNS].split())
    lines: list[str] = []
    while rest and len(lines) < most_lines:
        widths = accumulate(text_width(sign, size) for sign in rest)
        end = max(1, sum(width <= room for width in widths))
        if end < len(rest) and (space := rest.rfind(" ", 1, end + 1)) > 0:
            end = space
        lines.append(rest[:end])
        rest = rest[end:].lstrip()
    if rest:
        while text_width(f"{lines[-1]}…", size) > room and lines[-1]:
            lines[-1] = lines[-1][:-1].rstrip()
        lines[-1] += "…"
    return lines


@lru_cache(maxsize=4096)
def text_width(text: str, size: float) -> float:
    """The width in pixels, whichever fonts it takes."""
    return sum(_font(sign, size).getlength(sign) for sign in text)


@lru_cache(maxsize=4096)
def _font(sign: str, size: float) -> Font:
    """The first font that has the sign. If none has, Pillow's own, which draws a box."""
    own = _own_font(size)
    if sign.isascii() or _has(own, sign):
        return own
    others = (_open(name, size) for name in MORE_FONTS)
    return next((font for font in others if font and _has(font, sign)), own)


@lru_cache(maxsize=64)
def _own_font(size: float) -> Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=256)
def _open(name: str, size: float) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _has(font: Font, sign: str) -> bool:
    """Whether a font has a sign: one it lacks looks like any other it lacks."""
    drawn, missing = font.getmask(sign), font.getmask(UNKNOWN)
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)

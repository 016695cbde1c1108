"""The panel at the foot of a picture that says what was asked for, and that it is a rehearsal."""

import unicodedata
from functools import lru_cache
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from anime.rehearsal.painting.palette import Color

MARK = "REHEARSAL"
MOST_PANEL = 0.34  # of the height
SMALLEST_TYPE = 8.0  # pixels
LEGIBLE = 4.0  # pixels; smaller type is left out
LARGEST_TYPE = 64.0
LINE_PITCH = 1.32  # of the size of type
PROMPT_LINES = 3
FACT_LINES = 2
WRITING: Color = (248, 248, 252)
QUIET: Color = (196, 200, 216)
UNKNOWN = "\U0010fffe"  # no font has this one
MORE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKjp-Regular.otf",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "ipag.ttf",
    "TakaoGothic.ttf",
    "Hiragino Sans GB.ttc",
    "DejaVuSans.ttf",
)
# What a line says, in which colour, in type of how many pixels.
Line: TypeAlias = tuple[str, Color, float]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write_caption(picture: Image.Image, prompt: str, facts: str, accent: Color) -> None:
    """Lay the panel over the foot of the picture; what does not fit is left out."""
    size = max(SMALLEST_TYPE, min(picture.width / 26, picture.height / 22, LARGEST_TYPE))
    margin = max(2, round(size * 0.55))
    room = picture.width - 4 * margin - round(size * 0.3)
    small = max(SMALLEST_TYPE, size * 0.74)
    lines = [(line, WRITING, size) for line in wrap(prompt, size, room, PROMPT_LINES)]
    lines += [(line.strip(" ·"), QUIET, small) for line in wrap(facts, small, room, FACT_LINES)]
    while lines and _panel_height(lines, margin) > MOST_PANEL * picture.height:
        lines.pop()
    if lines:
        _draw_panel(picture, lines, margin, accent)
    _draw_mark(picture, size * 0.72, margin, accent)


def _draw_panel(picture: Image.Image, lines: list[Line], margin: int, accent: Color) -> None:
    high = round(_panel_height(lines, margin))
    top = picture.height - high - margin
    pen = ImageDraw.Draw(picture, "RGBA")
    box = (margin, top, picture.width - margin, top + high)
    pen.rounded_rectangle(box, radius=margin, fill=(12, 14, 26, 168))
    pen.rounded_rectangle(
        (margin, top + margin, margin + max(2, margin // 3), top + high - margin),
        radius=max(1, margin // 6),
        fill=(*accent, 255),
    )
    y = top + margin * 0.5
    for text, color, size in lines:
        _write(pen, (2.3 * margin, y), text, color, size)
        y += size * LINE_PITCH


def _panel_height(lines: list[Line], margin: int) -> float:
    return sum(size for _text, _color, size in lines) * LINE_PITCH + margin


def _draw_mark(picture: Image.Image, size: float, margin: int, accent: Color) -> None:
    size = min(max(size, SMALLEST_TYPE), (picture.width - 2 * margin) / 7)
    if size < LEGIBLE:
        return
    pen = ImageDraw.Draw(picture, "RGBA")
    wide = text_width(MARK, size)
    box = (margin, margin, margin + wide + size, margin + size * 1.5)
    pen.rounded_rectangle(box, radius=size * 0.7, fill=(12, 14, 26, 150), outline=(*accent, 220))
    _write(pen, (margin + size * 0.5, margin + size * 0.12), MARK, WRITING, size)


def wrap(text: str, size: float, room: float, most_lines: int) -> list[str]:
    """The text in lines no wider than `room` pixels; shortened with an ellipsis if it must be."""
    lines: list[str] = [""]
    for word in _pieces(text, size, room):
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, size) <= room:
            lines[-1] = longer
        elif len(lines) < most_lines:
            lines.append(word)
        else:
            lines[-1] = _shortened(lines[-1], size, room)
            break
    return [line for line in lines if line]


def _pieces(text: str, size: float, room: float) -> list[str]:
    """Words; those that are wider than a line (as in Japanese) are cut into what fits."""
    pieces = []
    for word in _printable(text)[:600].split():
        piece = ""
        for character in word:
            if piece and text_width(piece + character, size) > room:
                pieces.append(piece)
                piece = ""
            piece += character
        pieces.append(piece)
    return pieces


def _printable(text: str) -> str:
    return "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)


def _shortened(line: str, size: float, room: float) -> str:
    while line and text_width(f"{line}…", size) > room:
        line = line[:-1]
    return f"{line.rstrip()}…"


def text_width(text: str, size: float) -> float:
    """The width in pixels, whichever fonts it takes."""
    return sum(_sign_width(sign, size) for sign in text)


@lru_cache(maxsize=4096)
def _sign_width(sign: str, size: float) -> float:
    font = _font_for(sign, size)
    return float(font.getlength(sign)) if font else size * 0.7


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, color: Color, size: float
) -> None:
    """Write run by run, each in the first font that has its signs; boxes for what none has."""
    x, y = at
    for run, font in _runs(text, size):
        if font:
            pen.text((x, y + size * 0.95), run, fill=color, font=font, anchor="ls")
        else:
            for index in range(len(run)):
                left = x + size * 0.7 * index
                box = (left + size * 0.08, y + size * 0.25, left + size * 0.62, y + size * 0.95)
                pen.rectangle(box, outline=color)
        x += text_width(run, size)


def _runs(text: str, size: float) -> list[tuple[str, Font | None]]:
    runs: list[tuple[str, Font | None]] = []
    for sign in text:
        font = _font_for(sign, size)
        if runs and runs[-1][1] is font:
            runs[-1] = (runs[-1][0] + sign, font)
        else:
            runs.append((sign, font))
    return runs


def _font_for(sign: str, size: float) -> Font | None:
    fonts = (_default_font(size),) if sign.isascii() else _fonts(size)
    return next((font for font in fonts if sign.isascii() or _has(font, sign)), None)


@lru_cache(maxsize=32)
def _default_font(size: float) -> Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=32)
def _fonts(size: float) -> tuple[Font, ...]:
    found: list[Font] = [_default_font(size)]
    for name in MORE_FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(found)


@lru_cache(maxsize=4096)
def _has(font: Font, sign: str) -> bool:
    """Whether a font has a sign: one it lacks looks like any other it lacks."""
    drawn, missing = font.getmask(sign), font.getmask(UNKNOWN)
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)

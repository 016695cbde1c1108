"""Letters of captions: the font Pillow brings, and one of this machine's for other writings."""

import logging
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from PIL import ImageFont

_UNASSIGNED = "\U0010ffff"  # no font has it: what is drawn instead is the box
_ELLIPSIS = "…"
# As distributions and systems name their fonts for Japanese; Pillow knows the folders.
_KNOWN_FONTS = (
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKjp-Regular.otf", "NotoSansJP-Regular.otf"),
    *("NotoSansJP-Regular.ttf", "NotoSansJP[wght].ttf", "NotoSansCJK-VF.otf.ttc"),
    *("ipagp.ttf", "ipag.ttf", "IPAexGothic.ttf", "ipaexg.ttf", "fonts-japanese-gothic.ttf"),
    *(
        "TakaoPGothic.ttf",
        "VL-PGothic-Regular.ttf",
        "HaranoAjiGothic-Regular.otf",
        "wqy-zenhei.ttc",
    ),
    *("DroidSansFallbackFull.ttf", "DroidSansFallback.ttf", "unifont.otf", "unifont.ttf"),
    *(
        "ヒラギノ角ゴシック W3.ttc",
        "Hiragino Sans GB.ttc",
        "YuGothM.ttc",
        "meiryo.ttc",
        "msgothic.ttc",
    ),
)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_log = logging.getLogger(__name__)


class Lettering:
    """Chooses the font of each caption, of one height in pixels."""

    def __init__(self, height_px: int, chosen: Path | None = None) -> None:
        """`chosen` is the font file for what the font Pillow brings lacks."""
        self._usual = ImageFont.load_default(height_px)
        self._other = _font_file(chosen, height_px)

    def letter(self, text: str) -> tuple[str, Font]:
        """The text, and the font to draw it with.

        Letters that no font here has are left out, a run of them shown as an ellipsis: a row of
        boxes says no more.
        """
        if _covers(self._usual, text):
            return text, self._usual
        font: Font = self._other or self._usual
        if _covers(font, text):
            return text, font
        _say_what_is_missing()
        kept = "".join(c if c == "\n" or _has(font, c) else _ELLIPSIS for c in text)
        return re.sub(f"{_ELLIPSIS}+", _ELLIPSIS, kept), font


def _font_file(chosen: Path | None, height_px: int) -> ImageFont.FreeTypeFont | None:
    """The first font that can be opened: the chosen one, or one this machine is known to have."""
    for name in [str(chosen)] if chosen else _KNOWN_FONTS:
        try:
            return ImageFont.truetype(name, height_px)
        except (OSError, ValueError) as fault:
            if chosen:
                _log.warning("ANIME_CAPTION_FONT %s cannot be used: %s", chosen, fault)
    return None


def _covers(font: Font, text: str) -> bool:
    return all(_has(font, letter) for letter in set(text) - {"\n"})


def _has(font: Font, letter: str) -> bool:
    """Whether the font has more for the letter than its box."""
    return letter.isspace() or _looks(font)(letter) != _looks(font)(_UNASSIGNED)


@cache
def _looks(font: Font) -> Callable[[str], bytes]:
    """The shape that a font gives to a letter, each drawn once."""

    @cache
    def look(letter: str) -> bytes:
        try:
            return bytes(font.getmask(letter))
        except (OSError, UnicodeError, ValueError):
            return b""

    return look


@cache
def _say_what_is_missing() -> None:
    _log.warning(
        "No font here has all letters of the captions. Install one, such as fonts-noto-cjk, or "
        "set ANIME_CAPTION_FONT to the file of one."
    )

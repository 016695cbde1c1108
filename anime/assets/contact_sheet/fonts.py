"""Letters of captions: the font Pillow brings, and one of this machine's for other writings."""

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from PIL import ImageFont

_UNASSIGNED = "\U0010ffff"  # no font has it: what is drawn instead is the box
_MISSING = "..."
# As distributions and systems name their fonts, Japanese ones last; Pillow knows the folders.
_KNOWN_FONTS = (
    *("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf", "Arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKjp-Regular.otf", "NotoSansJP-Regular.otf"),
    *("NotoSansJP-Regular.ttf", "NotoSansJP[wght].ttf", "NotoSansCJK-VF.otf.ttc"),
    *("ipagp.ttf", "ipag.ttf", "IPAexGothic.ttf", "ipaexg.ttf", "fonts-japanese-gothic.ttf"),
    *("TakaoPGothic.ttf", "VL-PGothic-Regular.ttf", "HaranoAjiGothic-Regular.otf"),
    *("DroidSansFallbackFull.ttf", "DroidSansFallback.ttf", "unifont.otf", "unifont.ttf"),
    *("wqy-zenhei.ttc", "ヒラギノ角ゴシック W3.ttc", "Hiragino Sans GB.ttc"),
    *("YuGothM.ttc", "meiryo.ttc", "msgothic.ttc"),
)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_log = logging.getLogger(__name__)


class CaptionFonts:
    """Chooses the font of each caption, of one height in pixels."""

    def __init__(
        self,
        height_px: int,
        chosen: Path | None = None,
        *,
        names: Sequence[str] = _KNOWN_FONTS,
    ) -> None:
        """`chosen` is the font file for what the font Pillow brings lacks; `names` come next."""
        self._height_px = height_px
        self._fonts: list[Font] = [ImageFont.load_default(height_px)]
        self._closed = [*([str(chosen)] if chosen else []), *names]
        self._chosen = chosen
        self._known: dict[tuple[int, str], bool] = {}  # letters are the same ones, mostly

    def letter(self, text: str) -> tuple[str, Font]:
        """The text, and the font to draw it with: the first that has all its letters.

        Where none has, letters are left out, a run of them shown as dots: a row of boxes says
        no more.
        """
        letters = set(text) - {"\n"}
        for font in self._in_turn():
            if all(self._has(font, letter) for letter in letters):
                return text, font
        _say_what_is_missing()
        best = max(self._fonts, key=lambda font: sum(self._has(font, letter) for letter in letters))
        kept = ((self._has(best, letter) or letter == "\n", letter) for letter in text)
        runs = groupby(kept, key=itemgetter(0))
        return "".join(
            "".join(letter for _, letter in run) if is_kept else _MISSING for is_kept, run in runs
        ), best

    def _in_turn(self) -> Iterator[Font]:
        """The fonts that are open, then the others, each opened when it is needed first."""
        yield from list(self._fonts)
        while self._closed:
            font = self._open(self._closed.pop(0))
            if font is not None:
                self._fonts.append(font)
                yield font

    def _open(self, name: str) -> Font | None:
        try:
            return ImageFont.truetype(name, self._height_px)
        except (OSError, ValueError) as fault:
            if name == str(self._chosen):
                _log.warning("ANIME_CAPTION_FONT %s cannot be used: %s", name, fault)
            return None

    def _has(self, font: Font, letter: str) -> bool:
        """Whether the font has more for the letter than its box."""
        key = self._fonts.index(font), letter
        if key not in self._known:
            self._known[key] = letter.isspace() or (
                letter.isprintable() and _shape(font, letter) != _shape(font, _UNASSIGNED)
            )
        return self._known[key]


def _shape(font: Font, letter: str) -> bytes:
    try:
        return bytes(font.getmask(letter))
    except (OSError, UnicodeError, ValueError):
        return b""


@cache
def _say_what_is_missing() -> None:
    _log.warning(
        "No font here has all letters of the captions. Install one, such as fonts-noto-cjk, or "
        "set ANIME_CAPTION_FONT to the file of one."
    )

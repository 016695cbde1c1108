"""Letters of captions: the font Pillow brings, and one of this machine's for other writings."""

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, cast

from fontTools.ttLib import TTFont
from PIL import ImageFont

CAPTION_PX = 14  # the height of letters
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

_log = logging.getLogger(__name__)


class _Face(NamedTuple):
    """A font of one height, and the Unicode code points that it has letters for."""

    font: ImageFont.FreeTypeFont
    code_points: frozenset[int]

    def has(self, letter: str) -> bool:
        return letter.isspace() or (letter.isprintable() and ord(letter) in self.code_points)


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
        self.height_px = height_px
        default = ImageFont.load_default(height_px)
        # Pillow's wheels have FreeType, with which the default is such a font.
        self._faces = [_face(cast("ImageFont.FreeTypeFont", default))]
        self._closed = [*([str(chosen)] if chosen else []), *names]
        self._chosen = chosen

    def letter(self, text: str) -> tuple[str, ImageFont.FreeTypeFont]:
        """The text, and the font to draw it with: the first that has all its letters.

        Where none has, letters are left out, a run of them shown as dots: a row of boxes says
        no more.
        """
        for face in self._in_turn():
            if all(map(face.has, text)):
                return text, face.font
        _say_what_is_missing()
        best = max(self._faces, key=lambda face: sum(map(face.has, set(text))))
        return "".join(
            "".join(letters) if is_kept else _MISSING
            for is_kept, letters in groupby(text, key=best.has)
        ), best.font

    def _in_turn(self) -> Iterator[_Face]:
        """The fonts that are open, then the others, each opened when it is needed first."""
        yield from list(self._faces)
        while self._closed:
            face = self._open(self._closed.pop(0))
            if face is not None:
                self._faces.append(face)
                yield face

    def _open(self, name: str) -> _Face | None:
        try:
            return _face(ImageFont.truetype(name, self.height_px))
        except Exception as fault:  # noqa: BLE001  fontTools raises what a damaged table makes it
            if name == str(self._chosen):
                _log.warning("ANIME_CAPTION_FONT %s cannot be used: %s", name, fault)
            return None


def _face(font: ImageFont.FreeTypeFont) -> _Face:
    with TTFont(font.path, fontNumber=0, lazy=True) as tables:
        return _Face(font, frozenset(tables.getBestCmap() or ()))


@cache
def _say_what_is_missing() -> None:
    _log.warning(
        "No font here has all letters of the captions. Install one, such as fonts-noto-cjk, or "
        "set ANIME_CAPTION_FONT to the file of one."
    )

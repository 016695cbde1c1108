"""NovelAI: PNG texts, the same as JSON in a user comment, or hidden in the pixels' last bits.

Sources: NovelAI's image metadata scripts (2024-10), pictures of NAI Diffusion V3 to V4.5;
sd-webui-stealth-pnginfo 1.0 and SwarmUI 0.9.7 (`EncodeStealthMetadata`) for what hides in pixels.
"""

import gzip
import zlib
from collections.abc import Iterator
from io import BytesIO

from pydantic import JsonValue

from anime.assets.metadata.json_fields import (
    Fields,
    fields_of,
    number_of,
    objects_in,
    text_of,
    whole_of,
)
from anime.assets.metadata.recipe import Sampling
from anime.core.foreign_json import read_json

_MAGIC = {  # of each name: the bands of a pixel that hide a bit, and whether it is compressed
    b"stealth_pngcomp": ((3,), True),
    b"stealth_pnginfo": ((3,), False),
    b"stealth_rgbcomp": ((0, 1, 2), True),
    b"stealth_rgbinfo": ((0, 1, 2), False),
}
_MAGIC_BYTES = 15
_LENGTH_BYTES = 4
_MAX_BYTES = 4 * 1024 * 1024
HIDING_ROWS = {3: 40, 4: 120}  # by bands: rows of the first column in which the name stands
_BANDS = {"RGBA": 4, "RGB": 3}


def sampling_of_novelai(settings: Fields, texts: dict[str, str]) -> Sampling | None:
    """What the JSON in the text Comment says; None for another tool's settings."""
    if "Comment" in settings:  # all texts together, as JSON
        inner = settings["Comment"]
        texts = {name: text for name, text in settings.items() if isinstance(text, str)}
        settings = fields_of(read_json(inner) if isinstance(inner, str) else inner)
    if not {"uc", "sampler", "scale"} <= settings.keys() and "v4_prompt" not in settings:
        return None
    wanted = _captions(text_of(settings, "prompt"), settings.get("v4_prompt"))
    unwanted = _captions(text_of(settings, "uc"), settings.get("v4_negative_prompt"))
    return Sampling(
        prompt="\n".join(wanted) or texts.get("Description"),
        negative_prompt="\n".join(unwanted) or None,
        seed=whole_of(settings, "seed"),
        model=texts.get("Source") or None,
        sampler=text_of(settings, "sampler"),
        scheduler=text_of(settings, "noise_schedule"),
        steps=whole_of(settings, "steps"),
        cfg=number_of(settings, "scale"),
        width=whole_of(settings, "width"),
        height=whole_of(settings, "height"),
    )


def _captions(first: str | None, divided: JsonValue) -> Iterator[str]:
    """The prompt of the scene, then one for each character."""
    caption = fields_of(fields_of(divided).get("caption"))
    whole = first or text_of(caption, "base_caption")
    if whole:
        yield whole
    for each in objects_in(caption.get("char_captions")):
        if text := text_of(each, "char_caption"):
            yield text


def hidden_texts(pixels: bytes, mode: str, width: int, height: int) -> dict[str, str]:
    """The texts that hide in the last bits of pixels (RGB or RGBA, by rows).

    The bits run down the columns: a name, the length in bits, then JSON of texts by keyword, or
    one text such as AUTOMATIC1111's or SwarmUI's.
    """
    bands = _BANDS.get(mode, 0)
    for name, (places, is_compressed) in _MAGIC.items() if bands else ():
        if places[-1] >= bands:
            continue
        hiding = _HidingBits(pixels, width, height, bands, places)
        head = hiding.read(0, _MAGIC_BYTES + _LENGTH_BYTES)
        size = int.from_bytes(head[_MAGIC_BYTES:], "big") // 8
        if head.startswith(name) and 0 < size <= min(_MAX_BYTES, hiding.room):
            hidden = hiding.read(_MAGIC_BYTES + _LENGTH_BYTES, size)
            text = _inflated(hidden) if is_compressed else hidden
            return _texts_in(text.decode("utf-8", "replace"))
    return {}


def may_hide_texts(column: bytes, bands: int) -> bool:
    """Whether the first column of a picture (its pixels from the top) has such a name."""
    return any(
        _octets(_interleaved([column[at::bands] for at in places])[: 8 * _MAGIC_BYTES]) == name
        for name, (places, _) in _MAGIC.items()
        if places[-1] < bands
    )


def _texts_in(plain: str) -> dict[str, str]:
    found = read_json(plain)
    if isinstance(found, dict) and "Comment" in found:
        return {name: value for name, value in found.items() if isinstance(value, str)}
    return {"parameters": plain} if plain else {}


class _HidingBits:
    """The last bits of some bands, which run down one column after another."""

    def __init__(
        self, pixels: bytes, width: int, height: int, bands: int, places: tuple[int, ...]
    ) -> None:
        self._pixels, self._bands, self._places = pixels, bands, places
        self._width, self._column_bits = width, height * len(places)
        self.room = width * self._column_bits // 8  # in bytes

    def read(self, begin: int, count: int) -> bytes:
        """`count` bytes from byte `begin` on; nothing where there are fewer."""
        first, end = begin * 8, (begin + count) * 8
        columns = range(first // self._column_bits, -(-end // self._column_bits))
        down = b"".join(self._column(column) for column in columns if column < self._width)
        at = first - columns.start * self._column_bits
        return _octets(down[at : at + count * 8]) if len(down) >= at + count * 8 else b""

    def _column(self, column: int) -> bytes:
        line = self._width * self._bands
        bands = [self._pixels[column * self._bands + place :: line] for place in self._places]
        return bands[0] if len(bands) == 1 else _interleaved(bands)


def _interleaved(bands: list[bytes]) -> bytes:
    mixed = bytearray(len(bands) * len(bands[0]))
    for number, band in enumerate(bands):
        mixed[number :: len(bands)] = band
    return bytes(mixed)


def _octets(bits: bytes) -> bytes:
    """The bytes of which the last bits of these are the bits."""
    return int(bits.translate(_LAST_BIT) or b"0", 2).to_bytes(len(bits) // 8, "big")


def _inflated(packed: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=BytesIO(packed)) as stream:
            return stream.read(_MAX_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


_LAST_BIT = bytes(0x30 + (value & 1) for value in range(256))

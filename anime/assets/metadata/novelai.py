"""NovelAI: PNG texts, or the same as compressed JSON in the last bits of the alpha channel.

Sources: NovelAI's image metadata scripts (2024-10), pictures of NAI Diffusion V3 to V4.5.
"""

import gzip
import zlib
from io import BytesIO

from anime.assets.metadata.json_fields import Fields, fields_of, number_of, text_of, whole_of
from anime.assets.metadata.recipe import Sampling
from anime.core.foreign_json import read_json

_MAGIC = {b"stealth_pngcomp": True, b"stealth_pnginfo": False}  # whether it is compressed
_MAGIC_BYTES = 15
_LENGTH_BYTES = 4
_MAX_BYTES = 4 * 1024 * 1024


def sampling_of_novelai(settings: Fields, texts: dict[str, str]) -> Sampling | None:
    """What the JSON in the text Comment says; None for another tool's settings."""
    if not {"uc", "sampler", "scale"} <= settings.keys() and "v4_prompt" not in settings:
        return None
    if not texts.get("Software", "NovelAI").startswith("NovelAI"):
        return None
    caption = fields_of(fields_of(settings.get("v4_prompt")).get("caption"))
    unwanted = fields_of(fields_of(settings.get("v4_negative_prompt")).get("caption"))
    return Sampling(
        prompt=text_of(settings, "prompt")
        or text_of(caption, "base_caption")
        or texts.get("Description"),
        negative_prompt=text_of(settings, "uc") or text_of(unwanted, "base_caption"),
        seed=whole_of(settings, "seed"),
        model=texts.get("Source") or None,
        sampler=text_of(settings, "sampler"),
        scheduler=text_of(settings, "noise_schedule"),
        steps=whole_of(settings, "steps"),
        cfg=number_of(settings, "scale"),
        width=whole_of(settings, "width"),
        height=whole_of(settings, "height"),
    )


def texts_in_alpha(alpha: bytes, width: int, height: int) -> dict[str, str]:
    """The texts that hide in the last bits of an alpha channel (a byte for each pixel, by rows).

    The bits run down the columns: a name, the length in bits, then JSON of texts by keyword, or
    one text of AUTOMATIC1111's kind.
    """
    head = _bits_down(alpha, width, height, 0, _MAGIC_BYTES + _LENGTH_BYTES)
    is_compressed = _MAGIC.get(head[:_MAGIC_BYTES])
    size = int.from_bytes(head[_MAGIC_BYTES:], "big") // 8
    if is_compressed is None or not 0 < size <= min(_MAX_BYTES, len(alpha) // 8):
        return {}
    hidden = _bits_down(alpha, width, height, _MAGIC_BYTES + _LENGTH_BYTES, size)
    text = _inflated(hidden) if is_compressed else hidden
    plain = text.decode("utf-8", "replace")
    found = read_json(plain)
    if isinstance(found, dict):
        return {name: value for name, value in found.items() if isinstance(value, str)}
    return {"parameters": plain} if plain else {}


def _bits_down(alpha: bytes, width: int, height: int, begin: int, count: int) -> bytes:
    """`count` bytes of last bits from byte `begin` on, read down one column after another."""
    first, end = begin * 8, (begin + count) * 8
    columns = range(first // height, min(width, -(-end // height)))
    down = b"".join(alpha[column::width] for column in columns)
    at = first - columns.start * height
    bits = down[at : at + count * 8].translate(_LAST_BIT)
    return int(bits or b"0", 2).to_bytes(count, "big") if len(bits) == count * 8 else b""


def _inflated(packed: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=BytesIO(packed)) as stream:
            return stream.read(_MAX_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


_LAST_BIT = bytes(0x30 + (value & 1) for value in range(256))

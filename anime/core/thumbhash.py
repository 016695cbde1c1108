"""A ThumbHash: some 20 bytes from which a blurred picture is drawn until the picture has come.

The format is Evan Wallace's (https://evanw.github.io/thumbhash/), here without transparency:
averages of lightness and of two differences of colours, then the lowest frequencies of their
cosine transforms in 4 bits each.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from math import cos, floor, pi
from operator import mul

MOST_PX = 20  # of the longer side: so few frequencies need no more
_FREQUENCIES = 7  # of lightness along the longer side; of the others, 3 along both

_Channel = list[tuple[float, ...]]  # rows


def thumbhash(width: int, height: int, rgb: bytes) -> bytes:
    """The ThumbHash of a small picture, whose pixels are given row by row."""
    longer = max(width, height)
    across, down = (max(1, _rounded(_FREQUENCIES * side / longer)) for side in (width, height))
    red, green, blue = ([each / 255 for each in rgb[first::3]] for first in range(3))
    mixed = (
        [(r + g + b) / 3 for r, g, b in zip(red, green, blue, strict=True)],
        [(r + g) / 2 - b for r, g, b in zip(red, green, blue, strict=True)],
        [r - g for r, g in zip(red, green, strict=True)],
    )
    light, yellow, warm = (list(zip(*[iter(each)] * width, strict=True)) for each in mixed)
    mean, scale, details = _transformed(light, max(3, across), max(3, down))
    yellow_mean, yellow_scale, yellow_details = _transformed(yellow, 3, 3)
    warm_mean, warm_scale, warm_details = _transformed(warm, 3, 3)
    is_wide = width > height
    header = (
        _rounded(63 * mean)
        | _rounded(31.5 + 31.5 * yellow_mean) << 6
        | _rounded(31.5 + 31.5 * warm_mean) << 12
        | _rounded(31 * scale) << 18
        | (down if is_wide else across) << 24
        | _rounded(63 * yellow_scale) << 27
        | _rounded(63 * warm_scale) << 33
        | is_wide << 39
    )
    return header.to_bytes(5, "little") + _packed([*details, *yellow_details, *warm_details])


def _transformed(rows: _Channel, across: int, down: int) -> tuple[float, float, list[int]]:
    """The average, the largest amplitude, and each amplitude as a share of it in 4 bits.

    They come row by row, of those frequencies whose sum is small.
    """
    width, height = len(rows[0]), len(rows)
    by_row = [[_product(row, wave) for wave in _waves(width, across)] for row in rows]
    by_column = list(zip(*by_row, strict=True))
    amplitudes = [
        _product(by_column[x], wave) / (width * height)
        for y, wave in enumerate(_waves(height, down))
        for x in range(across)
        if x * down < across * (down - y)
    ]
    mean, *varying = amplitudes
    largest = max(map(abs, varying))
    details = [_rounded(7.5 + 7.5 * each / largest) if largest else 0 for each in varying]
    return mean, largest, details


@cache
def _waves(length: int, count: int) -> list[list[float]]:
    """The first cosines over so many pixels."""
    return [
        [cos(pi / length * wave * (place + 0.5)) for place in range(length)]
        for wave in range(count)
    ]


def _product(one: Iterable[float], other: Iterable[float]) -> float:
    return float(sum(map(mul, one, other)))


def _packed(nibbles: Sequence[int]) -> bytes:
    """Two in a byte, the first one below."""
    pairs = zip(nibbles[::2], [*nibbles[1::2], 0], strict=False)
    return bytes(low | high << 4 for low, high in pairs)


def _rounded(value: float) -> int:
    """As JavaScript rounds, by which the format is defined: halves go up."""
    return floor(value + 0.5)

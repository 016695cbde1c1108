"""ThumbHashes, beside those of the format's own encoder."""

import pytest

from anime.core.thumbhash import thumbhash


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [  # of npm's thumbhash 0.1.1
        (32, 18, "1ce8051c8630327733a659636ab3ba6fcbd5fa"),
        (20, 32, "1cf805140602348336b5933759888f6e9de0d4"),
        (24, 24, "1ce805170812606732b896636a3669467989f9fad51b6d0f"),
        (32, 2, "95590a218c50656477787888506af78377"),
    ],
)
def test_a_thumbhash_is_that_of_the_format(width: int, height: int, expected: str) -> None:
    rgb = bytes(
        value % 256
        for y in range(height)
        for x in range(width)
        for value in (x * x * 7 + y * 3, x * 5 + y * y * 2, x * y + 40)
    )
    assert thumbhash(width, height, rgb).hex() == expected


def test_a_picture_of_one_pixel_has_one() -> None:
    assert len(thumbhash(1, 1, bytes(3))) == 5 + 19

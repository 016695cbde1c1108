"""How far the pixels of two pictures are apart, with 8 bits for each channel. It blocks."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from PIL import Image, ImageChops, ImageStat, UnidentifiedImageError

from anime.assets.inspection.limits import decoding, refuse_too_large
from anime.core.comparison import PixelDifference
from anime.errors import InvalidRequest

_MOST_PIXELS = 2**30  # of all frames together: some seconds


def measure_difference(first: Path, second: Path) -> PixelDifference:
    """How far two pictures or animations are apart, over all frames.

    Raises:
        InvalidRequest: they are no pictures of one size and one number of frames.
        UnusableFile: one of them is damaged or too large.
        OSError: one of them cannot be read.
    """
    total = largest = 0.0
    changed = pixels = 0
    for difference in _differences(first, second):
        pixels += difference.width * difference.height
        statistics = ImageStat.Stat(difference)
        total += sum(statistics.sum) / len(statistics.bands)
        largest = max(largest, *(high for _, high in statistics.extrema))
        changed += _changed(difference)
    return PixelDifference(mean=total / pixels, largest=int(largest), share=changed / pixels)


def draw_difference(first: Path, second: Path) -> Image.Image:
    """The difference of the first frames, made as bright as it can be: black is no difference.

    Raises as `measure_difference`.
    """
    difference = next(_differences(first, second)).convert("RGB")
    largest = max(high for _, high in ImageStat.Stat(difference).extrema) or 1
    return difference.point(lambda level: level * 255 / largest)


def _differences(first: Path, second: Path) -> Iterator[Image.Image]:
    """The absolute difference of each pair of frames."""
    with ExitStack() as opened:
        one, other = (opened.enter_context(_opened(path)) for path in (first, second))
        if one.size != other.size:
            raise InvalidRequest(
                f"{first.name} has {one.width} x {one.height} pixels,"
                f" {second.name} {other.width} x {other.height}.",
                "Pixels of pictures of one size can be compared.",
            )
        frames = [getattr(each, "n_frames", 1) for each in (one, other)]
        if frames[0] != frames[1]:
            raise InvalidRequest(
                f"{first.name} has {frames[0]} frames, {second.name} {frames[1]}.",
                "Animations of one length can be compared.",
            )
        if frames[0] * one.width * one.height > _MOST_PIXELS:
            raise InvalidRequest(
                f"{first.name} has {frames[0]} frames of {one.width} x {one.height} pixels.",
                "That is too much to compare.",
            )
        for number in range(frames[0]):
            with decoding(first.name):
                one.seek(number)
                left = one.convert("RGBA")
            with decoding(second.name):
                other.seek(number)
                right = other.convert("RGBA")
            yield ImageChops.difference(left, right)


def _opened(path: Path) -> Image.Image:
    try:
        picture = Image.open(path)
    except Image.DecompressionBombError as fault:
        raise InvalidRequest(f"{path.name} is too large: {fault}.", "Make it smaller.") from fault
    except UnidentifiedImageError:
        raise InvalidRequest(
            f"{path.name} is no picture that can be compared.",
            "Pixels of PNG, JPEG, WEBP, GIF, AVIF, TIFF and BMP are compared.",
        ) from None
    refuse_too_large(path.name, *picture.size)
    return picture


def _changed(difference: Image.Image) -> int:
    """How many pixels differ in any channel."""
    red, green, blue, alpha = difference.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), ImageChops.lighter(blue, alpha))
    return difference.width * difference.height - brightest.histogram()[0]

"""How far pictures or films are apart, by pixels of 8 bits for each channel. It blocks."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import zip_longest
from pathlib import Path

from PIL import Image, ImageChops, ImageStat, UnidentifiedImageError

from anime.assets.inspection.limits import decoding, refuse_too_large
from anime.core.comparison import PixelDifference
from anime.core.paths import media_type_of
from anime.errors import InvalidRequest, StorageError

_MOST_PIXELS = 2**30  # of all frames together: some seconds


@dataclass(frozen=True, slots=True)
class _Frames:
    """The frames of an open picture or film, one after the other."""

    name: str
    size: tuple[int, int]
    each: Iterator[Image.Image]

    def following(self) -> Iterator[Image.Image]:
        """The frames with red, green, blue and alpha.

        Raises:
            UnusableFile: one cannot be decoded.
        """
        while True:
            with decoding(self.name):
                frame = next(self.each, None)
                if frame is None:
                    return
                converted = frame.convert("RGBA")
            yield converted


def measure_difference(first: Path, second: Path) -> PixelDifference:
    """How far two pictures, animations or films are apart, over all frames.

    Raises:
        InvalidRequest: they are no pictures of one size and one number of frames.
        UnusableFile: one of them is damaged or too large.
        StorageError: one of them cannot be read.
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
    """The difference of the frames that are furthest apart, made as bright as it can be.

    Black is no difference. Raises as `measure_difference`.
    """
    furthest = max(_differences(first, second), key=lambda each: sum(ImageStat.Stat(each).sum))
    difference = furthest.convert("RGB")
    largest = max(high for _, high in ImageStat.Stat(difference).extrema) or 1
    return difference.point(lambda level: level * 255 / largest)


def drawn_difference(first: Path, second: Path) -> bytes:
    """What `draw_difference` draws, as PNG; raises the same."""
    stream = BytesIO()
    draw_difference(first, second).save(stream, "PNG")
    return stream.getvalue()


def _differences(first: Path, second: Path) -> Iterator[Image.Image]:
    """The absolute difference of each pair of frames."""
    with _disk_faults_told(), ExitStack() as opened:
        one, other = (opened.enter_context(_opened(path)) for path in (first, second))
        if one.size != other.size:
            raise InvalidRequest(
                f"{first.name} has {one.size[0]} x {one.size[1]} pixels,"
                f" {second.name} {other.size[0]} x {other.size[1]}.",
                "Pixels of pictures of one size can be compared.",
            )
        width, height = one.size
        for number, (left, right) in enumerate(zip_longest(one.following(), other.following())):
            if left is None or right is None:
                shorter, longer = (one, other) if left is None else (other, one)
                raise InvalidRequest(
                    f"{shorter.name} has {number} frames, {longer.name} has more.",
                    "Animations and films of one length can be compared.",
                )
            if (number + 1) * width * height > _MOST_PIXELS:
                raise InvalidRequest(
                    f"{first.name} has more than {number} frames of {width} x {height} pixels.",
                    "That is too much to compare.",
                )
            yield ImageChops.difference(left, right)


@contextmanager
def _disk_faults_told() -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise StorageError(
            f"{fault.filename} cannot be read: {fault.strerror}.", "Look at the disk it is on."
        ) from fault


@contextmanager
def _opened(path: Path) -> Iterator[_Frames]:
    try:
        picture = Image.open(path)
    except Image.DecompressionBombError as fault:
        raise InvalidRequest(f"{path.name} is too large: {fault}.", "Make it smaller.") from fault
    except UnidentifiedImageError:
        with _opened_film(path) as frames:
            yield frames
        return
    with picture:
        refuse_too_large(path.name, *picture.size)
        yield _Frames(path.name, picture.size, _frames_of(picture))


def _frames_of(picture: Image.Image) -> Iterator[Image.Image]:
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        yield picture


@contextmanager
def _opened_film(path: Path) -> Iterator[_Frames]:
    media_type = media_type_of(path.name)
    if not media_type.startswith("video/"):
        raise InvalidRequest(
            f"{path.name} is no picture or film that can be compared.",
            "Pixels of PNG, JPEG, WEBP, GIF, AVIF, TIFF, BMP and of films are compared.",
        )
    from anime.assets.inspection.clips import film_of, open_clip  # FFmpeg is large

    with path.open("rb") as stream, decoding(path.name), open_clip(stream, media_type) as clip:
        film = film_of(clip)
        if film is None:
            raise InvalidRequest(f"{path.name} has no pictures.", "Compare films that have some.")
        refuse_too_large(path.name, film.width, film.height)
        pictures = (frame.to_image() for frame in clip.decode(film))  # type: ignore[no-untyped-call]  # PyAV has none
        yield _Frames(path.name, (film.width, film.height), pictures)


def _changed(difference: Image.Image) -> int:
    """How many pixels differ in any channel."""
    red, green, blue, alpha = difference.split()
    brightest = ImageChops.lighter(ImageChops.lighter(red, green), ImageChops.lighter(blue, alpha))
    return difference.width * difference.height - brightest.histogram()[0]

import struct
import zlib
from functools import cache
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from anime.assets.inspection.facts import MediaFacts
from anime.assets.inspection.limits import MAX_FRAMES, MAX_PIXELS
from anime.assets.inspection.png import read_png
from anime.core.paths import FileKind
from anime.errors import UnusableFile, UnusableReason


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def header(width: int = 4, height: int = 3, tail: bytes = b"\x08\x02\x00\x00\x00") -> bytes:
    return chunk(b"IHDR", struct.pack(">II", width, height) + tail)


PIXELS = chunk(b"IDAT", zlib.compress(b"\x00" * 39))
END = chunk(b"IEND")


def png_of(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def frame(numerator: int, denominator: int) -> bytes:
    return chunk(b"fcTL", bytes(20) + struct.pack(">HH", numerator, denominator) + bytes(2))


def read(png: bytes) -> MediaFacts:
    return read_png(BytesIO(png), "a.png")


def reason_of(png: bytes) -> UnusableReason | None:
    try:
        read(png)
    except UnusableFile as fault:
        return fault.reason
    return None


@cache  # its noise is another each time, and so is its size
def saved() -> bytes:
    """A PNG as Pillow writes it, with texts of every form."""
    info = PngInfo()
    info.add_text("prompt", "{}")
    info.add_text("workflow", "{} " * 100, zip=True)
    info.add_itxt("anime", "雪", zip=True)
    stream = BytesIO()
    Image.effect_noise((70, 50), 90).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def test_size_and_texts_of_a_png_are_read_without_its_pixels() -> None:
    facts = read(saved())
    assert (facts.width, facts.height, facts.frames) == (70, 50, 1)
    assert (facts.media_type, facts.kind) == ("image/png", FileKind.IMAGES)
    assert facts.texts == {"prompt": "{}", "workflow": "{} " * 100, "anime": "雪"}


def test_an_animation_has_the_frames_that_are_there() -> None:
    told = chunk(b"acTL", struct.pack(">II", 4_000_000_000, 0))
    facts = read(png_of(header(), told, frame(1, 10), PIXELS, frame(1, 0), END))
    assert (facts.media_type, facts.kind) == ("image/apng", FileKind.VIDEOS)
    assert facts.frames == 2
    assert facts.duration_seconds == pytest.approx(0.11)


def test_frames_without_a_claim_to_be_an_animation_are_a_still() -> None:
    assert read(png_of(header(), frame(1, 10), PIXELS, frame(1, 10), END)).frames == 1


def test_bytes_after_the_end_are_no_matter() -> None:
    assert read(png_of(header(), PIXELS, END) + b"junk").frames == 1


def test_a_chunk_of_another_kind_may_be_of_any_length() -> None:
    large = chunk(b"eXIf", bytes(3_000_000))
    assert read(png_of(header(), large, PIXELS, END)).width == 4


@pytest.mark.parametrize(
    ("png", "reason"),
    [
        (png_of(), UnusableReason.TRUNCATED),
        (png_of(header()), UnusableReason.TRUNCATED),
        (png_of(header(), PIXELS), UnusableReason.TRUNCATED),
        (png_of(header(), PIXELS, END[:-1]), UnusableReason.TRUNCATED),
        (png_of(header(), END), UnusableReason.UNDECODABLE),
        (png_of(PIXELS, header(), END), UnusableReason.UNDECODABLE),
        (png_of(END), UnusableReason.UNDECODABLE),
        (png_of(chunk(b"IHDR"), PIXELS, END), UnusableReason.UNDECODABLE),
        (png_of(header(0, 5), PIXELS, END), UnusableReason.UNDECODABLE),
        (png_of(header(50_000, 50_000), PIXELS, END), UnusableReason.TOO_LARGE),
        (png_of(header(2**32 - 1, 2**32 - 1), PIXELS, END), UnusableReason.TOO_LARGE),
        (png_of(header(tail=b"\x07\x02\x00\x00\x00"), PIXELS, END), UnusableReason.UNDECODABLE),
        (png_of(header(tail=b"\x08\x01\x00\x00\x00"), PIXELS, END), UnusableReason.UNDECODABLE),
        (png_of(header(tail=b"\x08\x02\x01\x00\x00"), PIXELS, END), UnusableReason.UNDECODABLE),
        (png_of(header(tail=b"\x08\x02\x00\x00\x02"), PIXELS, END), UnusableReason.UNDECODABLE),
        (png_of(header(), b"\xff\xff\xff\xffIDAT"), UnusableReason.UNDECODABLE),
        (png_of(header(), b"\x00\x00\x00\x00ID1T\x00\x00\x00\x00"), UnusableReason.UNDECODABLE),
        (png_of(header(), PIXELS[:-1] + b"!", END), UnusableReason.UNDECODABLE),
    ],
)
def test_a_png_that_is_no_good_says_why(png: bytes, reason: UnusableReason) -> None:
    assert reason_of(png) is reason


def test_the_largest_picture_that_can_be_ordered_is_not_too_large() -> None:
    assert MAX_PIXELS >= 8192 * 8192
    assert reason_of(png_of(header(8192, 8192), PIXELS, END)) is None


def test_more_frames_than_anybody_draws_are_too_many() -> None:
    frames = frame(1, 10) * (MAX_FRAMES + 1)
    png = png_of(header(), chunk(b"acTL", bytes(8)), frames, PIXELS, END)
    assert reason_of(png) is UnusableReason.TOO_LARGE


def test_the_message_says_which_file_and_what_to_do() -> None:
    with pytest.raises(UnusableFile, match=r"^a\.png has 50000 x 50000 pixels\. Make it smaller"):
        read(png_of(header(50_000, 50_000)))


@given(st.integers(1, len(saved())))
def test_a_png_cut_anywhere_is_not_whole(missing: int) -> None:
    assert reason_of(saved()[:-missing]) in {UnusableReason.TRUNCATED, UnusableReason.UNDECODABLE}


@given(st.integers(8 * 8, len(saved()) * 8 - 1))
def test_a_single_flipped_bit_is_noticed(bit: int) -> None:
    png = bytearray(saved())
    png[bit // 8] ^= 1 << bit % 8
    assert reason_of(bytes(png)) is not None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"acTL", b"fcTL", b"IHDR"]),
            st.binary(max_size=60),
        )
    )
)
def test_no_content_of_whole_chunks_is_a_surprise(chunks: list[tuple[bytes, bytes]]) -> None:
    facts = read(png_of(header(), *(chunk(*each) for each in chunks), PIXELS, END))
    assert facts.width == 4


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(junk: bytes) -> None:
    assert reason_of(png_of(header()) + junk) is not None

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.core.media_types import HEAD_BYTES, media_type_by_content


def box(brand: bytes, *others: bytes) -> bytes:
    brands = brand + b"\x00\x00\x02\x00" + b"".join(others)
    return (len(brands) + 8).to_bytes(4, "big") + b"ftyp" + brands


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (box(b"avif", b"mif1"), "image/avif"),
        (box(b"mif1", b"avis"), "image/avif"),
        (box(b"isom", b"iso2"), "video/mp4"),
        (box(b"qt  "), "video/quicktime"),
        (b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat", "video/quicktime"),
        (box(b"M4A ", b"isom"), "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
        (b"\x1a\x45\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska", "video/x-matroska"),
        (b"OggS\x00\x02", "audio/ogg"),
        (b"fLaC\x00\x00\x00\x22", "audio/flac"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
    ],
)
def test_the_first_bytes_say_what_a_file_is(head: bytes, media_type: str) -> None:
    assert media_type_by_content(head) == media_type


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"plain text",
        b"\x89PNG",
        b"RIFF\x10\x00\x00\x00AVI ",
        b"\x1a\x45\xdf\xa3\x00",
        b"\xff\xfe\x00\x00",
        b"\xff\xfb\xf0\x00",
        b"<svg xmlns=",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"#EXTM3U\n",
        b"\x00" * HEAD_BYTES,
    ],
)
def test_other_files_are_no_media(head: bytes) -> None:
    assert media_type_by_content(head) is None


@given(st.binary(max_size=HEAD_BYTES))
def test_no_bytes_raise(head: bytes) -> None:
    found = media_type_by_content(head)
    assert found is None or found.startswith(("image/", "video/", "audio/"))

import json
import zlib
from io import BytesIO
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from anime.assets.metadata.embedded_texts import exif_texts
from anime.core.ids import MAX_SEED
from anime.core.png_metadata import FileStamp, PngTexts, png_chunks, read_stamp, to_pnginfo

STAMP = FileStamp(
    job_id=UUID("1b4e28ba-2fa1-4d2e-883f-0016d3cca427"),
    project="東京 2077",
    character="Mira",
    prompt="a girl on a rooftop 🌆",
    seed=str(MAX_SEED),
    workflow="txt2img",
    workflow_sha256="ab" * 32,
    attempt=2,
)


def as_comfyui_writes_it(stamp: FileStamp) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in to_pnginfo(stamp).items()}


def png_with(info: PngInfo) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def png_texts(png: bytes) -> dict[str, str]:
    texts = PngTexts()
    for kind, body in png_chunks(png):
        texts.add(kind, bytes(body))
    return texts.found


def forged(**changes: object) -> dict[str, str]:
    return {"anime": json.dumps(STAMP.model_dump(mode="json") | changes)}


def test_a_stamp_comes_back_from_the_png_comfyui_wrote() -> None:
    info = PngInfo()
    for key, text in as_comfyui_writes_it(STAMP).items():
        info.add_text(key, text)
    assert read_stamp(png_texts(png_with(info))) == STAMP


def test_a_stamp_comes_back_from_the_exif_of_a_webp() -> None:
    text = as_comfyui_writes_it(STAMP)["anime"]
    exif = {0x0110: 'prompt:{"1": {}}', 0x010F: f"anime:{text}", 0x0112: 1}
    assert read_stamp(exif_texts(exif)) == STAMP


def test_the_seed_is_text_as_other_readers_round_large_numbers() -> None:
    stamp = to_pnginfo(STAMP)["anime"]
    assert isinstance(stamp, dict)
    assert stamp["seed"] == "18446744073709551615"


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"anime": ""},
        {"anime": "not json"},
        {"anime": "[]"},
        {"anime": "[" * 100_000},
        {"anime": "9" * 5000},
        {"anime": "null"},
        {"anime": " " * 600_000},
        forged(job_id="nobody"),
        forged(seed=str(MAX_SEED + 1)),
        forged(seed="-1"),
        forged(seed="٣"),
        forged(workflow_sha256="ab"),
        forged(prompt="x" * 10_001),
        forged(attempt=0),
        forged(project="a\x00b"),
    ],
)
def test_what_is_not_a_stamp_is_no_stamp(texts: dict[str, str]) -> None:
    assert read_stamp(texts) is None


def test_a_stamp_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert read_stamp(forged(mood="blue")) == STAMP


def test_compressed_and_international_texts_are_read() -> None:
    info = PngInfo()
    info.add_itxt("plain", "東京")
    info.add_itxt("packed", "京都", zip=True)
    assert png_texts(png_with(info)) == {"plain": "東京", "packed": "京都"}


def test_the_first_of_two_texts_of_one_name_counts() -> None:
    info = PngInfo()
    info.add_text("anime", "first")
    info.add_text("anime", "second")
    assert png_texts(png_with(info)) == {"anime": "first"}


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png_of(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_comfyuis_own_chunks_of_animations_are_read() -> None:
    own = chunk(b"IDAT", b"") + chunk(b"comf", b'anime\x00{"name": "\xe9t\xe9"}')
    assert png_texts(png_of(own)) == {"anime": '{"name": "été"}'}


def test_a_text_that_would_fill_the_memory_is_left_out() -> None:
    bomb = b"anime\x00\x01\x00\x00\x00" + zlib.compress(b"x" * 9_000_000, 9)
    assert png_texts(png_of(chunk(b"iTXt", bomb))) == {"anime": ""}
    assert png_texts(png_of(chunk(b"tEXt", b"anime\x00" + b"x" * 5_000_000))) == {}


def test_only_so_many_texts_are_read() -> None:
    chunks = [chunk(b"tEXt", b"%d\x00x" % number) for number in range(1000)]
    assert len(png_texts(png_of(*chunks))) == 64


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"anime",
        b"anime\x00",
        b"anime\x00\x01\x00\x00\x00junk",
        b"\xff\x00\x00\x00\x00\x00\xff",
    ],
)
def test_damaged_texts_do_no_harm(body: bytes) -> None:
    texts = png_texts(png_of(chunk(b"iTXt", body), chunk(b"tEXt", b"after\x00it")))
    assert texts["after"] == "it"


def test_a_file_cut_short_gives_what_came_before() -> None:
    whole = png_of(chunk(b"tEXt", b"a\x001"), chunk(b"tEXt", b"b\x002"))
    assert png_texts(whole[:-1]) == {"a": "1"}


@given(st.binary(max_size=300))
def test_no_bytes_raise(junk: bytes) -> None:
    assert isinstance(png_texts(junk), dict)
    assert isinstance(png_texts(b"\x89PNG\r\n\x1a\n" + junk), dict)


@given(st.dictionaries(st.integers(0, 70_000), st.text(max_size=50) | st.integers() | st.binary()))
def test_no_exif_raises(exif: dict[int, object]) -> None:
    assert read_stamp(exif_texts(exif)) is None

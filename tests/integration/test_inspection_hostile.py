"""Forged and damaged files of every kind: an answer or a reason, never anything else."""

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anime.assets.inspection.whole_file import inspect_file
from anime.assets.thumbnails import THUMBNAIL_PX, thumbnail_of
from anime.errors import StorageError
from tests.integration.media_samples import FILMS, SOUNDS, draw, make

PICTURES = ("a.png", "moves.png", "a.jpg", "a.webp", "moves.webp", "moves.gif", "a.avif")
SIGNATURES = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\xff\xff\xff\xffWEBPVP8X"),
    *(b"RIFF\xff\xff\xff\xffWAVEfmt ", b"\x00\x00\x00\x0cftypisom", b"\x00\x00\x00\x0cftypavif"),
    *(b"\x1a\x45\xdf\xa3\x9fwebm", b"OggS\x00\x02", b"fLaC", b"ID3\x04\x00", b"\xff\xfb\x90\x64"),
)
FORGERIES = (b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\xff" * 8)
PATIENCE_SECONDS = 5.0  # of CPU: other programs may be busy
few = settings(max_examples=25, deadline=None, database=None, derandomize=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module", params=[*PICTURES, *sorted(FILMS), *sorted(SOUNDS)])
def sample(request: pytest.FixtureRequest, folder: Path) -> bytes:
    name = str(request.param)
    if name in PICTURES:
        return draw(folder / name, frames=3 if "moves" in name else 1).read_bytes()
    return make(folder, name).read_bytes()


def inspect_library_file(folder: Path, content: bytes) -> None:
    """Examine a file and draw it small: any error but ours fails the test."""
    path, begin = folder / "hostile", time.process_time()
    path.write_bytes(content)
    with suppress(StorageError):
        assert inspect_file(path).size_bytes == len(content)
        thumbnail_of(path, THUMBNAIL_PX)
    assert time.process_time() - begin < PATIENCE_SECONDS


@few
@given(st.data())
def test_flipped_bits_are_survived(folder: Path, sample: bytes, data: st.DataObject) -> None:
    content = bytearray(sample)
    for at in data.draw(st.lists(st.integers(0, len(sample) - 1), min_size=1, max_size=20)):
        content[at] ^= data.draw(st.integers(1, 255))
    inspect_library_file(folder, bytes(content))


@few
@given(st.data())
def test_forged_beginnings_are_survived(folder: Path, sample: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, min(300, len(sample) - 1)))
    forged = data.draw(
        st.sampled_from([b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\xff" * 8])
    )
    inspect_library_file(folder, sample[:at] + forged + sample[at + len(forged) :])


@few
@given(st.data())
def test_a_file_cut_anywhere_is_survived(folder: Path, sample: bytes, data: st.DataObject) -> None:
    inspect_library_file(folder, sample[: data.draw(st.integers(0, len(sample)))])


@settings(few, max_examples=200)
@given(st.sampled_from(SIGNATURES), st.binary(max_size=400))
def test_junk_behind_a_signature_is_survived(folder: Path, signature: bytes, junk: bytes) -> None:
    inspect_library_file(folder, signature + junk)

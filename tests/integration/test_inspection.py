import errno
import hashlib
import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from anime.assets.inspection.clips import read_clip
from anime.assets.inspection.whole_file import _refuse_changing as refuse_changing
from anime.assets.inspection.whole_file import inspect_file
from anime.assets.thumbnails import draw_thumbnail
from anime.core.paths import FileKind
from anime.errors import StorageError, UnusableFile, UnusableReason
from tasks.files import _facts as facts_of_output
from tests.integration.media_samples import (
    FILMS,
    FRAMES,
    PARAMETERS,
    SIZE,
    SOUNDS,
    TEXTS,
    draw,
    draw_with_comment,
    make,
)

MEDIA_TYPES = {
    "film.mp4": "video/mp4",
    "film.webm": "video/webm",
    "film.mkv": "video/x-matroska",
    "film.mov": "video/quicktime",
    "sound.flac": "audio/flac",
    "sound.mp3": "audio/mpeg",
    "sound.opus": "audio/ogg",
    "sound.ogg": "audio/ogg",
    "sound.wav": "audio/wav",
    "sound.m4a": "audio/mp4",
}


@pytest.fixture(scope="module", params=sorted(MEDIA_TYPES))
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clips"), request.param)


def reason_of(path: Path) -> UnusableReason:
    with pytest.raises(UnusableFile) as caught:
        inspect_file(path)
    return caught.value.reason


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "avif"])
def test_a_still_is_examined(tmp_path: Path, suffix: str) -> None:
    path = draw(tmp_path / f"still.{suffix}")
    found = inspect_file(path)
    assert (found.width, found.height, found.frames) == (*SIZE, 1)
    assert found.kind is FileKind.IMAGES
    assert found.media_type == f"image/{'jpeg' if suffix == 'jpg' else suffix}"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.size_bytes == path.stat().st_size


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "avif"])
def test_an_animation_is_a_video(tmp_path: Path, suffix: str) -> None:
    found = inspect_file(draw(tmp_path / f"moves.{suffix}", frames=3))
    assert found.kind is FileKind.VIDEOS
    assert found.frames is not None
    assert found.frames >= 3
    assert found.duration_seconds == pytest.approx(0.3, abs=0.11)


@pytest.mark.parametrize("name", ["a.png", "moves.png", "a.webp", "moves.webp", "a.jpg"])
def test_what_comfyui_wrote_into_a_picture_is_read(tmp_path: Path, name: str) -> None:
    found = inspect_file(draw(tmp_path / name, frames=3 if "moves" in name else 1))
    assert found.texts == TEXTS
    recipe = found.recipe()
    assert (recipe.prompt, recipe.seed, recipe.steps) == ("petals", "7", 4)
    assert (recipe.width, recipe.frames) == (SIZE[0], found.frames)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\x00" + PARAMETERS.encode("utf-16-be"),
        b"UNICODE\x00" + PARAMETERS.encode("utf-16-le"),
        b"ASCII\x00\x00\x00" + PARAMETERS.encode(),
        PARAMETERS.encode(),
    ],
)
def test_what_automatic1111_wrote_into_a_comment_is_read(
    tmp_path: Path, suffix: str, comment: bytes
) -> None:
    recipe = inspect_file(draw_with_comment(tmp_path / f"a.{suffix}", comment)).recipe()
    assert (recipe.prompt, recipe.negative_prompt) == ("petals", "rain")
    assert recipe.source == "automatic1111"


def test_a_picture_with_broken_exif_is_still_a_picture(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.jpg")
    content = path.read_bytes()
    at = content.index(b"Exif\x00\x00") + 10  # where the first directory is said to begin
    path.write_bytes(content[:at] + b"\x00\xff\xff\xff" + content[at + 4 :])
    found = inspect_file(path)
    assert (found.width, found.texts) == (SIZE[0], {})


def test_a_clip_is_examined(clip: Path) -> None:
    found, is_film = inspect_file(clip), clip.name in FILMS
    assert found.media_type == MEDIA_TYPES[clip.name]
    assert found.kind is (FileKind.VIDEOS if is_film else FileKind.AUDIO)
    assert (found.width, found.height) == (SIZE if is_film else (None, None))
    assert found.frames == (FRAMES if is_film else None)
    assert found.duration_seconds == pytest.approx(1.5, abs=0.1)
    assert found.sha256 == hashlib.sha256(clip.read_bytes()).hexdigest()


def test_what_comfyui_wrote_into_a_clip_is_read(clip: Path) -> None:
    texts = inspect_file(clip).texts
    expected = {} if clip.suffix == ".wav" else TEXTS  # a WAV has no place for them
    assert {key: text for key, text in texts.items() if key in TEXTS} == expected


def test_a_clip_cut_short_is_not_whole(clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    cut = tmp_path / clip.name
    cut.write_bytes(content[: len(content) // 3])
    assert reason_of(cut) is UnusableReason.TRUNCATED


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "avif"])
def test_a_picture_cut_short_is_not_whole(tmp_path: Path, suffix: str) -> None:
    path = draw(tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[:-40])
    assert reason_of(path) is UnusableReason.TRUNCATED


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert inspect_file(path).media_type == "image/png"


def test_a_large_file_is_hashed_in_passing(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (2700, 2700)).save(path, compress_level=0)
    assert path.stat().st_size > 20_000_000
    found = inspect_file(path)
    assert (found.width, found.frames) == (2700, 1)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", UnusableReason.EMPTY),
        (b"just words", UnusableReason.NOT_MEDIA),
        (b"#EXTM3U\n/etc/passwd\n", UnusableReason.NOT_MEDIA),
        (b"\xff\xd8\xff\xe0\x00\x02" + b"\x00" * 60, UnusableReason.UNDECODABLE),
        (b"GIF89a" + b"\xff" * 40, UnusableReason.UNDECODABLE),
        (b"RIFF\x20\x00\x00\x00WEBP" + b"\x00" * 28, UnusableReason.UNDECODABLE),
        (b"fLaC" + b"\x00" * 60, UnusableReason.UNDECODABLE),
        (b"\x1a\x45\xdf\xa3\x84webm\x00\x00\x00", UnusableReason.UNDECODABLE),
    ],
)
def test_a_file_that_is_no_good_says_why(
    tmp_path: Path, content: bytes, reason: UnusableReason
) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    assert reason_of(path) is reason


def test_a_picture_beyond_all_measure_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gif"
    Image.new("1", (1, 1)).save(path)
    content = bytearray(path.read_bytes())
    content[6:10] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert reason_of(path) is UnusableReason.TOO_LARGE


def test_a_pipe_is_no_file_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert reason_of(tmp_path / "pipe") is UnusableReason.NOT_MEDIA


@pytest.mark.parametrize("name", ["missing.png", "nul\x00.png", "x" * 300, "."])
def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="cannot be read") as caught:
        inspect_file(tmp_path / name, name="the picture")
    assert not isinstance(caught.value, UnusableFile)


def test_a_file_that_grows_while_it_is_read_is_left_for_later(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png")
    before = path.stat()
    with path.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(StorageError, match=r"a\.png changed while it was read\. Wait until"):
        refuse_changing(before, path.stat(), "a.png")


@pytest.mark.parametrize("name", ["story.txt", "scene.glb"])
async def test_what_a_workflow_saves_beside_pictures_is_kept_untouched(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "received"
    path.write_bytes(b"once upon a time")
    facts = await facts_of_output(path, name)
    assert (facts.media_type, facts.width) == ("application/octet-stream", None)


async def test_a_picture_that_is_none_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "received"
    path.write_bytes(b"once upon a time")
    with pytest.raises(UnusableFile, match=r"a\.png is no picture, film or sound"):
        await facts_of_output(path, "a.png")


class FailingDisk(BytesIO):
    """A file whose second half cannot be read."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > len(self.getvalue()) // 2:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "sound.wav"])
def test_a_failing_disk_is_told_from_a_damaged_file(tmp_path: Path, name: str) -> None:
    disk = FailingDisk(make(tmp_path, name).read_bytes())
    with pytest.raises(OSError, match="Input/output error"):
        read_clip(disk, name, MEDIA_TYPES[name])


@pytest.mark.parametrize("name", [*FILMS, "still.png", "moves.webp"])
async def test_a_thumbnail_shows_the_first_frame(tmp_path: Path, name: str) -> None:
    source = make(tmp_path, name) if name in FILMS else draw(tmp_path / name, frames=2)
    target = tmp_path / "small" / "t.webp"
    await draw_thumbnail(source, target)
    with Image.open(target) as small:
        assert (small.format, small.size) == ("WEBP", SIZE)
        assert len(small.getcolors(SIZE[0] * SIZE[1]) or ()) > 100
    assert [path.name for path in target.parent.iterdir()] == ["t.webp"]


async def test_a_sound_without_a_cover_has_no_thumbnail(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match=r"sound\.flac has no picture to show"):
        await draw_thumbnail(make(tmp_path, "sound.flac"), tmp_path / "t.webp")
    assert not (tmp_path / "t.webp").exists()


def test_every_sample_has_a_media_type() -> None:
    assert set(MEDIA_TYPES) == {*FILMS, *SOUNDS}

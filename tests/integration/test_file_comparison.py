"""How files on disk are compared: bytes, pixels, and what they say."""

import json
from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream
from PIL import Image

from anime.assets.pixel_difference import draw_difference, measure_difference
from anime.errors import InvalidRequest, UnusableFile
from anime.jobs.reproduction import compare_files, nearest, read_made_file, write_difference
from tests.integration.media_samples import FILMS, FPS, SOUNDS, draw, film, sound
from tests.integration.test_cli_commands import Commands

GRAPH = {
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a roof"}},
    "3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 4, "positive": ["6", 0]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "a"}},
}


def flat(path: Path, level: int, *dots: tuple[int, int]) -> Path:
    picture = Image.new("RGB", (4, 2), (level, level, level))
    for dot in dots:
        picture.putpixel(dot, (255, 255, 255))
    picture.save(path)
    return path


def test_how_far_pixels_are_apart_is_measured(tmp_path: Path) -> None:
    one = flat(tmp_path / "one.png", 250)
    other = flat(tmp_path / "other.png", 250, (1, 1))
    assert measure_difference(one, one).is_none
    found = measure_difference(one, other)
    assert (found.largest, found.share) == (5, 1 / 8)
    assert found.mean == pytest.approx(5 * 3 / (8 * 4))  # of four channels
    drawn = draw_difference(one, other)
    assert (drawn.getpixel((0, 0)), drawn.getpixel((1, 1))) == ((0, 0, 0), (255, 255, 255))


def test_every_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), shade) for shade in ("red", "green", "blue")]
    for name, shown in (("a.webp", frames), ("b.webp", [*frames[:2], frames[0]])):
        shown[0].save(
            tmp_path / name, save_all=True, append_images=shown[1:], lossless=True, duration=99
        )
    assert measure_difference(tmp_path / "a.webp", tmp_path / "a.webp").is_none
    assert measure_difference(tmp_path / "a.webp", tmp_path / "b.webp").share == 1 / 3


def test_pictures_of_another_size_are_not_compared(tmp_path: Path) -> None:
    one, other = flat(tmp_path / "one.png", 9), draw(tmp_path / "other.png")
    with pytest.raises(InvalidRequest, match="4 x 2 pixels"):
        measure_difference(one, other)
    found = compare_files(*(read_made_file(each, tmp_path) for each in (one, other)))
    assert found.pixels is None
    assert found.unchecked[0].startswith("pixels: one.png has 4 x 2 pixels")
    assert found.verdict == "Other bytes; the pixels are not compared."


def test_a_damaged_picture_is_said_to_be_one(tmp_path: Path) -> None:
    whole = draw(tmp_path / "whole.png")
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(UnusableFile):
        measure_difference(whole, cut)


def copied(source: Path, target: Path) -> Path:
    """The same pictures in a file with other texts and without sound."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as copy:
        film = clip.streams.video[0]
        stream = copy.add_stream_from_template(film)
        for packet in clip.demux(film):
            if packet.size:  # the last one is empty
                packet.stream = stream
                copy.mux(packet)
    return target


def lossless(path: Path, *levels: int) -> Path:
    """A film of flat grey frames, whose pixels are as they are given."""
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("ffv1", rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "bgr0"
        for level in levels:
            shown = Image.new("RGB", (8, 8), (level, level, level))
            frame = av.VideoFrame.from_image(shown)  # type: ignore[no-untyped-call]  # PyAV has none
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", FILMS)
def test_films_of_the_same_pictures_have_the_same_pixels(tmp_path: Path, name: str) -> None:
    one = film(tmp_path / name, *FILMS[name])
    files = (one, copied(one, tmp_path / f"copy-{name}"))
    found = compare_files(*(read_made_file(each, tmp_path) for each in files))
    assert not found.same_bytes
    assert found.verdict == "Same pixels, in a file of other bytes."
    assert not any("pixels" in each for each in found.unchecked)


def test_every_frame_of_a_film_counts_and_the_furthest_is_drawn(tmp_path: Path) -> None:
    one = lossless(tmp_path / "one.mkv", 10, 10, 10, 10)
    other = lossless(tmp_path / "other.mkv", 10, 11, 10, 50)
    found = measure_difference(one, other)
    assert (found.largest, found.share) == (40, 0.5)
    drawn = draw_difference(one, other)
    assert drawn.getpixel((0, 0)) == (255, 255, 255)


def test_films_of_another_length_are_not_compared(tmp_path: Path) -> None:
    one, shorter = lossless(tmp_path / "a.mkv", 1, 2, 3), lossless(tmp_path / "b.mkv", 1, 2)
    for pair in ((one, shorter), (shorter, one)):
        with pytest.raises(InvalidRequest, match=r"b\.mkv has 2 frames, a\.mkv has more"):
            measure_difference(*pair)


def test_a_sound_is_compared_by_what_it_says_only(tmp_path: Path) -> None:
    made = read_made_file(sound(tmp_path / "sound.flac", SOUNDS["sound.flac"]), tmp_path)
    found = compare_files(made, made)
    assert found.same_bytes
    assert found.pixels is None
    assert "is no picture or film that can be compared" in found.unchecked[0]


def test_the_nearest_of_several_is_shown(tmp_path: Path) -> None:
    files = [flat(tmp_path / f"{level}.png", level) for level in (10, 90, 12)]
    original, *others = (read_made_file(each, tmp_path) for each in files)
    assert nearest(original, others).second.endswith("12.png")


def test_a_picture_of_the_difference_overwrites_nothing(tmp_path: Path) -> None:
    one = read_made_file(flat(tmp_path / "one.png", 9), tmp_path)
    write_difference(one, one, tmp_path / "difference.png")
    with pytest.raises(InvalidRequest, match="is there already"):
        write_difference(one, one, tmp_path / "difference.png")


async def test_the_command_tells_settings_words_and_pixels_of_foreign_pictures(
    tmp_path: Path,
) -> None:
    """Without a stack."""
    anime = Commands({"ANIME_HOME": str(tmp_path)}).call
    first, second, drawn = (str(tmp_path / f"{name}.png") for name in ("a", "b", "difference"))
    draw(Path(first), texts={"prompt": json.dumps(GRAPH)})
    changed = json.dumps(GRAPH).replace("a roof", "a red roof").replace('"steps": 4', '"steps": 8')
    draw(Path(second), texts={"prompt": changed})
    found = json.loads((await anime("diff", first, second, "--json")).out)
    settings = {each["setting"]: (each["first"], each["second"]) for each in found["settings"]}
    assert settings["steps"] == (4, 8)
    assert found["words"] == [{"text": "prompt", "removed": [], "added": ["red"]}]
    assert found["pixels"]["largest"] > 0
    told = (await anime("diff", first, second, "--picture", drawn)).out
    assert "steps: 4 → 8" in told
    assert "samplers: node " in told
    assert "prompt: +red" in told
    assert Path(drawn).is_file()
    for name, reason in (("difference.jpg", "would be a PNG"), ("difference.png", "there already")):
        refused = await anime("diff", first, second, "--picture", str(tmp_path / name))
        assert refused.code == 1
        assert reason in refused.err
    assert not (tmp_path / "difference.jpg").exists()
    refused = await anime("diff", first, "nothing.png")
    assert refused.code == 1
    assert "is no file that is there, and no id" in refused.err

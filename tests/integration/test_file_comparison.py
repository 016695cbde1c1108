"""How files on disk are compared: bytes, pixels, and what they say."""

import json
from pathlib import Path

import pytest
from PIL import Image

from anime.assets.pixel_difference import draw_difference, measure_difference
from anime.errors import InvalidRequest, UnusableFile
from anime.jobs.reproduction import compare_files, nearest, read_made_file, write_difference
from tests.integration.media_samples import FILMS, draw, film
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


def test_a_film_is_compared_by_what_it_says_only(tmp_path: Path) -> None:
    one = film(tmp_path / "film.mp4", *FILMS["film.mp4"])
    made = read_made_file(one, tmp_path)
    found = compare_files(made, made)
    assert found.same_bytes
    assert found.pixels is None
    assert "is no picture that can be compared" in found.unchecked[0]


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
    assert "prompt: +red" in told
    assert Path(drawn).is_file()
    refused = await anime("diff", first, "nothing.png")
    assert refused.code == 1
    assert "is no file that is there, and no id" in refused.err

"""The placeholder pictures: the same request gives the same picture, another one another."""

from dataclasses import replace
from random import Random

import pytest
from PIL import Image, ImageChops, ImageStat

from anime.rehearsal.painting import caption
from anime.rehearsal.painting.caption import text_width, wrap
from anime.rehearsal.painting.motif import Figure, Scenery, TimeOfDay, Weather, read_motif
from anime.rehearsal.painting.painter import Scene, paint

SCENE = Scene("a girl on a rooftop at dusk", 7, 96, 128, sampler="euler/normal")


def difference(first: Image.Image, second: Image.Image) -> float:
    """The mean difference of two pictures, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3


def test_the_same_scene_gives_the_same_pixels() -> None:
    assert paint(SCENE).tobytes() == paint(SCENE).tobytes()


@pytest.mark.parametrize(
    "other", [replace(SCENE, seed=8), replace(SCENE, take=1), replace(SCENE, model="other")]
)
def test_another_seed_take_or_model_gives_another_picture(other: Scene) -> None:
    assert difference(paint(SCENE), paint(other)) > 5


def test_frames_of_an_animation_are_of_one_take_and_move_a_little() -> None:
    first, second = paint(SCENE, 0.0), paint(replace(SCENE, take=1), 0.125)
    assert 0 < difference(first, second) < 8
    assert difference(first, second) < difference(paint(SCENE), paint(replace(SCENE, take=1)))


def test_an_animation_ends_where_it_began() -> None:
    assert difference(paint(SCENE, 0.0), paint(SCENE, 0.9999)) < 3


def test_denoise_lets_the_input_picture_through() -> None:
    red = Image.new("RGB", (96, 128), (255, 0, 0))
    faint = paint(replace(SCENE, denoise=0.2), under=red)
    strong = paint(replace(SCENE, denoise=0.9), under=red)
    assert difference(faint, red) < difference(strong, red)


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (16, 512), (1024, 24)])
def test_any_size_can_be_painted(size: tuple[int, int]) -> None:
    assert paint(replace(SCENE, width=size[0], height=size[1])).size == size


@pytest.mark.parametrize("prompt", ["", "夕暮れの屋上 🌸", "x" * 5000, "a\nb\x00\ud800"])
def test_any_prompt_can_be_written(prompt: str) -> None:
    assert paint(replace(SCENE, prompt=prompt)).size == (96, 128)


def test_words_steer_the_motif() -> None:
    motif = read_motif("A girl in a snowy forest at NIGHT", Random("any"))
    assert (motif.time, motif.scenery) == (TimeOfDay.NIGHT, Scenery.FOREST)
    assert (motif.weather, motif.figure) == (Weather.SNOW, Figure.GIRL)


@pytest.mark.parametrize("phase", [None, 0.5])
@pytest.mark.parametrize("size", [(32, 32), (96, 128), (512, 96)])
def test_every_frame_says_that_it_is_a_placeholder(
    size: tuple[int, int], phase: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = replace(SCENE, width=size[0], height=size[1])
    marked = paint(scene, phase)
    monkeypatch.setattr(caption, "MARK", "")
    place = ImageChops.difference(marked, paint(scene, phase)).getbbox()
    assert place is not None
    assert place[3] < size[1] / 2  # at the top, away from the prompt


def test_what_has_no_spaces_is_cut_where_the_line_ends() -> None:
    lines = wrap("夕暮れの屋上" * 20, 12.0, 150.0, 3)
    assert len(lines) == 3
    assert "".join(lines).startswith("夕暮れの屋上夕暮れの屋上")
    assert all(100.0 < text_width(line, 12.0) <= 150.0 for line in lines)


def test_a_long_prompt_is_wrapped_and_shortened() -> None:
    lines = wrap("a girl with silver hair " * 20, 12.0, 150.0, 2)
    assert len(lines) == 2
    assert lines[-1].endswith("…")
    assert all(text_width(line, 12.0) <= 150.0 for line in lines)

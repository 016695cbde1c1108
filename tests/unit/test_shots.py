"""Shots, the order of their codes, and what renders them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from anime.core.shots import ShotFields, code_key, natural_key, sort_key


@pytest.mark.parametrize(
    "ordered",
    [
        ["sc1", "sc2", "sc10", "sc100"],
        ["c1a", "c1b", "c2"],
        ["1", "1a", "2", "10"],
        ["カット2", "カット10"],
        ["s1_c2", "s1_c10", "s2_c1", "s10_c1"],
    ],
)
def test_codes_are_sorted_as_people_count(ordered: list[str]) -> None:
    assert sorted(set(ordered), key=natural_key) == ordered


@given(st.text(alphabet="abc", max_size=3), st.integers(0, 10**30), st.integers(0, 10**30))
def test_of_two_numbers_in_one_place_the_smaller_comes_first(text: str, a: int, b: int) -> None:
    small, large = sorted((a, b))
    assert natural_key(f"{text}{small}") <= natural_key(f"{text}{large}")
    assert (natural_key(f"{text}{small}") == natural_key(f"{text}{large}")) is (a == b)


def test_shots_go_by_episode_then_scene_then_code() -> None:
    shots = [
        ShotFields(code=code, episode=episode, scene=scene)
        for episode, scene, code in [
            (None, None, "z"),
            ("1", None, "9"),
            ("1", "2", "1"),
            ("1", "10", "0"),
            ("2", "1", "a"),
            ("10", "1", "a"),
        ]
    ]
    assert sorted(shots[3:] + shots[:3], key=sort_key) == shots


def test_one_code_in_two_forms_or_cases_is_one() -> None:
    assert code_key("ガ_SC1") == code_key("ガ_sc1")


@pytest.mark.parametrize(
    "code", ["", "  ", "a/b", "a\\b", "a\x07b", "a\u202eb", "a\u200bb", "x" * 65]
)
def test_a_code_that_no_folder_or_list_can_hold_is_refused(code: str) -> None:
    with pytest.raises(ValidationError):
        ShotFields(code=code)


def test_a_shot_has_one_length() -> None:
    with pytest.raises(ValidationError, match="both frames and seconds"):
        ShotFields(code="a", frames=24, seconds=1)


def test_a_take_is_asked_for_with_all_that_the_shot_says() -> None:
    shot = ShotFields(
        code="sc1",
        characters=["Mei"],
        prompt="Mei on a roof",
        negative_prompt="rain",
        workflow="animation",
        width=512,
        frames=16,
        seed=7,
        notes="for the director",
    )
    request = shot.request("neon-city")
    assert request is not None
    assert request.model_dump(exclude_unset=True) == {
        "prompt": "Mei on a roof",
        "negative_prompt": "rain",
        "project": "neon-city",
        "shot": "sc1",
        "character": "Mei",
        "workflow": "animation",
        "width": 512,
        "seed": 7,
        "inputs": {"frames": 16},
    }


def test_a_shot_without_a_prompt_is_not_rendered() -> None:
    assert ShotFields(code="sc1").request("neon-city") is None

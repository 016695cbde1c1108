import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.core.labels import shorten


def test_a_short_prompt_stays_as_it_is() -> None:
    assert shorten("a girl on a rooftop", 40) == "a girl on a rooftop"


def test_a_long_prompt_is_cut_between_words() -> None:
    assert shorten("a girl on a rooftop at dusk, neon lights", 20) == "a girl on a rooftop…"


def test_one_long_word_is_cut_inside() -> None:
    assert shorten("x" * 100, 10) == "x" * 9 + "…"


def test_no_comma_is_left_before_the_ellipsis() -> None:
    assert shorten("a girl, dusk, neon", 14) == "a girl, dusk…"


@pytest.mark.parametrize("prompt", ["a\nb\tc", "  a   b  c ", "a\x00b\x1b c"])
def test_a_prompt_of_many_lines_becomes_one(prompt: str) -> None:
    assert shorten(prompt, 40) == "a b c"


@given(st.text(max_size=200), st.integers(0, 60))
def test_the_result_is_never_longer_than_asked(prompt: str, length: int) -> None:
    assert len(shorten(prompt, length)) <= length


@given(st.text(max_size=200), st.integers(0, 60))
def test_the_result_is_always_one_printable_line(prompt: str, length: int) -> None:
    assert shorten(prompt, length).isprintable()

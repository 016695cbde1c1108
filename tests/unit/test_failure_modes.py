"""The pages on failure modes claim no test that is not there, and no number is left out."""

import re

import pytest

from anime.settings import PROJECT_DIR

MODES = (PROJECT_DIR / "docs" / "failure-modes.md").read_text()
TESTS = (PROJECT_DIR / "docs" / "failure-mode-tests.md").read_text()
NUMBERS = {
    *(*range(1, 8), *range(10, 18), *range(20, 28), *range(30, 33), *range(40, 50)),
    *(*range(50, 57), *range(60, 63), *range(70, 72), *range(80, 82)),
}


@pytest.fixture(scope="module")
def all_tests() -> set[str]:
    """The names of all tests there are."""
    return {
        name
        for path in (PROJECT_DIR / "tests").rglob("test_*.py")
        for name in re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }


def numbers_in(page: str) -> set[int]:
    """The numbers that have a paragraph on the page."""
    heads = re.findall(r"^\* \*\*(F\d\d(?:, F\d\d)*)\*\* ", page, re.MULTILINE)
    return {int(number) for head in heads for number in re.findall(r"\d\d", head)}


def test_every_test_that_is_named_exists(all_tests: set[str]) -> None:
    assert set(re.findall(r"`(test_\w+)`", MODES + TESTS)) - all_tests == set()


def test_every_number_is_covered_or_has_its_reason() -> None:
    assert numbers_in(MODES) == NUMBERS


def test_every_number_that_is_called_covered_has_a_test() -> None:
    covered, _, missing = MODES.partition("## Not yet")
    assert missing
    assert numbers_in(covered) == {
        int(number)
        for numbers, _ in re.findall(r"^\| ([F\d, ]+) \| `(test_\w+)` \|$", TESTS, re.MULTILINE)
        for number in re.findall(r"\d\d", numbers)
    }


def test_every_number_that_is_called_covered_has_a_test_of_that_name(all_tests: set[str]) -> None:
    covered = numbers_in(MODES.partition("## Not yet")[0])
    heads = [
        name.split("_", 3)[1:3] for name in all_tests & set(re.findall(r"`(test_\w+)`", TESTS))
    ]
    named = {int(word[1:]) for head in heads for word in head if re.fullmatch(r"f\d\d", word)}
    assert covered - named == set()


def test_every_number_that_has_tests_of_its_own_names_one(all_tests: set[str]) -> None:
    numbered = {name[:8] for name in all_tests if re.match(r"test_f\d\d_", name)}
    assert numbered == {name[:8] for name in re.findall(r"`(test_f\d\d_\w+)`", TESTS)}

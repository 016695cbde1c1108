"""The page's words, its weight, and what its templates and modules may hold."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from anime.api.page.assets import PageFiles
from anime.api.page.frame import VIEWS
from anime.api.page.language import LANGUAGES, words_of
from anime.settings import PROJECT_DIR

PAGE = PROJECT_DIR / "anime" / "api" / "page"
SOURCES = sorted([*(PAGE / "templates").glob("*.html"), *(PAGE / "static").glob("*.js")])
MAX_COMPRESSED_BYTES = 60_000  # scripts and styles of all views together
KEY = re.compile(r"\bt\(\s*'([a-z0-9_.]*[a-z0-9_])'")
# `group.${value}` in modules, 'group.' ~ value in templates: every key of the group is used.
GROUP = re.compile(r"\bt\(\s*(?:`([a-z0-9_.]+\.)\$\{|'([a-z0-9_.]+\.)' ~)")
SUFFIX = re.compile(r"\bt\(\s*(?:view|each) ~ '(\.[a-z_.]+)'")
CHOICE = re.compile(r"\bt\([^()?]*\?\s*'([a-z0-9_.]+)'\s*:\s*'([a-z0-9_.]+)'")


def keys_in(text: str) -> Iterator[str]:
    """The keys that a template or module asks for by their whole name."""
    yield from KEY.findall(text)
    for choice in CHOICE.findall(text):
        yield from choice


def groups_in(text: str) -> Iterator[str]:
    """The beginnings of keys whose end is a value."""
    yield from (one or other for one, other in GROUP.findall(text))


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in SOURCES}


def test_every_language_has_the_same_words() -> None:
    keys = {language: list(words_of(language)) for language in LANGUAGES}
    assert all(each == keys["en"] for each in keys.values())


def test_no_word_is_given_twice() -> None:
    for path in (PAGE / "words").glob("*.json"):
        pairs = json.loads(path.read_text("utf-8"), object_pairs_hook=list)
        assert len(pairs) == len(dict(pairs)), path.name


def test_every_language_fills_in_the_same_values() -> None:
    def values(language: str) -> dict[str, set[str]]:
        return {
            key: set(re.findall(r"\{(\w+)\}", text)) for key, text in words_of(language).items()
        }

    assert values("ja") == values("en")


def test_every_word_that_is_asked_for_exists_and_no_other(texts: dict[str, str]) -> None:
    known = set(words_of("en"))
    used = {key for text in texts.values() for key in keys_in(text)}
    assert used - known == set()
    groups = tuple({group for text in texts.values() for group in groups_in(text)})
    titles = {
        view + suffix
        for text in texts.values()
        for suffix in SUFFIX.findall(text)
        for view in VIEWS
    } | {"login.title"}
    assert {key for key in known - used - titles if not key.startswith(groups)} == set()


def test_the_forms_in_which_words_are_asked_for_are_seen() -> None:
    assert list(keys_in("t('a.b') t('c.d', {n: 1}) t(x ? 'e.f' : 'g.h')")) == [
        *("a.b", "c.d", "e.f", "g.h")
    ]
    assert list(groups_in("t(`jobs.state.${state}`) t('role.' ~ role)")) == ["jobs.state.", "role."]


def test_scripts_and_styles_are_small() -> None:
    sizes = PageFiles.of_this_package().compressed_bytes
    heavy = {name: size for name, size in sizes.items() if Path(name).suffix in {".js", ".css"}}
    assert sum(heavy.values()) <= MAX_COMPRESSED_BYTES, heavy


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_stands_in_the_page_that_its_policy_forbids(path: Path) -> None:
    text = path.read_text("utf-8")
    if path.suffix == ".html":
        assert not re.search(r"""\s(on[a-z]+|style)=["']""", text)
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", text)
        assert "|safe" not in text.replace(" ", "")
    # What people wrote becomes text, never elements.
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"""(https?:)?//[a-z0-9-]+\.[a-z]{2,}|["'`(]//""", text)

"""The documentation can be read, leads somewhere, and speaks of modules that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from anime.settings import PROJECT_DIR
from tests.unit.test_layers import imports_among, rooms, sources

MAX_COLUMNS = 120
PAGES = sorted(
    [
        *(PROJECT_DIR / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
        *(
            PROJECT_DIR / name
            for name in ("CHANGELOG.md", "benchmarks/README.md", "workflows/README.md")
        ),
        *(PROJECT_DIR / "docs").rglob("*.md"),
    ]
)
TOPS = ("anime", "flows", "tasks", "blocks", "workflows", "tests", "benchmarks", "docs")
FOR_ALL = frozenset({"anime.core", "anime.settings"})


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line outside of fenced and indented code."""
    is_fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_fenced = not is_fenced
        elif not is_fenced and not line.startswith("    "):
            yield number, line


def long_lines(text: str) -> list[str]:
    """Lines that are too long, but for code and the addresses of links below a page."""
    return [
        f"{number}: {len(line)}"
        for number, line in prose(text)
        if len(line) > MAX_COLUMNS and not re.match(r"\[[^\]]+\]: \S+$", line)
    ]


def headings(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    titles = [line.lstrip("# ") for _, line in prose(text) if line.startswith("#")]
    words = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in words}


def dead_links(page: Path, text: str) -> list[str]:
    """Relative links to a file or a heading that is not there."""
    lines = "\n".join(line for _, line in prose(text))
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", lines):
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", name):
            continue
        target = page.parent / name if name else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in headings(target.read_text())
        ):
            found.append(link)
    return found


def unknown_paths(text: str) -> list[str]:
    """Modules and folders of ours, written as `anime/jobs/service.py`, that are not there."""
    code = [word for _, line in prose(text) for word in re.findall(r"`([^`]+)`", line)]
    return [word for word in code if is_path_of_ours(word) and not leads_somewhere(word)]


def is_path_of_ours(word: str) -> bool:
    is_one = re.fullmatch(r"[\w./*]+(::\w+)?", word) and "/" in word
    return bool(is_one) and word.split("/", maxsplit=1)[0] in TOPS


def leads_somewhere(word: str) -> bool:
    path, _, name = word.partition("::")
    found = list(PROJECT_DIR.glob(path.rstrip("/")))
    return any(not name or re.search(rf"\b{name}\b", each.read_text()) for each in found)


def table_below(heading: str) -> dict[str, str]:
    """The second column by room, from the top down, of a table in ARCHITECTURE.md."""
    section = (PROJECT_DIR / "ARCHITECTURE.md").read_text().partition(f"## {heading}\n")[2]
    rows = re.findall(r"^\| `([\w/]+)/` \| (.*) \|$", section.partition("\n## ")[0], re.MULTILINE)
    return {room.replace("/", "."): words for room, words in rows}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_DIR)))
def test_a_page_has_short_lines_and_what_it_points_to_exists(page: Path) -> None:
    text = page.read_text()
    assert long_lines(text) == []
    assert dead_links(page, text) == []
    assert unknown_paths(text) == []


def test_the_table_of_rooms_has_every_room_and_what_is_in_it() -> None:
    table = table_below("The rooms")
    assert set(rooms(imports_among(sources()))) - {"anime"} == table.keys()
    for room, content in table.items():
        folder = PROJECT_DIR / room.replace(".", "/")
        for name in re.findall(r"`([a-z_/]+)`", content):
            assert list(folder.glob(f"{name.rstrip('/')}*")), f"{room} has no {name}"


def test_each_room_imports_what_the_table_says_and_only_from_further_down() -> None:
    table = table_below("Who may import whom")
    order = list(table)
    assert order == list(table_below("The rooms"))
    for room, others in rooms(imports_among(sources())).items():
        for other in others - {"anime"}:
            told = set(re.findall(r"`([a-z]+)`", table[room])) | FOR_ALL
            assert {other, other.removeprefix("anime.")} & told, f"{room} imports {other}"
            assert order.index(other) > order.index(room), f"{room} stands below {other}"


def test_each_rule_notices() -> None:
    page = PROJECT_DIR / "docs" / "api.md"
    assert long_lines("x" * 121)
    assert dead_links(page, "[there](nowhere.md)")
    assert dead_links(page, "[there](api.md#no-such-heading)")
    assert unknown_paths("`anime/jobs/clerk.py`")
    assert unknown_paths("`anime/jobs/service.py::Clerk`")


def test_each_rule_lets_pass_what_is_right() -> None:
    page = PROJECT_DIR / "docs" / "api.md"
    assert not long_lines(f"```\n{'x' * 121}\n```\n    {'x' * 121}\n[api]: {'x' * 121}")
    assert not dead_links(page, "[this](api.md) [up](../README.md) [that](https://x.example/y)")
    assert not unknown_paths("`anime/jobs/` `anime/api/routes_*.py` `generate/generate`")
    assert not unknown_paths("`anime/jobs/service.py::JobService`")


def test_the_glossary_has_each_term_once_and_in_order() -> None:
    page = (PROJECT_DIR / "docs" / "glossary.md").read_text()
    terms = re.findall(r"^\| ([\w -]+) \| .+ \|$", page, re.MULTILINE)[1:]
    assert "job service" in terms
    assert terms == sorted(set(terms))

"""What all tests share: nobody's real settings or data are ever touched."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from anime.settings import get_settings

TESTS = Path(__file__).parent
# The tests of each of these share one running stack or server; those that take longest begin.
SHARING = ("warm", "house", "flows", "faults")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that share something run in one process, one after the other; others by file."""
    items.sort(key=_turn)
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        group = folder if folder in SHARING else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Spell out what no UTF-8 can say: reports go from process to process."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


def _turn(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    return SHARING.index(folder) if folder in SHARING else len(SHARING)


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty data folder and no address of anything, whatever the caller's environment says."""
    for name in list(os.environ):
        if name.startswith("ANIME_") or name in {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANIME_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()

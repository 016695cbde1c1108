"""What all tests share: nobody's real settings or data are ever touched."""

import gc
import os
import ssl
from collections.abc import Generator, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from anime.comfyui import server_facts
from anime.settings import get_settings
from tests.scheduling import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from tests.services import (
    database,
    database_url,
    empty_database_url,
    migrated_databases,
    postgres_url,
    redis_url,
)
from tests.support import forks, reaper

__all__ = [
    "database",
    "database_url",
    "empty_database_url",
    "migrated_databases",
    "postgres_url",
    "pytest_collection_modifyitems",
    "pytest_xdist_make_scheduler",
    "redis_url",
]

TESTS = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Leave nothing behind in the end; let all workers of pytest-xdist use one fork server."""
    reaper.pytest_configure()
    if config.getoption("numprocesses", None):
        forks.start_fork_server()


def pytest_unconfigure() -> None:
    """End the fork server, too."""
    forks.stop_fork_server()


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import a share of the test modules first: what one worker compiles, the others need not."""
    count, config = os.environ.get("PYTEST_XDIST_WORKER_COUNT"), session.config
    if count is None or config.args != config.getini("testpaths"):
        return
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    for file in sorted(TESTS.rglob("test_*.py"))[number :: int(count)]:
        import_module(".".join(file.relative_to(TESTS.parent).with_suffix("").parts))


gc.disable()  # while tens of thousands of objects are made that all stay
# Each HTTP client makes one, of which no test but those of TLS needs anything: 20 ms of CPU.
ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]


def pytest_collection_finish() -> None:
    """Collect garbage from now on, but seldom, and never through what all modules have made."""
    import_module("tests.support.frozen")
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Spell out what no UTF-8 can say: reports go from process to process."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty data folder, no address and no facts of any server, whatever was there before."""
    for name in list(os.environ):
        if name.startswith("ANIME_") or name in {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANIME_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    monkeypatch.setattr(server_facts, "_by_url", {})
    yield
    get_settings.cache_clear()

"""What all tests share: nobody's real settings or data are ever touched."""

import gc
import os
from collections.abc import Generator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg
from sqlalchemy.event import listens_for
from sqlalchemy.util import LRUCache

from anime.assets import limited_process
from anime.comfyui import server_facts
from anime.settings import get_settings
from tests.scheduling import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from tests.services import (
    database,
    database_url,
    empty_database_url,
    migrated_databases,
    new_sessions,
    postgres_url,
    redis_url,
)
from tests.support import forked_readers, forked_workers, forks, in_memory, reaper

__all__ = [
    "database",
    "database_url",
    "empty_database_url",
    "forked_readers",
    "migrated_databases",
    "new_sessions",
    "postgres_url",
    "pytest_collection_modifyitems",
    "pytest_xdist_make_scheduler",
    "redis_url",
]


def pytest_configure(config: pytest.Config) -> None:
    """Leave nothing behind in the end; let workers of pytest-xdist be forked."""
    if not config.option.collectonly:
        reaper.pytest_configure()
        in_memory.pytest_configure()
        forked_workers.pytest_configure(config)


def pytest_unconfigure() -> None:
    """End the fork server, too, after what it has forked."""
    limited_process._stop_kept()
    forks.stop_fork_server()


# Each test has engines of its own, which would all put the same statements together once more: a
# tenth of the CPU. All are made alike, so that one dialect is as good as another.
_statements = LRUCache[Any, Any](5000)
PGDialectAsync_psycopg.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign]
PGDialectAsync_psycopg.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]


@listens_for(Engine, "engine_connect")
def share_statements(connection: Connection) -> None:
    """Let the engine use what others have put together."""
    connection.engine._compiled_cache = _statements


gc.disable()  # while tens of thousands of objects are made that all stay


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

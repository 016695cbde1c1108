"""Real folders, disks, processes and a real PostgreSQL for everything that can go wrong."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from anime.db.session import Database
from tests.integration.import_folder import Stage


@pytest.fixture
def stage(tmp_path: Path, database: Database, database_url: str) -> Stage:
    """An empty output folder and an empty library."""
    for name in ("output", "library"):
        (tmp_path / name).mkdir()
    return Stage(tmp_path / "output", tmp_path / "library", database, database_url)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, as those of pytest cannot be."""
    with tempfile.TemporaryDirectory(prefix="anime-faults-") as name:
        Path(name).chmod(0o755)
        yield Path(name)

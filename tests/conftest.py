"""What all tests share: nobody's real settings or data are ever touched."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from anime.settings import get_settings


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

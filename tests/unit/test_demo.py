"""`anime demo`: what it leaves in the library."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anime.cli import demo
from anime.core.sheet_pages import SHEETS_FOLDER
from anime.settings import Settings


async def test_its_sheet_is_no_file_without_a_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It lay among the pictures, where `anime verify` missed its row."""
    drawn: list[Path] = []

    async def nothing(_: Any) -> list[Any]:
        return []

    async def draw(database: object, shots: object, target: Path, **_: object) -> list[Path]:
        drawn.append(target)
        return [target]

    monkeypatch.setattr(demo, "_shots", nothing)
    monkeypatch.setattr(demo, "_takes", nothing)
    monkeypatch.setattr("anime.jobs.shot_export.sheet_of_shots", draw)
    settings = Settings(library_dir=tmp_path)
    service: Any = SimpleNamespace(settings=settings, database=None)
    await demo._show(service)
    assert drawn == [tmp_path / SHEETS_FOLDER / "demo-sheet.png"]

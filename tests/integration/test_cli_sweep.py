"""`anime sweep` and `anime quarantine`, as a person runs them."""

import asyncio
import json
from pathlib import Path

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from anime.cli.app import app
from anime.db.advisory_lock import SWEEP, advisory_lock
from anime.errors import ConfigurationError, NotFound
from anime.settings import get_settings
from tests.integration.import_folder import picture


@pytest.fixture
def output(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that ComfyUI saves in; the library is beside it."""
    for name in ("output", "library"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("ANIME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANIME_DATABASE_URL", database_url)
    monkeypatch.setenv("ANIME_LIBRARY_DIR", str(tmp_path / "library"))
    monkeypatch.setenv("ANIME_COMFYUI_OUTPUT_DIR", str(tmp_path / "output"))
    monkeypatch.setenv("ANIME_SWEEP_SETTLE_SECONDS", "0")
    get_settings.cache_clear()
    return tmp_path / "output"


def anime(*words: str) -> Result:
    return CliRunner().invoke(app, [*words])


def test_a_dry_run_prints_the_plan_and_a_sweep_carries_it_out(output: Path) -> None:
    (output / "a.png").write_bytes(picture(1))
    planned = anime("sweep", "--dry-run")
    assert "unorganized/images/" in planned.stdout
    assert "Would be: 1 organised" in planned.stdout
    assert list((output.parent / "library").iterdir()) == []
    done = json.loads(anime("sweep", "--json").stdout)
    assert done["counts"] == {"organised": 1}
    [file] = done["files"]
    assert Path(file["where"]).read_bytes() == picture(1)
    assert "nothing new" in anime("sweep").stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
async def test_beside_another_sweep_it_says_that_it_did_nothing(
    output: Path, database_url: str, options: list[str]
) -> None:
    (output / "a.png").write_bytes(picture(1))
    async with advisory_lock(make_url(database_url), SWEEP):
        done = await asyncio.to_thread(anime, "sweep", *options)
    assert done.exit_code == 0
    assert done.stderr == "Another sweep is running: nothing was done here.\n"
    if options:
        told = json.loads(done.stdout)
        assert told["is_another_running"]
        assert (told["folder"], told["counts"], told["files"]) == (str(output), {}, [])
    now = await asyncio.to_thread(anime, "sweep", "--json")
    assert not json.loads(now.stdout)["is_another_running"]


def test_a_quarantined_file_comes_back_and_is_left_alone_there(output: Path) -> None:
    broken = output / "sub" / "broken.png"
    broken.parent.mkdir()
    broken.write_bytes(b"half a picture")
    anime("sweep", "--mode", "move")
    assert not broken.exists()
    [record] = json.loads(anime("quarantine", "list", "--json").stdout)
    assert record["path"] == str(broken)
    restored = anime("quarantine", "restore", record["name"])
    assert restored.stdout.strip() == str(broken)
    assert broken.read_bytes() == b"half a picture"
    assert json.loads(anime("quarantine", "list", "--json").stdout) == []
    assert "nothing new" in anime("sweep").stdout


def test_coming_back_it_takes_no_other_files_place(output: Path) -> None:
    (output / "broken.png").write_bytes(b"half a picture")
    anime("sweep", "--mode", "move")
    (output / "broken.png").write_bytes(b"another one")
    restored = anime("quarantine", "restore", "broken.png")
    assert restored.stdout.strip() == str(output / "broken-2.png")
    assert (output / "broken.png").read_bytes() == b"another one"


def test_what_is_not_in_quarantine_cannot_come_back(output: Path) -> None:
    assert isinstance(anime("quarantine", "restore", "../../etc/passwd").exception, NotFound)


def test_without_a_folder_it_says_how_to_name_one(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANIME_COMFYUI_OUTPUT_DIR")
    fault = anime("sweep").exception
    assert isinstance(fault, ConfigurationError)
    assert "ANIME_COMFYUI_OUTPUT_DIR" in str(fault)

"""F43: a sweep is killed before any of its steps; the next one completes it."""

import asyncio
import hashlib
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from anime.assets.importer.report import SweepReport
from anime.core.sweep_plan import Mode
from tests.faults.children import MANY, ended, started, sweep_dying
from tests.integration.import_folder import Stage, picture
from tests.integration.old_client import execute
from tests.support.waiting import HUNG_SECONDS

NEVER = 1_000_000
ONE = 1  # file in a batch: two are in hand whenever it dies
EMPTIED = ("anime_files", "swept_files", "projects")  # TRUNCATE would make new files of them all
JOB = uuid4()
CONTENTS = {
    "a.png": picture(1, job_id=JOB, project="Neon City"),
    "old/take.png": picture(2),
    "old/twin.png": picture(2),
    "empty.png": b"",
}
USABLE = {hashlib.sha256(content).hexdigest() for content in CONTENTS.values() if content}
PROMPTS = {"a fox in the rain", "a well"}  # of the stamp and of the sidecar


def scene(folder: Path, stage: Stage) -> Stage:
    """A folder of its own with a stamped picture, one beside a sidecar, its twin, and an empty."""
    for name in ("output", "library"):
        (folder / name).mkdir(parents=True)
    fresh = Stage(folder / "output", folder / "library", stage.database, stage.database_url)
    for name, content in CONTENTS.items():
        fresh.put(name, content)
    sidecar = {"job_id": str(uuid4()), "project_name": "Rain Town", "prompt": "a well"}
    fresh.put("old/job_metadata.json", json.dumps(sidecar).encode())
    return fresh


async def complete(stage: Stage, mode: Mode) -> SweepReport:
    """A sweep as soon as the killed one's turn is over."""
    async with asyncio.timeout(HUNG_SECONDS):
        while (report := await stage.try_sweep(mode, settle_seconds=0)) is None:
            await asyncio.sleep(0.01)
    return report


def hashes(library: Path) -> list[str]:
    """Of all pictures that have come in."""
    paths = (path for path in library.rglob("*.png") if path.stat().st_size)
    return sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)


async def check(stage: Stage, mode: Mode, when: str) -> None:
    """Nothing is lost, nothing is there twice, and every row has its file."""
    rows = await stage.rows("sha256, file_path, metadata->>'prompt'")
    assert {sha256 for sha256, *_ in rows} == USABLE, when
    assert len(rows) == len(USABLE), when
    assert {prompt for *_, prompt in rows} == PROMPTS, when
    for sha256, path, _ in rows:
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha256, when
    assert hashes(stage.library) == sorted(USABLE), when
    aside = [Path(name).name for name in stage.files() if name.startswith("quarantine/")]
    assert aside == ["empty.png", "empty.png.json"], when
    assert len(list(stage.output.rglob("*.png"))) == (0 if mode is Mode.MOVE else len(CONTENTS)), (
        when
    )


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """New folders, one after the other; each is gone when the next one is asked for."""

    def each() -> Iterator[Path]:
        for number in range(NEVER):
            folder = tmp_path / f"scene-{number}"
            yield folder
            shutil.rmtree(folder, ignore_errors=True)

    return each()


@pytest.mark.parametrize(("mode", "at_once"), [*((mode, MANY) for mode in Mode), (Mode.MOVE, ONE)])
async def test_f43_a_sweep_killed_before_any_step_is_completed_by_the_next(
    stage: Stage, folders: Iterator[Path], tmp_path: Path, mode: Mode, at_once: int
) -> None:
    told = tmp_path / "steps.txt"
    whole = scene(next(folders), stage)
    where = (whole.output.parent, stage.database_url)
    alive = started(sweep_dying, *where, mode, NEVER, told, at_once=at_once)
    assert await ended(alive) == 0
    steps = told.read_text().split("\n")
    assert {"open", "os.link", "commit"} <= set(steps)
    assert ("os.remove" in steps) or mode is not Mode.MOVE
    for number, name in enumerate(steps):
        for table in EMPTIED:
            await execute(stage.database_url, f"DELETE FROM anime_api.{table}")
        cut = scene(next(folders), stage)
        folder = cut.output.parent
        where = (folder, stage.database_url)
        dying = started(sweep_dying, *where, mode, number, told, at_once=at_once)
        assert await ended(dying) == -signal.SIGKILL, f"{number}: {name}"
        await complete(cut, mode)
        await check(cut, mode, f"killed before step {number}: {name}")

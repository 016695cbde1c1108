"""Years of a studio's files: swept, swept again, and known again without the database."""

import asyncio
import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from anime.assets.rebuild import rebuild
from anime.db.migrate import upgrade
from anime.db.session import Database
from tests import studio_files
from tests.integration.import_folder import Stage, counts
from tests.integration.old_client import execute
from tests.integration.rehearsal_peer import opened, txt2img
from tests.studio_files import FIRST_MADE, PROJECT, PROJECT_ID, PROJECT_SLUG, Made, make_studio

RENDERED = 6
PROMPT = "a girl at dusk"  # of `txt2img`
TOLD = """
    SELECT file.file_path, file.sha256, file.job_id, project.slug, file.file_type,
        file.metadata ->> 'prompt', file.metadata ->> 'seed', file.width, file.height, file.frames
    FROM anime_api.anime_files AS file
    LEFT JOIN anime_api.projects AS project ON project.id = file.project_id
    ORDER BY file.file_path
"""


@pytest.fixture
async def stage(tmp_path: Path, database: Database, database_url: str) -> Stage:
    """A studio with one project, called by its id and slug in file names."""
    for name in ("output", "library"):
        (tmp_path / name).mkdir()
    project = f"VALUES ('{PROJECT_ID}', '{PROJECT_SLUG}', '{PROJECT}')"
    await execute(database_url, f"INSERT INTO anime_api.projects (id, slug, name) {project}")
    return Stage(tmp_path / "output", tmp_path / "library", database, database_url)


def on_disk(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Every file with its number, time and content."""
    return {
        str(path.relative_to(folder)): (
            (status := path.stat()).st_ino,
            status.st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def expected(made: list[Made]) -> dict[str, tuple[object, ...]]:
    """Owner, prompt and seed of what is to have a row, by content."""
    return {
        file.sha256: (file.job_id, file.project, file.prompt, file.seed)
        for file in made
        if file.outcome == "organised"
    }


async def rendered(stage: Stage) -> dict[str, tuple[object, ...]]:
    """The same of pictures that a rehearsal server leaves in the folder: a graph, and no owner."""
    async with opened(stage.output.parent) as server:
        for seed in range(RENDERED):
            await server.run(txt2img(prefix="rehearsal/x", seed=seed))
    told: dict[str, tuple[object, ...]] = {}
    for seed, path in enumerate(sorted((stage.output / "rehearsal").iterdir())):
        os.utime(path, (FIRST_MADE, FIRST_MADE))
        told[hashlib.sha256(path.read_bytes()).hexdigest()] = (None, None, PROMPT, str(seed))
    return told


def found(rows: list[tuple[Any, ...]]) -> dict[str, tuple[object, ...]]:
    """The same of what has one."""
    return {sha256: (job, slug, text, seed) for _, sha256, job, slug, _, text, seed, *_ in rows}


def test_a_seed_always_makes_the_same_studio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio_files, "EACH", 3)
    assert make_studio(tmp_path / "a", 7) == make_studio(tmp_path / "b", 7)
    assert make_studio(tmp_path / "c", 8) != make_studio(tmp_path / "d", 7)


async def test_owners_seeds_prompts_and_counts_survive_a_second_sweep_and_a_lost_database(
    stage: Stage,
) -> None:
    made, others = await asyncio.to_thread(make_studio, stage.output), await rendered(stage)
    assert (len(made) >= 500, len(others)) == (True, RENDERED)
    report = await stage.sweep()
    outcomes = Counter(file.outcome for file in made if file.outcome)
    assert counts(report) == outcomes + Counter(organised=RENDERED)
    first = await execute(stage.database_url, TOLD)
    assert found(first) == expected(made) | others

    rows, files = await stage.rows("xmin, *"), on_disk(stage.library)
    assert counts(await stage.sweep()) == {}
    assert (await stage.rows("xmin, *"), on_disk(stage.library)) == (rows, files)

    await stage.database.dispose()
    await execute(stage.database_url, "DROP SCHEMA anime_api CASCADE")
    await upgrade(stage.database_url)
    await rebuild(stage.database, stage.library, zone=ZoneInfo("Asia/Tokyo"))
    assert await execute(stage.database_url, TOLD) == first
    assert on_disk(stage.library) == files

    after = counts(await stage.sweep())
    assert {word: after.get(word, 0) for word in ("organised", "left")} == {
        "organised": 0,
        "left": 0,
    }
    assert len(await stage.rows()) == len(first)
    assert set(on_disk(stage.output)) >= {file.path for file in made}

"""What sweeps remember: sources that are gone are forgotten, and only those; memory stays small."""

import os
import shutil
import tracemalloc
from pathlib import Path

import pytest

from anime.assets.importer import prune, walk
from anime.core.sweep_plan import Mode, folder_key
from tests.integration.import_folder import Stage, counts, picture
from tests.integration.old_client import execute

GONE_LINES = """
    INSERT INTO anime_api.swept_files (folder, name, size_bytes, mtime_ns, outcome, source_kept)
    SELECT decode('{key}', 'hex'), convert_to('gone_' || n || '.png', 'UTF8'), 1, 1, 'known', true
    FROM generate_series(1, {lines}) AS n ON CONFLICT DO NOTHING
"""


async def add_gone(stage: Stage, lines: int) -> None:
    """Lines of an earlier version, for files that are no longer there."""
    key = folder_key(os.fsencode(stage.output)).hex()
    await execute(stage.database_url, GONE_LINES.format(key=key, lines=lines))


async def remembered(stage: Stage) -> list[str]:
    """The names of all sources that are remembered."""
    names = await execute(
        stage.database_url, "SELECT convert_from(name, 'UTF8') FROM anime_api.swept_files"
    )
    return sorted(name for (name,) in names)


async def test_sources_that_are_gone_are_forgotten_and_the_others_stay_known(stage: Stage) -> None:
    for name in ("a.png", "sub/b.png", "sub/c.png"):
        stage.put(name, picture(len(name) + ord(name[-5])))
    await stage.sweep()
    (stage.output / "sub/b.png").unlink()
    await add_gone(stage, 50)
    assert counts(await stage.sweep()) == {}
    assert await remembered(stage) == ["a.png", "c.png"]


async def test_a_folder_that_is_gone_is_forgotten_with_all_in_it(stage: Stage) -> None:
    stage.put("a.png", picture(1))
    stage.put("jobs/7/1/b.png", picture(2))
    await stage.sweep()
    shutil.rmtree(stage.output / "jobs")
    await stage.sweep()
    assert await remembered(stage) == ["a.png"]
    folders = await execute(stage.database_url, "SELECT path FROM anime_api.swept_folders")
    assert folders == [(os.fsencode(stage.output),)]


async def test_an_emptied_folder_may_be_a_disk_that_is_away_and_is_not_forgotten(
    stage: Stage, tmp_path: Path
) -> None:
    stage.put("a.png", picture(1))
    stage.put("disk/b.png", picture(2))
    stage.put("disk/deep/c.png", picture(3))
    await stage.sweep()
    (stage.output / "disk").rename(tmp_path / "elsewhere")
    (stage.output / "disk").mkdir()  # the place of a disk that is not mounted
    assert counts(await stage.sweep()) == {}
    assert await remembered(stage) == ["a.png", "b.png", "c.png"]
    (stage.output / "disk").rmdir()
    (tmp_path / "elsewhere").rename(stage.output / "disk")
    assert counts(await stage.sweep()) == {}


async def test_an_empty_root_makes_no_sweep_forget(stage: Stage, tmp_path: Path) -> None:
    stage.put("a.png", picture(1))
    stage.put("sub/b.png", picture(2))
    await stage.sweep()
    stage.output.rename(tmp_path / "elsewhere")
    stage.output.mkdir()
    await stage.sweep()
    assert await remembered(stage) == ["a.png", "b.png"]


async def test_a_folder_that_cannot_be_looked_into_is_not_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str | bytes) -> os.stat_result:
        if b"secret" in os.fsencode(path):
            raise PermissionError(13, "Permission denied")
        return looked(path)

    stage.put("a.png", picture(1))
    secret = stage.put("secret/b.png", picture(2))
    await stage.sweep()
    secret.unlink()
    stage.put("secret/other.txt", b"the folder is not empty")
    looked = os.lstat
    with monkeypatch.context() as closed:  # whoever runs this may be root, whom nothing refuses
        closed.setattr("anime.assets.importer.prune.os.lstat", refused)
        await stage.sweep()
    assert await remembered(stage) == ["a.png", "b.png"]
    await stage.sweep()
    assert await remembered(stage) == ["a.png"]


async def test_what_lies_in_another_folder_that_is_swept_is_none_of_its_business(
    stage: Stage, tmp_path: Path
) -> None:
    stage.put("a.png", picture(1))
    await stage.sweep()
    (tmp_path / "other").mkdir()
    other = Stage(tmp_path / "other", stage.library, stage.database, stage.database_url)
    other.put("b.png", picture(2))
    (stage.output / "a.png").unlink()
    stage.put("stays.txt", b"the folder is not empty")
    await other.sweep()
    assert await remembered(stage) == ["a.png", "b.png"]


async def test_sources_that_were_moved_leave_no_line_for_long(stage: Stage) -> None:
    stage.put("a.png", picture(1))
    await stage.sweep(Mode.MOVE)
    assert await remembered(stage) == ["a.png"]
    await stage.sweep(Mode.MOVE)
    assert await remembered(stage) == []


async def test_a_dry_run_forgets_nothing(stage: Stage) -> None:
    stage.put("a.png", picture(1))
    await stage.sweep()
    await add_gone(stage, 3)
    await stage.sweep(dry_run=True)
    assert len(await remembered(stage)) == 4


async def test_each_sweep_looks_at_some_until_all_are_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "AT_ONCE", 400)
    stage.put("a.png", picture(1))
    await stage.sweep()
    await add_gone(stage, 2000)
    left = [len(await remembered(stage))]
    for _ in range(60):
        await stage.sweep()
        left.append(len(await remembered(stage)))
        assert left[-2] - left[-1] <= 400
        if left[-1] == 1:
            break
    assert await remembered(stage) == ["a.png"]


async def test_a_sweeps_memory_does_not_grow_with_what_is_remembered(stage: Stage) -> None:
    stage.put("a.png", picture(1))
    await stage.sweep()
    await add_gone(stage, 2 * prune.AT_ONCE)
    few = await peak_bytes(stage)
    await add_gone(stage, 20 * prune.AT_ONCE)  # 30 MB of lines, if all of them were read
    # Two sweeps alike may differ by half a megabyte, by when garbage is collected.
    assert await peak_bytes(stage) < few + 3_000_000


async def peak_bytes(stage: Stage) -> int:
    """What a sweep that finds nothing new holds at its highest."""
    tracemalloc.start()
    try:
        assert counts(await stage.sweep()) == {}
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_a_folder_of_very_many_files_is_looked_through_part_by_part(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "FILES_AT_ONCE", 3)
    for number in range(10):
        stage.put(f"{number}.png", picture(number))
    report = await stage.sweep()
    assert (report.seen, counts(report)) == (10, {"organised": 10})
    assert counts(await stage.sweep()) == {}

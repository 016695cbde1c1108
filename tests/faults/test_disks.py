"""F44: another disk, a full one, one that is read-only or gone, and one that is not ours."""

import os
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest

from anime.assets import store as libraries
from anime.core.sweep_plan import Mode
from anime.errors import StorageError
from tests.faults.children import (
    ended,
    ordinary_user,
    started,
    sweep_and_tell,
    sweep_as_ordinary_user,
)
from tests.faults.disks import another_disk, mount, only_root, small_disk
from tests.integration.import_folder import Stage, counts, picture

MEGABYTE = 1024 * 1024


def large_picture(number: int) -> bytes:
    """A picture of more than a megabyte: what follows its end is no matter to anybody."""
    return picture(number) + os.urandom(MEGABYTE)


def elsewhere(stage: Stage, *, output: Path | None = None, library: Path | None = None) -> Stage:
    """The stage with a folder on another disk."""
    places = (output or stage.output, library or stage.library)
    return Stage(*places, stage.database, stage.database_url)


@pytest.mark.parametrize("mode", list(Mode))
async def test_f44_files_come_from_another_disk_whole(stage: Stage, mode: Mode) -> None:
    with another_disk(mode.value) as output:
        there = elsewhere(stage, output=output)
        sources = [there.put(f"{number}.png", picture(number)) for number in range(3)]
        there.put("empty.png", b"")
        assert counts(await there.sweep(mode)) == {"organised": 3, "quarantined": 1}
        assert [source.exists() for source in sources] == [mode is not Mode.MOVE] * 3
        assert counts(await there.sweep(mode)) == {}
    pictures = stage.library / "unorganized/images/20251202"
    assert {path.read_bytes() for path in pictures.iterdir()} == {picture(n) for n in range(3)}
    assert list((stage.library / ".incoming").iterdir()) == []


@pytest.mark.parametrize("mode", [Mode.COPY, Mode.MOVE])
async def test_f44_a_disk_that_fills_up_keeps_what_came_before_and_the_sources(
    stage: Stage, tmp_path: Path, mode: Mode
) -> None:
    with small_disk(tmp_path / "small", 5) as disk, patch.object(libraries, "MIN_FREE_BYTES", 0):
        full = elsewhere(stage, library=disk)
        contents = {f"{number}.png": large_picture(number) for number in range(8)}
        for name, content in contents.items():
            full.put(name, content)
        with pytest.raises(StorageError, match="No space left") as refused:
            await full.sweep(mode)
        assert "Free some space" in refused.value.todo
        rows = [path for (path,) in await full.rows("file_path")]
        kept = {Path(path).name for path in rows}
        assert 0 < len(rows) < len(contents)
        assert {(Path(path)).read_bytes() for path in rows} == {contents[name] for name in kept}
        sources = {path.name for path in full.output.iterdir()}
        assert sources == set(contents) - (kept if mode is Mode.MOVE else set())
        assert list((disk / ".incoming").iterdir()) == []

        assert mount("-o", "remount,size=20m", str(disk)).returncode == 0
        await full.sweep(mode)
        found = {path.read_bytes() for path in disk.rglob("*.png")}
        assert found == set(contents.values())
        assert len(await full.rows()) == len(contents)


async def test_f44_a_disk_that_is_nearly_full_is_said_before_anything_is_done(
    stage: Stage, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", 4) as disk:
        full = elsewhere(stage, library=disk)
        full.put("a.png", picture(1))
        with pytest.raises(StorageError, match="MB left"):
            await full.sweep()
        assert (full.files(), await full.rows()) == ([], [])


async def test_f44_a_library_that_became_read_only_loses_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", 80) as disk:
        there = elsewhere(stage, library=disk)
        there.put("a.png", picture(1))
        assert mount("-o", "remount,ro", str(disk)).returncode == 0
        with pytest.raises(StorageError, match="Read-only file system"):
            await there.sweep(Mode.MOVE)
        assert (there.output / "a.png").read_bytes() == picture(1)
        assert await there.rows() == []
        assert mount("-o", "remount,rw", str(disk)).returncode == 0
        assert counts(await there.sweep(Mode.MOVE)) == {"organised": 1}


async def test_f44_an_output_folder_that_is_read_only_keeps_what_a_move_has_brought_in(
    stage: Stage, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", 8) as disk:
        there = elsewhere(stage, output=disk)
        there.put("a.png", picture(1))
        assert mount("-o", "remount,ro", str(disk)).returncode == 0
        assert counts(await there.sweep(Mode.MOVE)) == {"organised": 1}
        before = await there.rows("xmin, *")
        await there.sweep(Mode.MOVE)
        assert await there.rows("xmin, *") == before
        assert mount("-o", "remount,rw", str(disk)).returncode == 0
        await there.sweep(Mode.MOVE)
        assert list(disk.iterdir()) == []
    assert stage.files() == ["unorganized/images/20251202/a.png"]


@pytest.mark.parametrize("mode", list(Mode))
async def test_f44_a_library_that_vanishes_under_way_keeps_the_sources(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    for number in range(3):
        stage.put(f"{number}.png", picture(number))
    check = libraries.AssetStore.check

    async def check_and_lose(library: libraries.AssetStore) -> None:
        await check(library)
        shutil.rmtree(library.root)

    with monkeypatch.context() as patched:
        patched.setattr(libraries.AssetStore, "check", check_and_lose)
        with pytest.raises(StorageError, match="cannot write"):
            await stage.sweep(mode)
    assert not stage.library.exists()
    assert len(list(stage.output.iterdir())) == 3
    stage.library.mkdir()
    assert counts(await stage.sweep(mode)) == {"organised": 3}


def open_stage(folder: Path, stage: Stage) -> Stage:
    """A folder that another user can look into; what is in it is still ours."""
    for name in ("output", "library"):
        (folder / name).mkdir()
    return Stage(folder / "output", folder / "library", stage.database, stage.database_url)


async def said_to_ordinary_user(stage: Stage) -> str:
    """What a sweep of a user without rights says at its end."""
    told = stage.output.parent / "told"
    told.touch()
    told.chmod(0o666)
    child = started(sweep_as_ordinary_user, stage.output.parent, stage.database_url, told)
    assert await ended(child) == 0
    return told.read_text()


@only_root()
async def test_f44_a_library_this_user_may_not_write_to_is_said_and_changed_by_nothing(
    stage: Stage, open_folder: Path
) -> None:
    there = open_stage(open_folder, stage)
    there.put("a.png", picture(1))
    assert "Permission denied" in await said_to_ordinary_user(there)
    assert (there.files(), await there.rows()) == ([], [])


@only_root()
async def test_f44_a_file_this_user_may_not_read_is_left_and_the_rest_comes_in(
    stage: Stage, open_folder: Path
) -> None:
    there = open_stage(open_folder, stage)
    there.put("open.png", picture(1)).chmod(0o644)
    there.put("closed.png", picture(2)).chmod(0o600)
    there.put("shut/inside.png", picture(3))
    (there.output / "shut").chmod(0o700)
    os.chown(there.library, *ordinary_user(stage.database_url))
    assert "1 organised, 1 left for later" in await said_to_ordinary_user(there)
    assert there.files() == ["unorganized/images/20251202/open.png"]
    (there.output / "closed.png").chmod(0o644)
    (there.output / "shut").chmod(0o755)
    report = await there.sweep(Mode.COPY)
    assert counts(report) == {"organised": 2}


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
async def test_f44_an_ordinary_user_is_told_which_folder_cannot_be_written(stage: Stage) -> None:
    stage.put("a.png", picture(1))
    stage.library.chmod(0o555)
    told = stage.output.parent / "told"
    child = started(sweep_and_tell, stage.output.parent, stage.database_url, told)
    assert await ended(child) == 0
    stage.library.chmod(0o755)
    assert "Permission denied" in told.read_text()

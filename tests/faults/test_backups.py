"""A backup that is killed, or whose disk fills up, harms neither the studio nor other backups."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from anime.assets.backup.create import make_backup
from anime.assets.backup.drill import drill
from anime.assets.backup.drill_results import drills_of
from anime.assets.backup.folder import BackupFolder, check_parts
from anime.assets.backup.guards import only_one
from anime.assets.backup.listing import read_listing
from anime.assets.backup.restore import Restore
from anime.assets.store import sha256_of
from anime.core.backups import DRILLS
from anime.core.sweep_plan import Mode
from anime.db.bounded import BoundedConnection
from anime.db.session import Database
from anime.errors import AnimeError, BackupFailed
from anime.settings import Settings, load_settings
from tests.faults.children import Steps, ended, started
from tests.faults.disks import mount, small_disk
from tests.faults.test_disks import large_picture
from tests.integration.import_folder import Stage, picture
from tests.integration.old_client import execute
from tests.support.waiting import HUNG_SECONDS

NEVER = 1_000_000
PAGE_BYTES = 4096
SCRATCH = "SELECT datname FROM pg_database WHERE datname LIKE current_database() || '\\_drill\\_%'"
THERE = "SELECT to_regclass('anime_api.anime_files')"
PATHS = "SELECT file_path FROM anime_api.anime_files"


def settings_of(stage: Stage) -> Settings:
    return load_settings(
        home=stage.library.parent / "data", library_dir=stage.library, timezone="Asia/Tokyo"
    )


def back_up_dying(library: Path, backups: Path, url: str, deadly: int, told: Path) -> None:
    """A real backup that is killed before that step; the steps of one that lives are written."""
    dying(backups, deadly, told, in_backups(make_backup, library, backups, url))


def restore_dying(backup: Path, library: Path, url: str, deadly: int, told: Path) -> None:
    """A real restore that is killed before that step."""
    dying(library, deadly, told, restored(backup, library, url))


def drill_dying(library: Path, backups: Path, url: str, deadly: int, told: Path) -> None:
    """A real drill that is killed before that step."""
    dying(backups, deadly, told, in_backups(drill, library, backups, url))


def dying(folder: Path, deadly: int, told: Path, work: Coroutine[Any, Any, object]) -> None:
    steps = Steps(str(folder), deadly)
    steps.watch()
    asyncio.run(work)
    told.write_text("\n".join(steps.taken))


async def in_backups(
    work: Callable[[Settings, Database, BackupFolder], Awaitable[object]],
    library: Path,
    backups: Path,
    url: str,
) -> None:
    settings = load_settings(home=library.parent / "data", library_dir=library)
    async with Database(url) as database:
        await work(settings, database, BackupFolder(backups))


async def restored(backup: Path, library: Path, url: str) -> None:
    settings = load_settings(home=library.parent / "data", library_dir=library)
    async with Database(url) as database:
        restore = await Restore.of(backup, settings, database)
        await restore.apply(await restore.plan())


def check_all(folder: BackupFolder) -> None:
    """Every backup is whole, and every content is what its name says."""
    for name in folder.names():
        check_parts(folder.root / name)
        for file in read_listing(folder.root / name / "files.gz"):
            assert sha256_of(folder.object_path(file.sha256)) == file.sha256


async def complete(stage: Stage, folder: BackupFolder) -> None:
    """A backup as soon as the killed one's turn, and the second that it has for a name, is over."""
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            with suppress(BackupFailed):
                report = await make_backup(settings_of(stage), stage.database, folder)
                assert report.files == 4
                return
            await asyncio.sleep(0.01)


async def test_a_backup_killed_before_any_kind_of_step_is_none_and_the_next_one_is_whole(
    stage: Stage, tmp_path: Path
) -> None:
    for number in range(3):
        stage.put(f"{number}.png", picture(number))
    await stage.sweep(Mode.COPY)
    (stage.library / "notes.txt").write_text("copied, not linked")
    told = tmp_path / "steps.txt"
    (tmp_path / "whole").mkdir()
    where = (stage.library, tmp_path / "whole", stage.database_url)
    assert await ended(started(back_up_dying, *where, NEVER, told)) == 0
    steps = told.read_text().split("\n")
    assert {"open", "os.link", "os.rename", "os.mkdir"} <= set(steps)
    last_of_each_kind = {name: number for number, name in enumerate(steps)}
    for name, number in last_of_each_kind.items():
        folder = BackupFolder(tmp_path / f"killed-{number}")
        folder.root.mkdir()
        where = (stage.library, folder.root, stage.database_url)
        assert await ended(started(back_up_dying, *where, number, told)) == -signal.SIGKILL, name
        check_all(folder)
        made_before = len(folder.names())
        await complete(stage, folder)
        assert len(folder.names()) == made_before + 1, name
        check_all(folder)
        assert list(folder.root.glob(".*")) == [], name
    found = await drill(settings_of(stage), stage.database, folder)
    assert found.problems == []


async def test_a_restore_killed_before_any_kind_of_step_is_completed_by_the_next(
    stage: Stage, tmp_path: Path, empty_database_url: str
) -> None:
    for number in range(3):
        stage.put(f"{number}.png", picture(number))
    await stage.sweep(Mode.COPY)
    (tmp_path / "backups").mkdir()
    report = await make_backup(
        settings_of(stage), stage.database, BackupFolder(tmp_path / "backups")
    )
    backup, told = Path(report.backup), tmp_path / "steps.txt"
    whole = tmp_path / "whole"
    restoring = started(restore_dying, backup, whole, empty_database_url, NEVER, told)
    assert await ended(restoring) == 0
    steps = told.read_text().split("\n")
    assert {"open", "os.link", "os.mkdir", "os.utime"} <= set(steps)
    for name, number in {name: number for number, name in enumerate(steps)}.items():
        await execute(empty_database_url, "DROP SCHEMA anime_api CASCADE")
        library = tmp_path / f"killed-{number}"
        where = (backup, library, empty_database_url)
        assert await ended(started(restore_dying, *where, number, told)) == -signal.SIGKILL, name
        async with asyncio.timeout(HUNG_SECONDS):
            while True:
                with suppress(BackupFailed):  # the killed one's connection is still there
                    await restored(*where)
                    break
                await asyncio.sleep(0.01)
        paths = [Path(path) for (path,) in await execute(empty_database_url, PATHS)]
        assert len(paths) == 3, name
        assert {path.read_bytes() for path in paths} == {picture(n) for n in range(3)}, name


async def test_a_disk_that_fills_up_is_said_and_earlier_backups_stay(
    stage: Stage, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "small", 4) as disk:
        folder = BackupFolder(disk)
        stage.put("0.png", large_picture(0))
        await stage.sweep(Mode.COPY)
        await make_backup(settings_of(stage), stage.database, folder)
        [earlier] = folder.names()
        (disk / earlier).rename(disk / "20260101T000000Z")
        for number in (1, 2, 3, 4):
            stage.put(f"{number}.png", large_picture(number))
        await stage.sweep(Mode.COPY)
        with pytest.raises(BackupFailed, match="No space left") as refused:
            await make_backup(settings_of(stage), stage.database, folder)
        assert "Free some space" in refused.value.todo
        assert folder.names() == ["20260101T000000Z"]
        check_all(folder)
        assert list(disk.glob(".*")) == []

        assert mount("-o", "remount,size=20m", str(disk)).returncode == 0
        report = await make_backup(settings_of(stage), stage.database, folder)
        assert (report.files, len(folder.names())) == (5, 2)
        check_all(folder)


async def test_a_disk_too_full_for_the_dump_is_said(stage: Stage, tmp_path: Path) -> None:
    stage.put("0.png", picture(0))
    await stage.sweep(Mode.COPY)
    with small_disk(tmp_path / "small", 1) as disk:
        (disk / "filler").write_bytes(b"x" * 1_020_000)
        with pytest.raises(BackupFailed, match="No space left"):
            await make_backup(settings_of(stage), stage.database, BackupFolder(disk))
        assert [path.name for path in disk.glob("2*")] == []


async def test_a_disk_that_fills_up_while_it_is_restored_is_said_and_the_next_goes_on(
    stage: Stage, tmp_path: Path, empty_database_url: str
) -> None:
    large = {large_picture(number) for number in range(3)}
    for number, content in enumerate(large):
        stage.put(f"{number}.png", content)
    await stage.sweep(Mode.COPY)
    (tmp_path / "backups").mkdir()
    report = await make_backup(
        settings_of(stage), stage.database, BackupFolder(tmp_path / "backups")
    )
    with small_disk(tmp_path / "small", 500) as disk:
        settings = load_settings(home=tmp_path / "data", library_dir=disk / "library")
        async with Database(empty_database_url) as database:
            restore = await Restore.of(Path(report.backup), settings, database)
            plan = await restore.plan()
            assert mount("-o", "remount,size=2m", str(disk)).returncode == 0
            with pytest.raises(AnimeError, match="No space left") as refused:
                await restore.apply(plan)
            assert "space" in refused.value.todo
            assert await execute(empty_database_url, THERE) == [(None,)], "files come first"
            assert mount("-o", "remount,size=500m", str(disk)).returncode == 0
            await restore.apply(await restore.plan())
        paths = [Path(path) for (path,) in await execute(empty_database_url, PATHS)]
        assert {path.read_bytes() for path in paths} == large


async def test_a_drill_whose_disk_is_full_says_so_and_leaves_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    stage.put("0.png", picture(0))
    await stage.sweep(Mode.COPY)
    with small_disk(tmp_path / "small", 4) as disk:
        folder = BackupFolder(disk)
        await make_backup(settings_of(stage), stage.database, folder)
        assert (await drill(settings_of(stage), stage.database, folder)).problems == []
        before = drills_of(folder)
        with (disk / DRILLS).open("ab") as results:  # its last page has no room for a line, either
            results.write(b"\n" * (-results.tell() % PAGE_BYTES))
        with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(b"x" * PAGE_BYTES)
        with pytest.raises(BackupFailed, match="No space left") as refused:
            await drill(settings_of(stage), stage.database, folder)
        assert "Free some space" in refused.value.todo
        assert drills_of(folder) == before
        assert [await execute(stage.database_url, SCRATCH), list(disk.glob(".*"))] == [[], []]
        (disk / "filler").unlink()
        assert (await drill(settings_of(stage), stage.database, folder)).problems == []
        assert len(drills_of(folder)) == 2


def drill_dying_at_once(library: Path, backups: Path, url: str) -> None:
    """A real drill that is killed as soon as there is a scratch database."""
    execute = BoundedConnection.execute

    async def dying_after(connection: BoundedConnection, query: Any, *parameters: Any) -> Any:
        done = await execute(connection, query, *parameters)
        if "CREATE DATABASE" in str(query):
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    with patch.object(BoundedConnection, "execute", dying_after):
        asyncio.run(in_backups(drill, library, backups, url))


async def test_a_drill_killed_as_soon_as_its_database_is_there_leaves_it_to_the_next(
    stage: Stage, tmp_path: Path
) -> None:
    stage.put("0.png", picture(0))
    await stage.sweep(Mode.COPY)
    folder = BackupFolder(tmp_path / "backups")
    folder.root.mkdir()
    await make_backup(settings_of(stage), stage.database, folder)
    dying_drill = started(drill_dying_at_once, stage.library, folder.root, stage.database_url)
    assert await ended(dying_drill) == -signal.SIGKILL
    [(left,)] = await execute(stage.database_url, SCRATCH)
    await until_free(stage)
    assert (await drill(settings_of(stage), stage.database, folder)).problems == []
    assert await execute(stage.database_url, SCRATCH) == [], left


async def test_what_a_killed_drill_leaves_is_removed_by_the_next(
    stage: Stage, tmp_path: Path
) -> None:
    for number in range(3):
        stage.put(f"{number}.png", picture(number))
    await stage.sweep(Mode.COPY)
    folder = BackupFolder(tmp_path / "backups")
    folder.root.mkdir()
    await make_backup(settings_of(stage), stage.database, folder)
    before = await execute(stage.database_url, PATHS)
    where, told = (stage.library, folder.root, stage.database_url), tmp_path / "steps.txt"
    assert await ended(started(drill_dying, *where, NEVER, told)) == 0
    results, steps = drills_of(folder), told.read_text().split("\n")
    last_link = len(steps) - 1 - steps[::-1].index("os.link")  # of the day that is rebuilt
    assert await ended(started(drill_dying, *where, last_link, told)) == -signal.SIGKILL
    assert len(await execute(stage.database_url, SCRATCH)) == 1
    assert len(list(folder.root.glob(".*"))) == 1
    assert drills_of(folder) == results
    await until_free(stage)
    found = await drill(settings_of(stage), stage.database, folder)
    assert (found.problems, drills_of(folder)) == ([], [found, *results])
    assert [await execute(stage.database_url, SCRATCH), list(folder.root.glob(".*"))] == [[], []]
    assert await execute(stage.database_url, PATHS) == before
    check_all(folder)


async def until_free(stage: Stage) -> None:
    """Return when the connection of one that was killed is gone, and its lock with it."""
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            with suppress(BackupFailed):
                async with only_one(stage.database.address):
                    return
            await asyncio.sleep(0.01)

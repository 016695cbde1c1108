"""Low disk: no new render begins, and they begin again by themselves."""

import errno
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from anime.core.servers import EVERYTHING, PauseRecord
from anime.db.repositories import PauseRepository
from anime.db.session import Database
from anime.jobs.low_disk import DiskGuard, free_mb_of
from anime.settings import load_settings
from tests.integration.old_client import execute
from tests.support.dead_mount import let_die

HUNG_SECONDS = 60.0

END_LOCKS = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_locks
    WHERE locktype = 'advisory' AND database = (
        SELECT oid FROM pg_database WHERE datname = current_database()
    )
"""


class Disks:
    """How much is free in each folder, in MB; None for a disk that does not say."""

    def __init__(self, library: Path, output: Path) -> None:
        self.free: dict[Path, int | None] = {library: 5000, output: 5000}

    def __call__(self, folder: Path) -> int | None:
        return self.free[folder]


async def paused(database: Database) -> list[PauseRecord]:
    async with database.autocommit() as session:
        return await PauseRepository(session).in_force()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library"


@pytest.fixture
def disks(library: Path, tmp_path: Path) -> Disks:
    return Disks(library, tmp_path / "output")


@pytest_asyncio.fixture
async def guard(database: Database, disks: Disks) -> AsyncIterator[DiskGuard]:
    guard = guard_of(database, disks, *disks.free)
    yield guard
    await guard.close()


def guard_of(database: Database, disks: Disks, library: Path, output: Path) -> DiskGuard:
    settings = load_settings(library_dir=library, comfyui_output_dir=output, min_free_disk_mb=1000)
    return DiskGuard(database, settings, free_mb=disks)


async def test_a_low_disk_pauses_all_new_renders_and_says_which_it_is(
    database: Database, guard: DiskGuard, disks: Disks, library: Path
) -> None:
    await guard.step()
    assert await paused(database) == []
    disks.free[library] = 999
    await guard.step()
    await guard.step()
    [pause] = await paused(database)
    assert (pause.scope, pause.is_automatic) == (EVERYTHING, True)
    assert pause.reason == (
        f"low disk: {library} has 999 MB free, and 1000 MB are needed (ANIME_MIN_FREE_DISK_MB)"
    )


async def test_a_library_whose_disk_does_not_answer_pauses_them_until_it_does(
    database: Database,
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "output"
    settings = load_settings(library_dir=library, comfyui_output_dir=output, min_free_disk_mb=1)
    monkeypatch.setattr("anime.jobs.low_disk.DISK_SECONDS", 0.5)
    guard = DiskGuard(database, settings)
    try:
        with monkeypatch.context() as dead:
            is_back = let_die(output, dead, seconds=HUNG_SECONDS)
            await guard.step()
            assert await paused(database) == [], "files come over HTTP"
            is_back.set()
        with monkeypatch.context() as dead:
            is_back = let_die(library, dead, seconds=HUNG_SECONDS)
            await guard.step()
            await guard.step()
            [pause] = await paused(database)
            assert (pause.scope, pause.is_automatic) == (EVERYTHING, True)
            assert pause.reason == f"the disk of the library, {library}, does not answer"
            is_back.set()
        monkeypatch.setattr("anime.jobs.low_disk.DISK_SECONDS", HUNG_SECONDS)
        await guard.step()
        assert await paused(database) == []
    finally:
        await guard.close()


async def test_renders_begin_again_once_there_is_some_space_to_spare(
    database: Database, guard: DiskGuard, disks: Disks, library: Path
) -> None:
    disks.free[library] = 10
    await guard.step()
    for free, count in ((1000, 1), (None, 1), (1249, 1), (1250, 0)):
        disks.free[library] = free
        await guard.step()
        assert len(await paused(database)) == count


async def test_a_disk_that_answers_again_needs_nothing_to_spare(
    database: Database, guard: DiskGuard, disks: Disks, library: Path
) -> None:
    for free, count in ((1100, 0), (None, 1), (1100, 0)):
        disks.free[library] = free
        await guard.step()
        assert len(await paused(database)) == count


async def test_hosts_with_other_disks_do_not_end_the_pause_of_one_that_is_low(
    database: Database,
    database_url: str,
    guard: DiskGuard,
    disks: Disks,
    library: Path,
    tmp_path: Path,
) -> None:
    output, elsewhere = tmp_path / "output", tmp_path / "elsewhere"
    disks.free[elsewhere] = 5000
    other = guard_of(database, disks, library, elsewhere)
    disks.free[output] = 10
    await guard.step()
    await other.step()
    assert len(await paused(database)) == 1
    await execute(database_url, END_LOCKS)
    await guard.step()
    await other.step()
    assert len(await paused(database)) == 1, "PostgreSQL was away"
    disks.free |= {output: 5000, elsewhere: 10}
    await other.step()
    await guard.step()
    assert len(await paused(database)) == 1
    disks.free[elsewhere] = 5000
    await other.step()
    assert await paused(database) == []
    disks.free[output] = 10
    await guard.step()
    await guard.close()
    await other.step()
    assert await paused(database) == [], "nobody is left to say that it is low"


async def test_a_pause_of_a_person_outlasts_a_low_disk(
    database: Database, guard: DiskGuard, disks: Disks, library: Path
) -> None:
    async with database.session_scope() as session:
        await PauseRepository(session).set(EVERYTHING, "moving house")
    disks.free[library] = 10
    await guard.step()
    disks.free[library] = 5000
    await guard.step()
    assert [pause.reason for pause in await paused(database)] == ["moving house"]


@pytest.mark.parametrize("sickness", [errno.ENOTCONN, errno.ESTALE, errno.EIO, errno.EACCES])
def test_a_sick_mount_does_not_say_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sickness: int
) -> None:
    inspect, folder = os.stat, tmp_path / "share" / "library"

    def inspect_sick_mount(path: Any, **options: Any) -> os.stat_result:
        if Path(path).is_relative_to(folder.parent):
            raise OSError(sickness, os.strerror(sickness))
        return inspect(path, **options)

    def measure_sick_mount(path: Path) -> Any:
        inspect_sick_mount(path)
        return os.statvfs(path)

    monkeypatch.setattr(os, "stat", inspect_sick_mount)
    monkeypatch.setattr(shutil, "disk_usage", measure_sick_mount)
    assert free_mb_of(folder) is None


def test_a_folder_that_is_still_to_be_made_is_on_the_disk_of_its_parent(tmp_path: Path) -> None:
    assert free_mb_of(tmp_path / "a" / "b") == pytest.approx(free_mb_of(tmp_path), rel=0.2)


async def test_an_automatic_pause_ends_when_no_space_is_asked_for_any_more(
    database: Database, guard: DiskGuard, disks: Disks, library: Path
) -> None:
    disks.free[library] = 10
    await guard.step()
    await guard.close()
    await DiskGuard(database, load_settings(min_free_disk_mb=0), free_mb=disks).run_forever()
    assert await paused(database) == []

"""New files are noticed, and one sweep is started for them, whatever is away meanwhile."""

import asyncio
import errno
import os
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from anime.assets.watcher import watch_folder
from anime.core.debris import Debris
from anime.errors import ConfigurationError
from anime.settings import Settings, load_settings
from anime.stack.worker_start import run_worker
from anime.worker.sweep_trigger import SWEEP, SweepTrigger
from tests.integration.prefect_peer import AUTH, PrefectPeer, running_prefect_peer
from tests.support.waiting import HUNG_SECONDS

PIECE_SECONDS = 0.1  # of quiet, after which what has come is news
QUIET_SECONDS = 0.6  # twice what it takes for news to come


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anime.assets.watcher.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("anime.assets.watcher._QUIET_MS", int(1000 * PIECE_SECONDS))
    monkeypatch.setattr("anime.assets.watcher._STILL_THERE_MS", 200)
    monkeypatch.setattr("anime.worker.sweep_trigger.POLL_SECONDS", 0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "output"
    path.mkdir()
    return path


async def news(of: AsyncGenerator[None, None]) -> None:
    async with asyncio.timeout(HUNG_SECONDS):
        await anext(of)


async def news_after(of: AsyncGenerator[None, None], change: Callable[[], object]) -> None:
    """Wait for the news of a change, which is made when the folder is being watched."""
    waiting = asyncio.create_task(news(of))
    await asyncio.sleep(0.2)  # the watch begins in a thread and tells nobody
    change()
    await waiting


@pytest.mark.parametrize("polls", [False, True])
async def test_a_file_in_a_folder_of_the_folder_is_news(folder: Path, polls: bool) -> None:
    inner = folder / "scene"
    inner.mkdir()
    async with aclosing(watch_folder(folder, polls=polls)) as watched:
        await news(watched)
        await news_after(watched, lambda: (inner / "ComfyUI_00001_.png").write_bytes(b"x"))
        await news_after(watched, lambda: (inner / "ComfyUI_00002_.png").write_bytes(b"x"))


async def test_many_files_at_once_are_one_piece_of_news(folder: Path) -> None:
    def many() -> None:
        for number in range(300):
            (folder / f"{number}.png").write_bytes(b"x")

    async with aclosing(watch_folder(folder)) as watched:
        await news(watched)
        began_at = time.monotonic()
        await news_after(watched, many)
        took_seconds, pieces = time.monotonic() - began_at, 1
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(QUIET_SECONDS):
                    await anext(watched)
                took_seconds, pieces = time.monotonic() - began_at, pieces + 1
    # A machine that stands still in the middle makes more of them, each after some quiet.
    assert pieces <= max(1, took_seconds / PIECE_SECONDS)


async def test_what_goes_is_hidden_or_is_made_by_our_jobs_is_no_news(folder: Path) -> None:
    old = folder / "old.png"
    old.write_bytes(b"x")
    ours = folder / f"jobs/{uuid4()}/1"
    ours.mkdir(parents=True)
    async with aclosing(watch_folder(folder)) as watched:
        await news(watched)
        waiting = asyncio.create_task(anext(watched))
        await asyncio.sleep(0.2)
        old.unlink()
        (folder / ".half.png").write_bytes(b"x")
        (ours / "picture.png").write_bytes(b"x")
        await asyncio.sleep(QUIET_SECONDS)
        assert not waiting.done()
        (folder / "new.png").write_bytes(b"x")
        async with asyncio.timeout(HUNG_SECONDS):
            await waiting


async def test_what_a_share_leaves_behind_is_no_news(folder: Path) -> None:
    inner = folder / "@eaDir" / "old"
    inner.mkdir(parents=True)
    async with aclosing(watch_folder(folder, debris=Debris(["raw"]))) as watched:
        await news(watched)
        waiting = asyncio.create_task(anext(watched))
        await asyncio.sleep(0.2)
        (inner / "SYNO.jpg").write_bytes(b"x")
        (folder / "Thumbs.db").write_bytes(b"x")
        (folder / "#recycle").mkdir()
        (folder / "raw").mkdir()
        await asyncio.sleep(QUIET_SECONDS)
        (folder / "raw" / "a.png").write_bytes(b"x")
        await asyncio.sleep(QUIET_SECONDS)
        assert not waiting.done()
        (folder / "new.png").write_bytes(b"x")
        async with asyncio.timeout(HUNG_SECONDS):
            await waiting


async def test_a_new_folder_is_watched_from_then_on(folder: Path) -> None:
    inner = folder / "scene"
    async with aclosing(watch_folder(folder)) as watched:
        await news(watched)
        await news_after(watched, inner.mkdir)
        await news_after(watched, lambda: (inner / "new.png").write_bytes(b"x"))


async def test_a_folder_that_is_missing_or_goes_away_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "later"

    def make_anew() -> None:
        shutil.rmtree(folder)
        folder.mkdir()

    async with aclosing(watch_folder(folder)) as watched:
        await news_after(watched, folder.mkdir)
        await news_after(watched, make_anew)
        await news_after(watched, lambda: (folder / "new.png").write_bytes(b"x"))


@pytest.mark.parametrize("sickness", [errno.ENOTCONN, errno.EACCES])
async def test_a_folder_whose_mount_is_sick_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sickness: int
) -> None:
    inspect, answers = os.stat, [sickness, sickness]

    def inspect_sick_mount(path: Any, **options: Any) -> os.stat_result:
        if str(path) == str(folder) and answers:
            raise OSError(answers.pop(), "the mount is sick")
        return inspect(path, **options)

    monkeypatch.setattr(os, "stat", inspect_sick_mount)
    async with aclosing(watch_folder(folder)) as watched:
        await news(watched)
    assert not answers
    assert f"{folder} is not there" in caplog.text


@pytest_asyncio.fixture
async def prefect() -> AsyncIterator[PrefectPeer]:
    async with running_prefect_peer() as peer:
        peer.deployments[SWEEP] = uuid4()
        peer.run_state = "COMPLETED"
        yield peer


def settings_for(prefect: PrefectPeer, folder: Path) -> Settings:
    return load_settings(
        prefect_api_url=prefect.url,
        prefect_api_auth_string=AUTH,
        comfyui_output_dir=folder,
        watch=True,
        watch_seconds=1,
    )


@asynccontextmanager
async def looking_out(prefect: PrefectPeer, folder: Path) -> AsyncIterator[None]:
    task = asyncio.create_task(SweepTrigger(settings_for(prefect, folder), folder).run())
    try:
        yield
    finally:
        assert not task.done() or task.exception() is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def runs_made(prefect: PrefectPeer, times: int) -> None:
    async with asyncio.timeout(HUNG_SECONDS):
        while len(prefect.runs) < times:
            prefect.run_made.clear()
            await prefect.run_made.wait()


async def test_new_files_are_swept_by_one_run_each_time(prefect: PrefectPeer, folder: Path) -> None:
    async with looking_out(prefect, folder):
        await runs_made(prefect, 1)
        await asyncio.sleep(0.5)
        for number in range(5):
            (folder / f"{number}.png").write_bytes(b"x")
        await runs_made(prefect, 2)
        await asyncio.sleep(QUIET_SECONDS)
    assert len(prefect.runs) == 2
    assert all(run["work_queue_name"] == "maintenance" for run in prefect.runs.values())


async def test_two_workers_that_watch_one_folder_order_one_run(
    prefect: PrefectPeer, folder: Path
) -> None:
    async with looking_out(prefect, folder), looking_out(prefect, folder):
        await runs_made(prefect, 1)
        async with asyncio.timeout(HUNG_SECONDS):
            while prefect.asked_for_runs < 2:
                await asyncio.sleep(0.02)
        await asyncio.sleep(QUIET_SECONDS)
    # Two at most: one may have begun to watch just before a window, the other just after.
    assert len(prefect.runs) <= 2
    assert prefect.asked_for_runs == 2


async def test_prefect_may_be_away_or_lack_the_deployment(
    prefect: PrefectPeer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = prefect.deployments.pop(SWEEP)
    async with looking_out(prefect, folder):
        async with asyncio.timeout(HUNG_SECONDS):
            while "not swept yet" not in caplog.text:
                await asyncio.sleep(0.02)
        assert SWEEP in caplog.text
        prefect.deployments[SWEEP] = known
        await runs_made(prefect, 1)


async def test_a_sweep_that_fails_is_ordered_again(prefect: PrefectPeer, folder: Path) -> None:
    prefect.run_state = "FAILED"
    async with looking_out(prefect, folder):
        await runs_made(prefect, 2)
        prefect.run_state = "COMPLETED"


async def test_a_sweep_that_gave_way_to_another_one_is_ordered_again(
    prefect: PrefectPeer, folder: Path
) -> None:
    prefect.run_message = "Nothing was swept: another sweep is at work."
    async with looking_out(prefect, folder):
        await runs_made(prefect, 2)
    assert {run["parameters"]["folder"] for run in prefect.runs.values()} == {str(folder)}


async def test_nothing_is_ordered_while_a_sweep_is_under_way(
    prefect: PrefectPeer, folder: Path
) -> None:
    prefect.run_state = "RUNNING"
    async with looking_out(prefect, folder):
        await runs_made(prefect, 1)
        (folder / "new.png").write_bytes(b"x")
        await asyncio.sleep(1 + QUIET_SECONDS)
        assert len(prefect.runs) == 1
        prefect.run_state = "COMPLETED"
        await runs_made(prefect, 2)


@pytest.mark.parametrize(
    ("given", "kind", "named"),
    [
        ({"comfyui_output_dir": Path("/output")}, "process", "anime-warm"),
        ({}, "anime-warm", "ANIME_COMFYUI_OUTPUT_DIR"),
    ],
)
def test_a_worker_that_could_not_watch_does_not_begin(
    given: dict[str, Path], kind: str, named: str
) -> None:
    settings = load_settings(prefect_api_url="http://127.0.0.1:9/api", watch=True, **given)
    with pytest.raises(ConfigurationError, match=named):
        run_worker(settings, worker_type=kind)

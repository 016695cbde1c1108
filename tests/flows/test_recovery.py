"""What a generation survives, and what ends it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from prefect.exceptions import CancelledRun

from anime.comfyui import event_sockets
from anime.core.job_status import JobStatus, Stage
from anime.core.paths import owner_of
from anime.core.progress_meter import IN_QUEUE
from anime.core.servers import EVERYTHING
from anime.db.repositories import JobRepository, PauseRepository
from anime.errors import LeaseLost
from anime.progress.publisher import follow_job
from anime.schemas import JobSnapshot, ProgressEvent
from anime.settings import get_settings
from flows.generate import generate
from tasks.progress import Reporter
from tests.flows.conftest import RehearsalStudio
from tests.support.ports import lasting_port
from tests.support.waiting import HUNG_SECONDS

SLOW: dict[str, Any] = {"width": 128, "height": 128, "steps": 20}  # any fields of a request
STEP_SECONDS = "0.1"


class RehearsalProcess:
    """A rehearsal server that can be killed, as ComfyUI can; while `held` is there, none ends."""

    def __init__(self, port: int, data_dir: Path, held: Path) -> None:
        self.url, self.held = f"http://127.0.0.1:{port}", held
        self._arguments = ["--port", str(port), "--data-dir", str(data_dir)]
        self._arguments += ["--fault", f"hold-while={held}"]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *faults: str) -> None:
        """Start it with these faults, and wait until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "anime.cli.app", "rehearsal"),
            *self._arguments,
            *("--step-seconds", STEP_SECONDS),
            *(f"--fault={fault}" for fault in faults),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(HUNG_SECONDS), httpx.AsyncClient(base_url=self.url) as http:
            while not await _answers(http):
                await asyncio.sleep(0.05)

    async def until_dead(self) -> None:
        """Return when it has crashed."""
        if self._process is not None:
            await asyncio.wait_for(self._process.wait(), HUNG_SECONDS)

    async def end(self, number: signal.Signals) -> None:
        """Send it a signal and wait until it is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await asyncio.wait_for(self._process.wait(), HUNG_SECONDS)


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/system_stats")).is_success
    except httpx.TransportError:
        return False


@pytest_asyncio.fixture
async def rehearsal(
    studio: RehearsalStudio, held: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RehearsalProcess]:
    """The studio's server, in a process of its own, with steps one can see."""
    server = RehearsalProcess(lasting_port(), tmp_path / "killable", held)
    await server.start()
    monkeypatch.setenv("ANIME_COMFYUI_URL", server.url)
    get_settings.cache_clear()
    yield server
    await server.end(signal.SIGTERM)


async def first_event(studio: RehearsalStudio, job_id: UUID, percent: int) -> ProgressEvent:
    """The first event at or above so many percent."""
    async with asyncio.timeout(HUNG_SECONDS):
        async for event in follow_job(studio.redis_url, job_id):
            if event.progress >= percent:
                return event
    raise AssertionError("the job ended without an event")


async def told_of(studio: RehearsalStudio, job_id: UUID, words: str) -> None:
    """Return when an event of the job says so."""
    async with asyncio.timeout(HUNG_SECONDS):
        async for event in follow_job(studio.redis_url, job_id):
            if words in event.message:
                return
    raise AssertionError(f"the job ended, and nobody said {words!r}")


def assert_nothing_goes_back(told: Sequence[ProgressEvent | JobSnapshot]) -> None:
    """Neither progress nor stage, within each attempt."""
    order = [None, *Stage]
    going_on = [each for each in told if each.status is JobStatus.PROCESSING]
    for rising in (
        [(each.attempt, each.progress) for each in going_on],
        [(each.attempt, order.index(each.stage)) for each in going_on],
    ):
        assert rising == sorted(rising)


@asynccontextmanager
async def watched_row(studio: RehearsalStudio) -> AsyncIterator[list[JobSnapshot]]:
    """The newest job's row again and again, for as long as the block lasts."""
    seen: list[JobSnapshot] = []

    async def watch() -> None:
        while True:
            seen.append(await studio.newest_job())
            await asyncio.sleep(0.02)  # a row gives no sign when it changes

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def test_f02_f07_a_killed_and_restarted_server_leaves_one_set_of_files(
    studio: RehearsalStudio, rehearsal: RehearsalProcess
) -> None:
    job_id = uuid4()
    rehearsal.held.touch()
    run = asyncio.create_task(generate(prompt="again", batch_size=2, job_id=job_id, **SLOW))
    await first_event(studio, job_id, 20)
    await rehearsal.end(signal.SIGKILL)
    rehearsal.held.unlink()
    await rehearsal.start()
    paths = await asyncio.wait_for(run, HUNG_SECONDS)
    job = await studio.newest_job()
    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 2)
    assert [str(path) for path in studio.library_files()] == sorted(paths)
    assert {file.file_path for file in await studio.files()} == set(paths)
    assert [owner_of(path) for path in paths] == [job_id, job_id]


async def test_f01_a_job_waits_for_its_only_server_that_goes_away_as_it_gets_its_slot(
    studio: RehearsalStudio, rehearsal: RehearsalProcess
) -> None:
    job_id = uuid4()
    async with studio.database.session_scope() as session:
        await PauseRepository(session).set(EVERYTHING, "a new driver")
    run = asyncio.create_task(generate(prompt="soon", job_id=job_id, **SLOW))
    await told_of(studio, job_id, "new renders are paused")
    await rehearsal.end(signal.SIGTERM)
    async with studio.database.session_scope() as session:
        await PauseRepository(session).clear(EVERYTHING)
    await told_of(studio, job_id, "Waiting for ComfyUI: ")
    await rehearsal.start()
    await asyncio.wait_for(run, HUNG_SECONDS)
    job = await studio.newest_job()
    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 1)


async def test_progress_begins_anew_with_the_second_attempt_and_says_so(
    studio: RehearsalStudio, rehearsal: RehearsalProcess
) -> None:
    job_id = uuid4()
    rehearsal.held.touch()
    run = asyncio.create_task(generate(prompt="twice", job_id=job_id, **SLOW))
    await first_event(studio, job_id, 20)
    await rehearsal.end(signal.SIGKILL)
    rehearsal.held.unlink()
    await rehearsal.start()
    await asyncio.wait_for(run, HUNG_SECONDS)
    events = [event async for event in follow_job(studio.redis_url, job_id, after_seq=0)]
    assert_nothing_goes_back(events)
    assert {event.attempt for event in events} == {1, 2}


async def test_a_cancelled_job_stops_in_comfyui_too(
    studio: RehearsalStudio, rehearsal: RehearsalProcess
) -> None:
    job_id = uuid4()
    rehearsal.held.touch()
    run = asyncio.create_task(generate(prompt="never mind", job_id=job_id, **SLOW))
    await first_event(studio, job_id, 10)
    async with studio.database.session_scope() as session:
        await JobRepository(session).request_cancel(job_id)
    with pytest.raises(CancelledRun, match="was cancelled"):
        await asyncio.wait_for(run, HUNG_SECONDS)
    assert (await studio.newest_job()).status is JobStatus.CANCELLED
    assert studio.library_files() == []
    async with httpx.AsyncClient(base_url=rehearsal.url) as http:
        queue = (await http.get("/queue")).json()
    assert queue == {"queue_running": [], "queue_pending": []}


async def test_f11_a_second_run_of_a_live_job_stands_back(
    studio: RehearsalStudio, rehearsal: RehearsalProcess
) -> None:
    job_id = uuid4()
    rehearsal.held.touch()
    first = asyncio.create_task(generate(prompt="mine", job_id=job_id, **SLOW))
    await first_event(studio, job_id, 10)
    with pytest.raises(LeaseLost, match="belongs to run"):
        await generate(prompt="mine", job_id=job_id, **SLOW)
    rehearsal.held.unlink()
    [path] = await asyncio.wait_for(first, HUNG_SECONDS)
    assert [str(path)] == [str(found) for found in studio.library_files()]
    async with httpx.AsyncClient(base_url=rehearsal.url) as http:
        assert len((await http.get("/history")).json()) == 1


async def test_a_run_that_is_stopped_gives_the_job_back_and_the_next_goes_on(
    studio: RehearsalStudio, rehearsal: RehearsalProcess
) -> None:
    job_id = uuid4()
    stopped = asyncio.create_task(generate(prompt="handed on", job_id=job_id, **SLOW))
    await first_event(studio, job_id, 10)
    async with watched_row(studio) as rows:
        stopped.cancel()
        await asyncio.wait([stopped], timeout=HUNG_SECONDS)
        [path] = await generate(prompt="handed on", job_id=job_id, **SLOW)
    assert_nothing_goes_back(rows)
    events = [event async for event in follow_job(studio.redis_url, job_id, after_seq=0)]
    assert_nothing_goes_back(events)
    assert (await studio.newest_job()).attempt == 1
    assert [str(found) for found in studio.library_files()] == [path]
    async with httpx.AsyncClient(base_url=rehearsal.url) as http:
        assert len((await http.get("/history")).json()) == 1


async def test_a_run_of_another_process_hears_of_the_prompt_that_it_goes_on_with(
    studio: RehearsalStudio, rehearsal: RehearsalProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_POLL_SECONDS", str(2 * HUNG_SECONDS))  # only a socket tells in time
    get_settings.cache_clear()
    job_id = uuid4()
    rehearsal.held.touch()
    stopped = asyncio.create_task(generate(prompt="handed on", job_id=job_id, **SLOW))
    await first_event(studio, job_id, 10)
    stopped.cancel()
    await asyncio.wait([stopped], timeout=HUNG_SECONDS)
    event_sockets.of_process.cache_clear()
    going_on = asyncio.create_task(generate(prompt="handed on", job_id=job_id, **SLOW))
    await told_of(studio, job_id, IN_QUEUE)
    rehearsal.held.unlink()
    [path] = await asyncio.wait_for(going_on, HUNG_SECONDS)
    assert [str(found) for found in studio.library_files()] == [path]
    assert (await studio.newest_job()).attempt == 1


async def test_a_heartbeat_just_after_the_last_transaction_does_no_harm(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow_goodbye(reporter: Reporter, *told: Any) -> None:
        await asyncio.sleep(20 * beat_seconds)
        await completed(reporter, *told)

    completed, beat_seconds = Reporter.completed, 0.01
    monkeypatch.setattr(Reporter, "completed", slow_goodbye)
    monkeypatch.setattr("anime.runs.execution._HEARTBEAT_SECONDS", beat_seconds)
    await generate(prompt="quick heart", width=64, height=64, steps=1)
    job = await studio.newest_job()
    events = [event async for event in follow_job(studio.redis_url, job.id)]
    assert (job.status, events[-1].status) == (JobStatus.COMPLETED, JobStatus.COMPLETED)

"""What watches a job or a batch waits for what is away, says so, and ends when the job does."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from anime.cli import outages
from anime.cli import watch_batch as batch_watcher
from anime.cli import watch_job as job_watcher
from anime.cli.batch_display import BatchLinesDisplay
from anime.cli.batch_file import load_batch
from anime.cli.display import JobLinesDisplay
from anime.cli.outages import Outages
from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.errors import DatabaseUnavailable, PrefectUnavailable
from anime.net import prefect_api
from anime.net.prefect_api import PrefectApi
from anime.schemas import GenerationRequest, ProgressEvent
from tests.integration.prefect_peer import AUTH, PrefectPeer, running_prefect_peer
from tests.integration.test_cli_batch import BATCH, job_ids, play
from tests.integration.test_cli_commands import Commands, ended, play_worker
from tests.support.waiting import HUNG_SECONDS

NOBODY = "redis://127.0.0.1:9"


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[PrefectPeer]:
    async with running_prefect_peer() as peer:
        yield peer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait is a long one."""
    for module in (job_watcher, batch_watcher, outages):
        monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(outages, "REFUSED_SECONDS", 0.0)
    monkeypatch.setattr(prefect_api, "TIMEOUT_SECONDS", 3.0)


class Away:
    """Makes a method of a repository fail as it does while PostgreSQL is away.

    The task that makes this goes on: it plays those who reach PostgreSQL.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self.is_so = False
        real, player = getattr(JobRepository, method), asyncio.current_task()

        async def ask(*arguments: Any, **named: Any) -> Any:  # as the method takes and gives them
            if self.is_so and asyncio.current_task() is not player:
                raise DatabaseUnavailable("PostgreSQL does not answer.")
            return await real(*arguments, **named)

        monkeypatch.setattr(JobRepository, method, ask)


async def said(words: str, capsys: pytest.CaptureFixture[str], *, by: asyncio.Task[Any]) -> None:
    """Return when the words stand on stderr; the task must not have ended by then."""
    heard = ""
    async with asyncio.timeout(HUNG_SECONDS):
        while words not in heard:
            assert not by.done(), (heard, by.exception())
            await asyncio.sleep(0.02)  # stderr gives no sign
            heard += capsys.readouterr().err


async def new_job(database: Database) -> UUID:
    job_id = uuid4()
    async with database.session_scope() as session:
        request = GenerationRequest(prompt="rain")
        await JobRepository(session).create(job_id, request, workflow="txt2img", seed=7)
    return job_id


@pytest.mark.parametrize("redis_url", [None, NOBODY])
async def test_a_job_is_watched_on_while_the_database_is_away(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    redis_url: str | None,
) -> None:
    job_id, away = await new_job(database), Away(monkeypatch, "get")
    watching = asyncio.create_task(
        job_watcher.watch_job(job_id, database, redis_url, JobLinesDisplay(), Outages("It goes on"))
    )
    await said("queued", capsys, by=watching)
    away.is_so = True
    await said("PostgreSQL does not answer", capsys, by=watching)
    away.is_so = False
    await said("PostgreSQL answers again", capsys, by=watching)
    await play_worker(job_id, database, None, Path("/library/rain.png"))
    async with asyncio.timeout(HUNG_SECONDS):
        assert (await watching).status is JobStatus.COMPLETED


def completed(job_id: UUID) -> ProgressEvent:
    """The last event of the job."""
    return ProgressEvent(
        job_id=job_id,
        status=JobStatus.COMPLETED,
        progress=100,
        message="1 file(s) made",
        timestamp=datetime.now(UTC),
    )


class Batch:
    """A batch whose run is ordered, and who watches it."""

    def __init__(self, folder: Path, database: Database, peer: PrefectPeer) -> None:
        self.file = folder / "rooftops.yaml"
        self.file.write_text(BATCH)
        self.peer, self.database = peer, database

    async def watch(self) -> Any:  # what the watcher gives
        titles = dict.fromkeys(job_ids(self.file), "a title")
        async with PrefectApi(self.peer.url, AUTH) as prefect:
            deployment = await prefect.deployment_id("batch/batch")
            run_id = await prefect.start_run(deployment, {}, key="k", queue="batch")
            return await batch_watcher.watch_batch(
                run_id,
                titles,
                database=self.database,
                redis_url=NOBODY,
                prefect=prefect,
                display=BatchLinesDisplay(titles),
                outages=Outages("It goes on"),
            )

    async def play(self) -> None:
        await play(load_batch(self.file), self.database)


@pytest.fixture
def batch(tmp_path: Path, database: Database, peer: PrefectPeer) -> Batch:
    return Batch(tmp_path, database, peer)


async def test_a_batch_is_watched_on_while_prefect_is_away(
    batch: Batch, peer: PrefectPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    watching = asyncio.create_task(batch.watch())
    await peer.until_runs(1)
    peer.answers.clear()
    await said("Prefect", capsys, by=watching)
    peer.answers.set()
    await said("Prefect answers again", capsys, by=watching)
    await batch.play()
    async with asyncio.timeout(HUNG_SECONDS):
        state = await watching
    assert not state.is_final  # the run itself goes on: it draws the sheet
    assert "2 of 2" in capsys.readouterr().err


async def test_a_batch_ends_when_its_jobs_have_although_prefect_stays_away(
    batch: Batch, peer: PrefectPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    watching = asyncio.create_task(batch.watch())
    await peer.until_runs(1)
    peer.answers.clear()
    await said("Prefect", capsys, by=watching)
    await batch.play()
    async with asyncio.timeout(HUNG_SECONDS):
        await watching
    assert not peer.answers.is_set()


async def test_prefect_is_not_asked_once_all_jobs_are_heard_to_have_ended(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended_jobs, asked, real = asyncio.Queue[UUID](), asyncio.Event(), PrefectApi.run_state
    times = 0

    async def run_state(prefect: PrefectApi, run_id: UUID) -> Any:  # as the method gives
        nonlocal times
        times += 1
        asked.set()
        return await real(prefect, run_id)

    async def updates(_: str) -> AsyncIterator[ProgressEvent]:
        while True:
            job_id = await ended_jobs.get()
            yield completed(job_id)

    monkeypatch.setattr(PrefectApi, "run_state", run_state)
    monkeypatch.setattr(batch_watcher, "subscribe_updates", updates)
    monkeypatch.setattr(batch_watcher, "POLL_SECONDS", HUNG_SECONDS)
    watching = asyncio.create_task(batch.watch())
    async with asyncio.timeout(HUNG_SECONDS):
        await asked.wait()
        await batch.play()
        for job_id in job_ids(batch.file):
            ended_jobs.put_nowait(job_id)
        await watching
    assert times == 1


async def test_a_batch_is_watched_on_while_the_database_is_away(
    batch: Batch,
    peer: PrefectPeer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = Away(monkeypatch, "among")
    watching = asyncio.create_task(batch.watch())
    await peer.until_runs(1)
    away.is_so = True
    await said("PostgreSQL does not answer", capsys, by=watching)
    await batch.play()
    away.is_so = False
    async with asyncio.timeout(HUNG_SECONDS):
        await watching
    assert "2 of 2" in capsys.readouterr().err


async def test_a_batch_ends_at_once_when_its_last_job_is_said_to_have_ended(
    batch: Batch, peer: PrefectPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()

    async def updates(_: str) -> AsyncIterator[ProgressEvent]:
        await ended.wait()
        for job_id in job_ids(batch.file):
            yield completed(job_id)

    monkeypatch.setattr(batch_watcher, "subscribe_updates", updates)
    monkeypatch.setattr(batch_watcher, "POLL_SECONDS", HUNG_SECONDS)
    watching = asyncio.create_task(batch.watch())
    await peer.until_runs(1)
    await batch.play()
    ended.set()
    async with asyncio.timeout(HUNG_SECONDS / 2):
        assert not (await watching).is_final


async def test_a_run_that_prefect_no_longer_has_is_not_waited_for(
    batch: Batch, peer: PrefectPeer
) -> None:
    """It answers, and what it says will not change: somebody has deleted the run."""
    peer.forgets_runs = True
    with pytest.raises(PrefectUnavailable, match="has no run"):
        async with asyncio.timeout(HUNG_SECONDS):
            await batch.watch()


async def test_an_order_that_prefect_took_without_a_word_is_one_run(
    batch: Batch, peer: PrefectPeer, database_url: str
) -> None:
    """It was too busy to answer in time, and the batch went on without its command."""
    peer.lost_answers = 1
    process = await commands(peer, database_url).start("batch", str(batch.file))
    await peer.until_runs(1)
    await batch.play()
    peer.run_state = "COMPLETED"
    done = await ended(process)
    assert (done.code, done.out) == (0, "/library/1.png\n/library/2.png\n"), done.err
    assert "has not answered within 5 s" in done.err
    assert (len(peer.runs), peer.asked_for_runs) == (1, 2)


async def test_ctrl_c_leaves_a_batch_that_waits_for_prefect_and_says_that_it_goes_on(
    batch: Batch, peer: PrefectPeer, database_url: str
) -> None:
    process = await commands(peer, database_url).start("batch", str(batch.file))
    await peer.until_runs(1)
    peer.answers.clear()
    async with asyncio.timeout(HUNG_SECONDS):
        assert b"Prefect" in await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    [run] = peer.runs.values()
    assert (done.code, done.out) == (130, "")
    assert f"The batch goes on, as run {run['id']} in Prefect." in done.err
    assert "Traceback" not in done.err


def commands(peer: PrefectPeer, database_url: str) -> Commands:
    return Commands(
        {
            "ANIME_DATABASE_URL": database_url,
            "PREFECT_API_URL": peer.url,
            "PREFECT_API_AUTH_STRING": AUTH,
        }
    )

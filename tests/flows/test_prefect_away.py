"""Prefect goes away or fails while runs are under way: what is done stays done."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import pytest_asyncio
from prefect import State
from prefect.exceptions import CancelledRun
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository
from anime.progress.publisher import follow_job
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.faults import Faults
from anime.settings import get_settings
from flows.contact_sheet import contact_sheet
from flows.generate import generate
from flows.retention import retention
from flows.sweep import sweep
from tests.flows.conftest import RehearsalStudio
from tests.flows.test_batch_flow import jobs_of, parameters, paths_of, prompts_rendered
from tests.flows.test_cancelling import ended
from tests.flows.test_window_flow import lease_of
from tests.integration.import_folder import picture
from tests.support.prefect_outage import PrefectOutage, about_artifacts, prefect_outage
from tests.support.waiting import HUNG_SECONDS

SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 2}  # any fields of a request


@pytest_asyncio.fixture
async def outage(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PrefectOutage]:
    async with prefect_outage(monkeypatch) as outage:
        yield outage


@pytest.fixture
def rehearsal_config(tmp_path: Path, held: Path) -> RehearsalConfig:
    """A server whose renders can be held."""
    folder, faults = tmp_path / "rehearsal", Faults(hold_while=held)
    return RehearsalConfig(data_dir=folder, port=0, step_seconds=0.03, faults=faults)


async def test_a_progress_bar_that_prefect_does_not_take_holds_up_neither_lease_nor_cancellation(
    studio: RehearsalStudio, outage: PrefectOutage, held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_LEASE_SECONDS", "30")
    get_settings.cache_clear()
    job_id = uuid4()
    outage.begin(about_artifacts)
    held.touch()
    run = asyncio.ensure_future(generate(prompt="no bar", job_id=job_id, **SMALL))
    async with asyncio.timeout(HUNG_SECONDS):
        await outage.refused.wait()
        first = await lease_of(studio, job_id)
        while await lease_of(studio, job_id) <= first:
            await asyncio.sleep(0.1)
    async with studio.database.session_scope() as session:
        await JobRepository(session).request_cancel(job_id)
    with pytest.raises(CancelledRun):
        await asyncio.wait_for(run, HUNG_SECONDS)
    assert (await studio.newest_job()).status is JobStatus.CANCELLED


@pytest.fixture
def impatient_client() -> Iterator[None]:
    """Prefect's client gives up after two seconds instead of minutes."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}):
        yield


@pytest.mark.usefixtures("impatient_client")
class TestInABatch:
    """The rehearsal server takes half a second for a picture."""

    @pytest.fixture
    def rehearsal_config(self, tmp_path: Path) -> RehearsalConfig:
        return RehearsalConfig(data_dir=tmp_path / "rehearsal", port=0, step_seconds=0.25)

    async def test_a_batch_goes_on_while_prefect_is_away(
        self, studio: RehearsalStudio, outage: PrefectOutage
    ) -> None:
        run = asyncio.create_task(paths_of(**parameters(prompts=["through it"], takes=6)))
        async with asyncio.timeout(HUNG_SECONDS):
            while not await studio.files():
                assert not run.done()
                await asyncio.sleep(0.05)
            outage.begin()
            await outage.refused.wait()
            while {job.status for job in await jobs_of(studio)} != {JobStatus.COMPLETED}:
                assert not run.done()
                await asyncio.sleep(0.05)
        outage.end()
        assert len(set(await asyncio.wait_for(run, HUNG_SECONDS))) == 6
        assert await prompts_rendered(studio) == 6
        assert {job.attempt for job in await jobs_of(studio)} == {1}

    async def test_a_batch_that_begins_while_prefect_is_away_waits_for_it(
        self, studio: RehearsalStudio, outage: PrefectOutage
    ) -> None:
        outage.begin(lambda request: request.url.path.endswith("/block_documents/filter"))
        run = asyncio.create_task(paths_of(**parameters(prompts=["before it"])))
        async with asyncio.timeout(HUNG_SECONDS):
            await outage.refused.wait()
            while outage.refusals < 4:  # more often than the client itself tries
                assert not run.done()
                await asyncio.sleep(0.05)
        outage.end()
        assert len(await asyncio.wait_for(run, HUNG_SECONDS)) == 1


@pytest.mark.usefixtures("impatient_client")
class TestWhatOnlyShows:
    """Prefect takes no artifact, no name and no tag: nothing that is done fails by it."""

    @pytest.fixture(autouse=True)
    def nothing_is_shown(self, outage: PrefectOutage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tasks.retries.BEST_EFFORT_SECONDS", 1.0)
        outage.begin(lambda request: about_artifacts(request) or request.method == "PATCH")

    async def test_a_generation_is_completed(
        self, studio: RehearsalStudio, outage: PrefectOutage
    ) -> None:
        state = await ended(prompt="unseen", **SMALL)
        assert state.is_completed()
        assert outage.refused.is_set()
        assert (await studio.newest_job()).status is JobStatus.COMPLETED

    async def test_a_batch_whose_sheet_cannot_be_drawn_either_is_completed(
        self, studio: RehearsalStudio, outage: PrefectOutage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def draw_nothing(*_: object) -> None:
            raise ValueError("no such font")

        monkeypatch.setattr("tasks.sheets.draw_page", draw_nothing)
        outage.begin(about_artifacts)  # the name of a batch is Prefect's own business
        assert len(await paths_of(**parameters(prompts=["unseen"]))) == 1
        assert outage.refused.is_set()

    async def test_a_sweep_is_completed(
        self, studio: RehearsalStudio, outage: PrefectOutage, tmp_path: Path
    ) -> None:
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / "one.png").write_bytes(picture(1))
        run = cast("Any", sweep)  # its overloads do not know return_state with keywords
        state: State[None] = await run(folder=tmp_path / "theirs", return_state=True)
        assert state.is_completed()
        assert len(await studio.files()) == 1
        assert outage.refused.is_set()

    async def test_a_contact_sheet_is_completed(
        self, studio: RehearsalStudio, outage: PrefectOutage
    ) -> None:
        await generate(prompt="a fox", **SMALL)
        outage.refused.clear()
        assert len(await contact_sheet(text="fox")) == 1
        assert outage.refused.is_set()

    async def test_retention_is_completed(
        self, studio: RehearsalStudio, outage: PrefectOutage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANIME_KEEP_THUMBNAILS_DAYS", "30")
        get_settings.cache_clear()
        assert (await retention(dry_run=True)).thumbnails.files == 0
        assert outage.refused.is_set()


async def test_the_end_of_a_run_waits_only_briefly_for_what_only_shows(
    studio: RehearsalStudio, outage: PrefectOutage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.retries.BEST_EFFORT_SECONDS", 0.5)
    outage.begin(about_artifacts)  # of which Prefect's client tells after two minutes
    assert (await asyncio.wait_for(ended(prompt="unseen", **SMALL), 100)).is_completed()
    assert outage.refused.is_set()


@pytest.mark.usefixtures("impatient_client")
async def test_a_prefect_that_is_gone_in_mid_render_costs_no_picture(
    studio: RehearsalStudio, outage: PrefectOutage, held: Path
) -> None:
    job_id = uuid4()
    held.touch()
    run = asyncio.ensure_future(generate(prompt="alone", job_id=job_id, **SMALL))
    async with asyncio.timeout(HUNG_SECONDS):
        async for event in follow_job(studio.redis_url, job_id):
            if event.progress:
                break
        outage.begin()
        held.unlink()
        await asyncio.wait([run])
    job, [path] = await studio.newest_job(), studio.library_files()
    assert (job.status, job.output_path) == (JobStatus.COMPLETED, str(path))

"""Prefect goes away or fails while runs are under way: what is done stays done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from prefect import State
from prefect.exceptions import CancelledRun
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository
from anime.errors import BatchIncomplete
from anime.progress.publisher import follow_job
from anime.rehearsal.config import RehearsalConfig
from anime.retry_policies import RetryPolicy
from anime.settings import get_settings
from flows.contact_sheet import contact_sheet
from flows.generate import generate
from flows.retention import retention
from flows.sweep import sweep
from tests.flows.conftest import RehearsalStudio
from tests.flows.prefect_outage import PrefectOutage, about_artifacts, prefect_outage
from tests.flows.test_batch_flow import jobs_of, parameters, paths_of, prompts_rendered
from tests.flows.test_cancelling import ended
from tests.flows.test_window_flow import lease_of
from tests.integration.import_folder import picture

_ENDS_SECONDS = 120
SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 2}  # any fields of a request
QUICK = RetryPolicy(first_seconds=0.1, longest_seconds=0.1)
LONG: dict[str, Any] = {"width": 64, "height": 64, "steps": 1000}  # any fields of a request


@pytest_asyncio.fixture
async def outage(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PrefectOutage]:
    async with prefect_outage(monkeypatch) as outage:
        yield outage


@pytest.fixture
def rehearsal_config(tmp_path: Path) -> RehearsalConfig:
    """A server whose long renders take half a minute."""
    return RehearsalConfig(data_dir=tmp_path / "rehearsal", port=0, step_seconds=0.03)


async def test_a_progress_bar_that_prefect_does_not_take_holds_up_neither_lease_nor_cancellation(
    studio: RehearsalStudio, outage: PrefectOutage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_LEASE_SECONDS", "5")
    get_settings.cache_clear()
    job_id = uuid4()
    outage.begin(about_artifacts)
    run = asyncio.ensure_future(generate(prompt="no bar", job_id=job_id, **LONG))
    async with asyncio.timeout(60):
        await outage.refused.wait()
        first = await lease_of(studio, job_id)
        while await lease_of(studio, job_id) <= first:
            await asyncio.sleep(0.1)
    async with studio.database.session_scope() as session:
        await JobRepository(session).request_cancel(job_id)
    with pytest.raises(CancelledRun):
        await asyncio.wait_for(run, 60)
    assert (await studio.newest_job()).status is JobStatus.CANCELLED


@pytest.fixture
def impatient_client() -> Iterator[None]:
    """Prefect's client gives up after two seconds instead of minutes."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}):
        yield


def runs_beyond(most: int) -> Callable[[httpx.Request], bool]:
    """Whether a request makes a run when so many were asked for already."""
    asked = 0

    def is_refused(request: httpx.Request) -> bool:
        nonlocal asked
        makes_run = request.method == "POST" and request.url.path.endswith("/flow_runs/")
        asked += makes_run
        return makes_run and asked > most

    return is_refused


@pytest.mark.usefixtures("impatient_client")
class TestInABatch:
    """The rehearsal server takes two seconds for a picture."""

    @pytest.fixture
    def rehearsal_config(self, tmp_path: Path) -> RehearsalConfig:
        return RehearsalConfig(data_dir=tmp_path / "rehearsal", port=0, step_seconds=1.0)

    async def test_a_child_that_prefect_does_not_take_waits_and_its_neighbours_go_on(
        self, studio: RehearsalStudio, outage: PrefectOutage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("anime.runs.batch_children.BATCH_CHILD", QUICK)
        outage.begin(runs_beyond(3))
        run = asyncio.create_task(paths_of(**parameters(prompts=["through it"], takes=6)))
        async with asyncio.timeout(_ENDS_SECONDS):
            await outage.refused.wait()
            while not await studio.files():
                assert not run.done()
                await asyncio.sleep(0.05)
        outage.end()
        paths = await asyncio.wait_for(run, _ENDS_SECONDS)
        assert len(set(paths)) == await prompts_rendered(studio) == 6
        jobs = await jobs_of(studio)
        assert {(job.status, job.attempt) for job in jobs} == {(JobStatus.COMPLETED, 1)}

    async def test_an_outage_without_end_fails_the_children_that_have_no_run_and_no_others(
        self, studio: RehearsalStudio, outage: PrefectOutage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("anime.runs.batch_children.BATCH_CHILD", QUICK)
        monkeypatch.setattr("anime.runs.batch_children._OUTAGE_SECONDS", 0.5)
        outage.begin(runs_beyond(3))
        with pytest.raises(BatchIncomplete, match="Prefect did not run the generation"):
            await asyncio.wait_for(
                paths_of(**parameters(prompts=["no end"], takes=6)), _ENDS_SECONDS
            )
        jobs = await jobs_of(studio)
        made = [job for job in jobs if job.status is JobStatus.COMPLETED]
        failed = [job for job in jobs if job.status is JobStatus.FAILED]
        assert len(made) == len(await studio.files()) == await prompts_rendered(studio) > 0
        assert len(made) + len(failed) == 6
        assert all("503" in str(job.error) for job in failed)

    async def test_a_child_whose_last_state_prefect_does_not_take_is_done_all_the_same(
        self, studio: RehearsalStudio, outage: PrefectOutage
    ) -> None:
        refused = 0

        def ends_a_run(request: httpx.Request) -> bool:
            nonlocal refused
            is_end = request.url.path.endswith("/set_state") and b"COMPLETED" in request.content
            refused += is_end
            return is_end and refused <= 2

        outage.begin(ends_a_run)
        paths = await asyncio.wait_for(
            paths_of(**parameters(prompts=["done"], takes=4)), _ENDS_SECONDS
        )
        assert len(set(paths)) == await prompts_rendered(studio) == 4
        assert {job.status for job in await jobs_of(studio)} == {JobStatus.COMPLETED}


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
    assert (await asyncio.wait_for(ended(prompt="unseen", **SMALL), 60)).is_completed()
    assert outage.refused.is_set()


@pytest.mark.usefixtures("impatient_client")
async def test_a_prefect_that_is_gone_in_mid_render_costs_no_picture(
    studio: RehearsalStudio, outage: PrefectOutage
) -> None:
    job_id = uuid4()
    run = asyncio.ensure_future(generate(prompt="alone", job_id=job_id, **SMALL | {"steps": 100}))
    async with asyncio.timeout(_ENDS_SECONDS):
        async for event in follow_job(studio.redis_url, job_id):
            if event.progress:
                break
        outage.begin()
        await asyncio.wait([run])
    job, [path] = await studio.newest_job(), studio.library_files()
    assert (job.status, job.output_path) == (JobStatus.COMPLETED, str(path))

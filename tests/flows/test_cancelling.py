"""Cancelling one generation: the same end everywhere, and nobody else is touched."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from prefect import State
from redis.asyncio import Redis

from anime.comfyui.prompt_cancellation import stop_prompt
from anime.core.job_status import JobStatus, Stage
from anime.db.repositories import JobRepository, Lease
from anime.jobs.background import monitor_of
from anime.jobs.service import JobService, open_job_service
from anime.progress.keys import job_hash
from anime.progress.publisher import ProgressPublisher, follow_job
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.faults import Faults
from anime.schemas import GenerationRequest, JobSnapshot
from anime.settings import get_settings
from flows.generate import generate
from tasks.progress import Reporter
from tasks.records import lease_job
from tests.flows.conftest import RehearsalStudio
from tests.support.waiting import HUNG_SECONDS

LONG: dict[str, Any] = {"width": 64, "height": 64, "steps": 20}  # any fields of a request
BRIEF: dict[str, Any] = {"width": 64, "height": 64, "steps": 2}


@pytest.fixture
def rehearsal_config(tmp_path: Path, held: Path) -> RehearsalConfig:
    """A server whose renders can be held until they are cancelled."""
    folder, faults = tmp_path / "rehearsal", Faults(hold_while=held)
    return RehearsalConfig(data_dir=folder, port=0, step_seconds=0.03, faults=faults)


@pytest_asyncio.fixture
async def job_service(studio: RehearsalStudio) -> AsyncIterator[JobService]:
    async with (
        ProgressPublisher(studio.redis_url) as publisher,
        open_job_service(get_settings(), studio.database, publisher) as job_service,
    ):
        yield job_service


async def ended(**parameters: Any) -> State[Any]:  # fields of a request
    """The last state of a run."""
    state = await generate(**parameters, return_state=True)
    return cast("State[Any]", state)  # return_state decides, which the signature cannot say


async def job_of(studio: RehearsalStudio, job_id: UUID) -> JobSnapshot:
    async with studio.database.session_scope() as session:
        return await JobRepository(session).get(job_id)


async def until_rendering(studio: RehearsalStudio, job_id: UUID) -> None:
    async with asyncio.timeout(HUNG_SECONDS):
        async for event in follow_job(studio.redis_url, job_id):
            if event.progress:
                return


async def prompts(studio: RehearsalStudio) -> tuple[list[Any], dict[str, Any]]:
    """What ComfyUI has in its queue, and its history."""
    async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
        queue = (await http.get("/queue")).json()
        history = (await http.get("/history")).json()
    return queue["queue_running"] + queue["queue_pending"], history


async def test_f30_a_running_job_is_stopped_at_once_and_its_neighbour_goes_on(
    studio: RehearsalStudio, job_service: JobService, held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_cancelled_twice = asyncio.Event()

    async def stop_later(*arguments: Any, **named: Any) -> bool:  # as it takes them
        await is_cancelled_twice.wait()
        return await stop_prompt(*arguments, **named)

    monkeypatch.setattr("anime.runs.execution.stop_prompt", stop_later)
    monkeypatch.setattr(
        "anime.runs.execution._HEARTBEAT_SECONDS", 3600.0
    )  # so that only the bell can tell
    doomed, neighbour = uuid4(), uuid4()
    held.touch()
    run = asyncio.create_task(ended(prompt="no", job_id=doomed, **LONG))
    await until_rendering(studio, doomed)
    beside = asyncio.create_task(generate(prompt="yes", job_id=neighbour, **BRIEF))
    stopping = await job_service.cancel(doomed)
    again = await job_service.cancel(doomed)
    is_cancelled_twice.set()
    state = await asyncio.wait_for(run, HUNG_SECONDS)
    held.unlink()
    assert (stopping.status, again.status) == (JobStatus.CANCELLING, JobStatus.CANCELLING)
    assert state.name == "Cancelled"
    assert (await job_of(studio, doomed)).status is JobStatus.CANCELLED
    async with Redis.from_url(studio.redis_url, decode_responses=True) as redis:
        assert (await redis.hget(job_hash(doomed), "status")) == "cancelled"
    events = [event.status async for event in follow_job(studio.redis_url, doomed, after_seq=0)]
    assert events[-2:] == ["cancelling", "cancelled"]
    assert len(await asyncio.wait_for(beside, HUNG_SECONDS)) == 1
    queue, history = await prompts(studio)
    assert (queue, len(history)) == ([], 2)
    assert [entry["status"]["completed"] for entry in history.values()] == [False, True]
    late = await job_service.cancel(neighbour)
    assert (late.status, late.detail) == (
        JobStatus.COMPLETED,
        "It was completed before; nothing is changed.",
    )


async def test_f31_a_cancellation_after_the_render_comes_too_late_and_the_picture_is_recorded(
    studio: RehearsalStudio, job_service: JobService, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, is_held = uuid4(), asyncio.Event()
    enter, hold = Reporter.enter, JobRepository.hold

    async def cancelled_on_entering(reporter: Reporter, stage: Stage, message: str) -> None:
        await enter(reporter, stage, message)
        if stage is Stage.ORGANIZING:
            await job_service.cancel(job_id)
            await is_held.wait()  # the run has heard of it

    async def told(jobs: JobRepository, lease: Lease, *, seconds: float) -> None:
        await hold(jobs, lease, seconds=seconds)
        is_held.set()

    monkeypatch.setattr(Reporter, "enter", cancelled_on_entering)
    monkeypatch.setattr(JobRepository, "hold", told)
    paths = await asyncio.wait_for(
        generate(prompt="too late", job_id=job_id, **BRIEF), HUNG_SECONDS
    )
    assert (await job_of(studio, job_id)).status is JobStatus.COMPLETED
    assert [str(path) for path in studio.library_files()] == paths
    assert [file.file_path for file in await studio.files()] == paths


async def test_a_run_that_comes_for_a_job_cancelled_while_it_waited_ends_as_cancelled(
    studio: RehearsalStudio, job_service: JobService
) -> None:
    job = await job_service.admit(GenerationRequest(prompt="never"))
    assert (await job_service.cancel(job.id)).status is JobStatus.CANCELLED
    state = await ended(prompt="never", job_id=job.id)
    assert state.name == "Cancelled"
    assert await prompts(studio) == ([], {})


async def test_f32_a_job_whose_run_died_is_stopped_in_comfyui_and_settled(
    studio: RehearsalStudio, job_service: JobService, held: Path
) -> None:
    job_id = uuid4()
    held.touch()
    run = asyncio.create_task(generate(prompt="orphan", job_id=job_id, **LONG))
    await until_rendering(studio, job_id)
    run.cancel()  # it gives the job back, and leaves its prompt to whoever goes on with it
    await asyncio.wait([run], timeout=HUNG_SECONDS)
    async with studio.database.session_scope() as session:
        stopping = await JobRepository(session).request_cancel(job_id)
    assert stopping.status is JobStatus.CANCELLING
    done = await monitor_of(job_service).step()
    assert done.cancelled == 1
    assert (await job_of(studio, job_id)).status is JobStatus.CANCELLED
    queue, history = await prompts(studio)
    assert (queue, [entry["status"]["completed"] for entry in history.values()]) == ([], [False])


async def test_a_run_that_is_ended_while_it_takes_its_job_leaves_it_free(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = uuid4()

    async def lease_and_end_run(*arguments: Any, **named: Any) -> Any:  # as it takes and gives them
        leased = await lease_job(*arguments, **named)
        run.cancel()
        return leased

    monkeypatch.setattr("anime.runs.execution.lease_job", lease_and_end_run)
    run = asyncio.ensure_future(generate(prompt="not now", job_id=job_id, **BRIEF))
    await asyncio.wait([run], timeout=HUNG_SECONDS)
    assert run.cancelled()
    async with studio.database.session_scope() as session:
        jobs = JobRepository(session)
        assert (await jobs.get(job_id)).status is JobStatus.PROCESSING
        assert not await jobs.is_held(job_id)

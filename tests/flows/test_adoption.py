"""What a server has rendered and no longer knows of, and prompts of which servers die."""

import asyncio
import signal
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from anime.comfyui.client import ComfyUIClient
from anime.core.ids import prompt_id_of
from anime.core.job_status import FailureKind, JobStatus
from anime.core.paths import filename_prefix
from anime.core.timeline import TimelineKind
from anime.db.repositories import DispatchRepository, JobRepository, TimelineRepository
from anime.errors import PromptQuarantined
from anime.rehearsal.config import RehearsalConfig
from anime.schemas import GenerationRequest
from flows.generate import generate
from flows.monitor import monitor
from tests.flows.conftest import RehearsalStudio
from tests.flows.test_recovery import SLOW, RehearsalProcess, rehearsal
from tests.support.waiting import HUNG_SECONDS

__all__ = ["rehearsal"]

SMALL = {"width": 64, "height": 64, "steps": 2}


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who has always cleared ComfyUI's history before we look into it."""

    async def cleared(client: ComfyUIClient, prompt_id: UUID) -> None:
        async with httpx.AsyncClient(base_url=client.base_url) as http:
            (await http.post("/history", json={"clear": True})).raise_for_status()
        del prompt_id  # it may have ended since: that comes too late for this look

    monkeypatch.setattr(ComfyUIClient, "history", cleared)
    monkeypatch.setattr(ComfyUIClient, "_find_job", cleared)


async def decisions(studio: RehearsalStudio, job_id: UUID) -> list[str]:
    async with studio.database.session_scope() as session:
        timeline = await TimelineRepository(session).of_job(job_id)
    return [each.message for each in timeline if each.kind is TimelineKind.DECISION]


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize("is_folder_readable", [True, False])
async def test_f24_files_whose_history_was_cleared_are_taken_in(
    studio: RehearsalStudio,
    rehearsal_config: RehearsalConfig,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_folder_readable: bool,
) -> None:
    if is_folder_readable:
        output = rehearsal_config.data_dir / "output"
        monkeypatch.setenv("ANIME_COMFYUI_OUTPUT_DIR", str(output))
    job_id = uuid4()
    paths = await generate(prompt="forgotten", batch_size=2, job_id=job_id, **SMALL)
    job = await studio.newest_job()
    assert (job.status, job.attempt, len(paths)) == (JobStatus.COMPLETED, 1, 2)
    assert [str(path) for path in studio.library_files()] == sorted(paths)
    assert await decisions(studio, job_id) == [
        "The server no longer knows its prompt, but has all of its files."
    ]


@pytest.mark.parametrize("is_cut", [True, False])
async def test_f24_when_a_file_is_cut_or_there_is_one_too_many_it_is_rendered_again(
    studio: RehearsalStudio,
    rehearsal_config: RehearsalConfig,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_cut: bool,
) -> None:
    job_id, forgets = uuid4(), [True]
    first = {str(prompt_id_of(job_id, 1))}
    history, find_job = ComfyUIClient.history, ComfyUIClient._find_job

    async def forgotten(client: ComfyUIClient, prompt_id: UUID) -> object:
        output = rehearsal_config.data_dir / "output" / filename_prefix(job_id, 1)
        made = sorted(output.parent.glob("*.png"))
        has_ended = await history(client, prompt_id) is not None
        if has_ended and len(made) == 2 and forgets:
            content = made[1].read_bytes()
            if is_cut:
                made[1].write_bytes(content[:-40])
            else:
                Path(str(made[1]).replace("_00002_", "_00003_")).write_bytes(content[:-40])
            forgets.clear()
        if str(prompt_id) in first:
            return None
        return await history(client, prompt_id)

    async def unknown(client: ComfyUIClient, prompt_id: UUID) -> object:
        return None if str(prompt_id) in first else await find_job(client, prompt_id)

    monkeypatch.setattr(ComfyUIClient, "history", forgotten)
    monkeypatch.setattr(ComfyUIClient, "_find_job", unknown)
    paths = await generate(prompt="cut", batch_size=2, job_id=job_id, **SMALL)
    job = await studio.newest_job()
    assert not forgets
    assert (job.status, job.attempt, len(paths)) == (JobStatus.COMPLETED, 2, 2)


async def test_f06_a_prompt_of_which_servers_die_is_set_aside_until_a_person_releases_it(
    studio: RehearsalStudio, rehearsal: RehearsalProcess
) -> None:
    job_id = uuid4()
    run = await crashed_at(rehearsal, job_id, 8, 8)
    await rehearsal.start()
    with pytest.raises(PromptQuarantined, match="2 times a server died at about the same point"):
        await asyncio.wait_for(run, HUNG_SECONDS)
    job = await studio.newest_job()
    assert (job.status, job.error_kind) == (JobStatus.FAILED, FailureKind.QUARANTINED)
    async with studio.database.session_scope() as session:
        assert await JobRepository(session).requeue(job_id)
    await asyncio.wait_for(generate(prompt="poison", job_id=job_id, **SLOW), HUNG_SECONDS)
    job = await studio.newest_job()
    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 3)


async def test_a_prompt_that_was_merely_there_when_servers_were_killed_is_rendered(
    studio: RehearsalStudio, rehearsal: RehearsalProcess
) -> None:
    run = await crashed_at(rehearsal, job_id := uuid4(), 3, 15)
    await rehearsal.start()
    await asyncio.wait_for(run, HUNG_SECONDS)
    job = await studio.newest_job()
    assert (job.id, job.status, job.attempt) == (job_id, JobStatus.COMPLETED, 3)


async def crashed_at(
    rehearsal: RehearsalProcess, job_id: UUID, *steps: int
) -> "asyncio.Task[list[str]]":
    """The run of a job, once its server has died at each of these steps, one attempt each."""
    await rehearsal.end(signal.SIGTERM)
    run: asyncio.Task[list[str]] | None = None
    for step in steps:
        await rehearsal.start(f"crash-at-step={step}")
        run = run or asyncio.create_task(generate(prompt="poison", job_id=job_id, **SLOW))
        await rehearsal.until_dead()
    assert run is not None
    return run


async def test_the_monitor_as_a_flow_says_what_it_did(
    studio: RehearsalStudio,
) -> None:
    async with studio.database.session_scope() as session:
        assert await DispatchRepository(session).try_lock()
        state = await monitor(return_state=True)  # another one is at it
    assert state.message == "0 dispatched, 0 cancelled, 0 given up."
    job_id = uuid4()
    async with studio.database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create(job_id, GenerationRequest(prompt="stop"), workflow="txt2img", seed=1)
        lease = await jobs.lease(job_id, uuid4(), seconds=60)
        assert lease is not None
        await jobs.release(lease)
        await jobs.request_cancel(job_id)
    state = await monitor(return_state=True)
    assert state.message == "0 dispatched, 1 cancelled, 0 given up."

"""Somebody stops our prompt in ComfyUI: told apart from a failure, and rendered again."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect import State
from sqlalchemy import text

from anime.core.ids import seed_of
from anime.core.job_status import FailureKind, JobStatus
from anime.errors import PromptInterrupted
from anime.progress.publisher import follow_job
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.faults import Faults
from anime.settings import get_settings
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio
from tests.flows.test_cancelling import ended, prompts
from tests.support.waiting import HUNG_SECONDS

SLOW: dict[str, Any] = {"width": 64, "height": 64, "steps": 20}  # any fields of a request


@pytest.fixture
def rehearsal_config(tmp_path: Path, held: Path) -> RehearsalConfig:
    """A server that ends no render until it is told to, but for those that are stopped."""
    held.touch()
    folder, faults = tmp_path / "rehearsal", Faults(hold_while=held)
    return RehearsalConfig(data_dir=folder, port=0, step_seconds=0.03, faults=faults)


async def interrupt_attempt(studio: RehearsalStudio, job_id: UUID, attempt: int) -> None:
    """Stop whatever runs in ComfyUI as soon as that attempt renders, as its own page does."""
    async with asyncio.timeout(HUNG_SECONDS):
        async for event in follow_job(studio.redis_url, job_id):
            if event.attempt == attempt and event.progress:
                break
    async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
        (await http.post("/interrupt")).raise_for_status()


async def test_a_prompt_that_a_stranger_stops_is_rendered_again(
    studio: RehearsalStudio, held: Path
) -> None:
    job_id = uuid4()
    run = asyncio.ensure_future(generate(prompt="again", job_id=job_id, **SLOW))
    await interrupt_attempt(studio, job_id, 1)
    held.unlink()
    [path] = await asyncio.wait_for(run, HUNG_SECONDS)
    job = await studio.newest_job()
    assert (job.status, job.attempt, job.seed) == (JobStatus.COMPLETED, 2, seed_of(job_id))
    assert [str(found) for found in studio.library_files()] == [path]
    queue, history = await prompts(studio)
    assert [entry["status"]["completed"] for entry in history.values()] == [False, True]
    assert queue == []


async def test_one_that_strangers_always_stop_has_failed_as_interrupted(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_MAX_ATTEMPTS", "2")
    get_settings.cache_clear()
    job_id = uuid4()
    run = asyncio.ensure_future(generate(prompt="no", job_id=job_id, **SLOW))
    for attempt in (1, 2):
        await interrupt_attempt(studio, job_id, attempt)
    with pytest.raises(PromptInterrupted, match="Somebody stopped"):
        await asyncio.wait_for(run, HUNG_SECONDS)
    job = await studio.newest_job()
    assert (job.status, job.error_kind) == (JobStatus.FAILED, FailureKind.INTERRUPTED)
    assert len((await prompts(studio))[1]) == 2


async def test_our_own_cancellation_is_none_even_when_comfyui_tells_of_it_first(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("anime.runs.execution._HEARTBEAT_SECONDS", 60.0)
    get_settings.cache_clear()
    job_id = uuid4()
    run: asyncio.Task[State[Any]] = asyncio.create_task(ended(prompt="ours", job_id=job_id, **SLOW))
    async with asyncio.timeout(HUNG_SECONDS):
        async for event in follow_job(studio.redis_url, job_id):
            if event.progress:
                break
    async with studio.database.session_scope() as session:  # and nobody rings
        await session.execute(text("UPDATE anime_api.production_jobs SET status = 'cancelling'"))
    await interrupt_attempt(studio, job_id, 1)
    state = await asyncio.wait_for(run, HUNG_SECONDS)
    assert state.name == "Cancelled"
    assert (await studio.newest_job()).status is JobStatus.CANCELLED

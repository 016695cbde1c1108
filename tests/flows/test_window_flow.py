"""A generation that waits for its place at ComfyUI."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.exceptions import CancelledRun
from sqlalchemy import text

from anime.comfyui.client import ComfyUIClient
from anime.core.assignment import RenderEstimate
from anime.core.job_status import JobStatus
from anime.core.servers import NewPause
from anime.db.repositories import (
    JobRepository,
    ProjectRepository,
    ServerRepository,
    SlotRepository,
    SlotRequest,
)
from anime.jobs.servers.registry import connect_registry
from anime.progress.publisher import follow_job
from anime.schemas import ProgressEvent
from anime.settings import get_settings
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio
from tests.support.waiting import HUNG_SECONDS


@pytest.fixture(autouse=True)
def one_in_flight(studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIME_IN_FLIGHT", "1")
    get_settings.cache_clear()


@asynccontextmanager
async def full_window(studio: RehearsalStudio) -> AsyncIterator[None]:
    """Somebody else's prompt is in flight for as long as the block lasts."""
    other = SlotRequest(
        job_id=uuid4(),
        fence=1,
        is_interactive=True,
        estimates={studio.comfyui_url: RenderEstimate(seconds=1.0, load_seconds=0.0)},
    )
    async with studio.database.session_scope() as session:
        await ServerRepository(session).seed([studio.comfyui_url])
        await SlotRepository(session).ask(other, size=1, seconds=2 * HUNG_SECONDS)
    yield
    async with studio.database.session_scope() as session:
        await SlotRepository(session).leave(other, size=1)


async def first_event_saying(studio: RehearsalStudio, job_id: UUID, words: str) -> ProgressEvent:
    async with asyncio.timeout(HUNG_SECONDS):
        async for event in follow_job(studio.redis_url, job_id):
            if words in event.message:
                return event
    raise AssertionError(f"nobody said {words!r}")


async def lease_of(studio: RehearsalStudio, job_id: UUID) -> datetime:
    async with studio.database.session_scope() as session:
        found = await session.scalar(
            text("SELECT lease_expires_at FROM anime_api.production_jobs WHERE id = :id"),
            {"id": job_id},
        )
    assert isinstance(found, datetime)
    return found


async def test_it_says_that_it_waits_keeps_its_lease_and_goes_on_when_it_can(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = ComfyUIClient.follow
    monkeypatch.setattr(  # the render itself may take its time
        ComfyUIClient,
        "follow",
        lambda *told, **limits: follow(*told, **limits | {"stall_timeout_seconds": HUNG_SECONDS}),
    )
    monkeypatch.setenv("ANIME_STALL_TIMEOUT_SECONDS", "0.5")
    monkeypatch.setenv("ANIME_LEASE_SECONDS", "30")
    get_settings.cache_clear()
    job_id = uuid4()
    async with full_window(studio):
        run = asyncio.ensure_future(generate(prompt="patience", job_id=job_id))
        event = await first_event_saying(studio, job_id, "Waiting for a slot at ComfyUI")
        assert (event.status, event.stage) == (JobStatus.PROCESSING, "submitting")
        first = await lease_of(studio, job_id)
        async with asyncio.timeout(HUNG_SECONDS):
            while await lease_of(studio, job_id) <= first:
                await asyncio.sleep(0.1)
        assert not run.done()
    await asyncio.wait_for(run, HUNG_SECONDS)
    assert (await studio.newest_job()).status is JobStatus.COMPLETED


async def test_it_can_be_cancelled_while_it_waits_and_leaves_the_line(
    studio: RehearsalStudio,
) -> None:
    job_id = uuid4()
    async with full_window(studio):
        run = asyncio.ensure_future(generate(prompt="never mind", job_id=job_id))
        await first_event_saying(studio, job_id, "next in line")
        async with studio.database.session_scope() as session:
            await JobRepository(session).request_cancel(job_id)
        with pytest.raises(CancelledRun, match="was cancelled"):
            await asyncio.wait_for(run, HUNG_SECONDS)
        async with studio.database.session_scope() as session:
            state = await SlotRepository(session).state(studio.comfyui_url)
        assert (state.held, state.waiting) == (1, 0)
    assert (await studio.newest_job()).status is JobStatus.CANCELLED
    async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
        assert (await http.get("/history")).json() == {}


async def test_a_pause_holds_a_render_up_over_a_restart_until_it_ends(
    studio: RehearsalStudio,
) -> None:
    job_id = uuid4()
    async with studio.database.session_scope() as session:
        await ProjectRepository(session).get_or_create("Neon City")
    async with connect_registry(get_settings()) as registry:
        await registry.pause(NewPause(project="Neon City", reason="it waits for the colours"))
    run = asyncio.ensure_future(generate(prompt="patience", project="Neon City", job_id=job_id))
    await first_event_saying(studio, job_id, "new renders are paused")
    run.cancel()  # the worker stops
    with suppress(asyncio.CancelledError, CancelledRun):
        await asyncio.wait_for(run, HUNG_SECONDS)
    await generate(prompt="another project's", project="Rain")
    run = asyncio.ensure_future(generate(prompt="patience", project="Neon City", job_id=job_id))
    await first_event_saying(studio, job_id, "new renders are paused")
    assert not run.done()
    async with connect_registry(get_settings()) as registry:
        assert await registry.end_pause(NewPause(project="neon-city")) == []
    await asyncio.wait_for(run, HUNG_SECONDS)
    async with studio.database.session_scope() as session:
        assert (await JobRepository(session).get(job_id)).status is JobStatus.COMPLETED


async def test_its_place_is_free_as_soon_as_the_render_has_ended(studio: RehearsalStudio) -> None:
    await generate(prompt="in and out")
    async with studio.database.session_scope() as session:
        state = await SlotRepository(session).state(studio.comfyui_url)
    assert (state.held, state.waiting) == (0, 0)


async def test_without_redis_it_gets_its_place_all_the_same(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_REDIS_URL", "redis://127.0.0.1:9/1")
    get_settings.cache_clear()
    async with full_window(studio):
        run = asyncio.ensure_future(generate(prompt="in silence"))
        async with asyncio.timeout(HUNG_SECONDS):
            while not await somebody_waits(studio):
                await asyncio.sleep(0.05)
    await asyncio.wait_for(run, HUNG_SECONDS)
    assert (await studio.newest_job()).status is JobStatus.COMPLETED


async def somebody_waits(studio: RehearsalStudio) -> bool:
    async with studio.database.session_scope() as session:
        return (await SlotRepository(session).state(studio.comfyui_url)).waiting > 0

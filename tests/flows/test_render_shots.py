"""Shots rendered by a run that somebody starts in Prefect."""

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from anime.core.batches import BatchRequest
from anime.core.shots import ShotChange, ShotEvent, ShotState
from anime.errors import AnimeError, InvalidRequest
from anime.jobs.shots import import_shots
from anime.progress.keys import SHOTS_CHANNEL
from anime.settings import get_settings
from flows.generate import generate
from flows.render_shots import render_shots
from tests.flows.conftest import RehearsalStudio
from tests.integration.prefect_peer import AUTH, running_prefect_peer
from tests.support.waiting import HUNG_SECONDS

TABLE = "code,episode,prompt,seed\nsc1,1,a roof,7\nsc2,2,a door,\nsc3,3,,\n"


async def test_a_run_of_the_form_begins_a_batch_of_the_shots(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    await import_shots(studio.database, "Neon City", TABLE)
    async with running_prefect_peer() as prefect:
        monkeypatch.setenv("PREFECT_API_URL", prefect.url)
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", AUTH)
        get_settings.cache_clear()
        run_id = await render_shots(project="neon-city", episode="1", takes=2)
        [run] = prefect.runs.values()
        with pytest.raises(InvalidRequest, match="has a prompt"):
            await render_shots(project="neon-city", episode="3")
    assert run["id"] == run_id
    batch = BatchRequest.model_validate(run["parameters"])
    assert [(each.shot, each.seed) for each in batch.requests] == [("sc1", 7), ("sc1", 8)]


async def test_it_is_told_when_jobs_of_a_shot_begin_end_or_fail(studio: RehearsalStudio) -> None:
    await import_shots(studio.database, "Neon City", TABLE)
    async with (
        Redis.from_url(studio.redis_url, decode_responses=True) as redis,
        redis.pubsub() as heard,
    ):
        await heard.subscribe(SHOTS_CHANNEL)
        await heard.get_message(timeout=HUNG_SECONDS)
        small = {"width": 64, "height": 64, "steps": 1}
        await generate(prompt="a roof", project="Neon City", shot="sc1", **small)
        with pytest.raises(AnimeError):
            await generate(
                prompt="a roof", project="Neon City", shot="sc2", model="gone.safetensors", **small
            )
        events = [await _next_event(heard) for _ in range(4)]
    assert [(each.code, each.change, each.state, each.under_way) for each in events] == [
        ("sc1", ShotChange.JOB, ShotState.RENDERING, 1),
        ("sc1", ShotChange.TAKE, ShotState.TO_REVIEW, 0),
        ("sc2", ShotChange.JOB, ShotState.RENDERING, 1),
        ("sc2", ShotChange.JOB, ShotState.MISSING, 0),
    ]
    assert [(each.takes, each.failed) for each in events] == [(0, 0), (1, 0), (0, 0), (0, 1)]


async def _next_event(heard: PubSub) -> ShotEvent:
    message = await heard.get_message(timeout=HUNG_SECONDS)
    assert message is not None
    return ShotEvent.model_validate_json(message["data"])

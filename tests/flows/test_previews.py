"""Pictures of a render in progress reach Redis while somebody looks, and only then."""

import asyncio
import time
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from anime.progress.keys import PREVIEWS_CHANNEL, preview_request_key
from anime.rehearsal.config import RehearsalConfig
from anime.schemas import Preview
from flows.generate import generate
from tasks.progress import PAUSE_SECONDS
from tests.flows.conftest import RehearsalStudio
from tests.support.waiting import HUNG_SECONDS

ALL = "all"


@pytest.fixture
def rehearsal_config(tmp_path: Path) -> RehearsalConfig:
    return RehearsalConfig(
        data_dir=tmp_path / "rehearsal", port=0, step_seconds=0.05, previews=True
    )


async def test_previews_are_published_at_the_pace_of_a_viewer_while_there_is_one(
    studio: RehearsalStudio,
) -> None:
    watched, unwatched = uuid4(), uuid4()
    async with (
        Redis.from_url(studio.redis_url, decode_responses=True, protocol=2) as redis,
        redis.pubsub() as channel,
    ):
        await channel.subscribe(PREVIEWS_CHANNEL)
        assert (await channel.get_message(timeout=HUNG_SECONDS))["type"] == "subscribe"
        await redis.set(preview_request_key(watched), "1", ex=2 * HUNG_SECONDS)
        for job_id in (unwatched, watched):
            began_at = time.monotonic()
            await asyncio.wait_for(
                generate(prompt="haze", width=64, height=64, steps=12, job_id=job_id), HUNG_SECONDS
            )
        took_seconds = time.monotonic() - began_at
        await redis.publish(PREVIEWS_CHANNEL, ALL)
        shown = []
        while (said := await channel.get_message(timeout=HUNG_SECONDS))["data"] != ALL:
            shown.append(Preview.model_validate_json(said["data"]))
    assert {each.job_id for each in shown} == {watched}
    assert 1 <= len(shown) <= 1 + took_seconds / PAUSE_SECONDS  # of twelve frames
    assert {each.media_type for each in shown} == {"image/jpeg"}

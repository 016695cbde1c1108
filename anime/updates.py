"""Everybody's progress on one connection: for whoever watches many jobs at a time."""

import asyncio
import logging
from collections.abc import AsyncGenerator

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from anime.redis_keys import UPDATES_CHANNEL
from anime.schemas import ProgressEvent

_log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 1.0
RETRY_SECONDS = 2.0
SILENCE_SECONDS = 5.0  # one read waits no longer


async def follow_updates(redis_url: str) -> AsyncGenerator[ProgressEvent, None]:
    """Every event of any job as it is published, without end; what came before is not told.

    While Redis is away this waits for it: what is published meanwhile is lost.
    """
    while True:
        try:
            async for event in _listen(redis_url):
                yield event
        except (RedisError, OSError, TimeoutError) as fault:
            _log.debug("Redis does not answer: %s", fault)
        await asyncio.sleep(RETRY_SECONDS)


async def _listen(redis_url: str) -> AsyncGenerator[ProgressEvent, None]:
    async with (
        Redis.from_url(
            redis_url,
            protocol=2,
            decode_responses=True,
            socket_connect_timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS + SILENCE_SECONDS,
        ) as redis,
        redis.pubsub(ignore_subscribe_messages=True) as channel,
    ):
        await channel.subscribe(UPDATES_CHANNEL)
        while True:
            message = await channel.get_message(timeout=SILENCE_SECONDS)
            if message is not None and (event := _event_of(message["data"])):
                yield event


def _event_of(text: str) -> ProgressEvent | None:
    """The event; None for what another program has published there."""
    try:
        return ProgressEvent.model_validate_json(text)
    except ValidationError:
        return None

"""All events that are published on Redis, over one connection, for watching many jobs."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from pydantic import ValidationError
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from anime.errors import reason_of
from anime.progress.keys import UPDATES_CHANNEL
from anime.progress.redis_connection import connect_redis, replace_older
from anime.retry_policies import REDIS_SUBSCRIPTION
from anime.schemas import ProgressEvent

_log = logging.getLogger(__name__)

SILENCE_SECONDS = 5.0  # then the server is asked whether it is there; below every idle time-out


async def _nothing() -> None:
    """Do nothing."""


async def subscribe_updates(redis_url: str) -> AsyncGenerator[ProgressEvent, None]:
    """Every event of any job as it is published, without end, and none from before.

    While Redis is away this waits for it: what is published meanwhile is lost.
    """
    async for _, text in subscribe_channels(redis_url, UPDATES_CHANNEL):
        if event := event_in(text):
            yield event


async def subscribe_channels(
    redis_url: str,
    *channels: str,
    subscribed: Callable[[], Awaitable[None]] = _nothing,
    lost: Callable[[], None] = lambda: None,
) -> AsyncGenerator[tuple[str, str], None]:
    """Channel and text of every message, without end.

    `subscribed` is awaited each time the subscription is made, before its first message is
    given: the moment to catch up with what was missed. `lost` is called when it breaks.
    """
    failures = 0
    while True:
        try:
            async for message in _listen(redis_url, channels, subscribed):
                failures = 0
                yield message
        except (RedisError, OSError, TimeoutError) as fault:
            _log.debug("Redis does not answer: %s", reason_of(fault))
        lost()
        await REDIS_SUBSCRIPTION.wait(failures)
        failures += 1


async def _listen(
    redis_url: str, channels: tuple[str, ...], subscribed: Callable[[], Awaitable[None]]
) -> AsyncGenerator[tuple[str, str], None]:
    async with (
        connect_redis(redis_url, read_seconds=2 * SILENCE_SECONDS) as redis,
        redis.pubsub() as subscription,
    ):
        await subscription.subscribe(*channels)
        while True:
            message = await _next_message(subscription)
            # redis-py also restores a broken connection by itself, and only this shows it.
            if message["type"] == "subscribe" and message["channel"] == channels[-1]:
                await subscribed()
            if message["type"] == "message":
                yield message["channel"], message["data"]


async def _next_message(subscription: PubSub) -> Mapping[str, Any]:  # as redis-py gives it
    """The next message of any type; a silent server is asked for one.

    Raises:
        TimeoutError: it did not answer either.
    """
    await replace_older(subscription)
    message: Mapping[str, Any] | None = await subscription.get_message(timeout=SILENCE_SECONDS)
    if message is None:
        await subscription.ping()
        message = await subscription.get_message(timeout=SILENCE_SECONDS)
    if message is None:
        raise TimeoutError(f"silent for {2 * SILENCE_SECONDS:g} s")
    return message


def event_in(text: str) -> ProgressEvent | None:
    """The event; None for what another program has published there."""
    try:
        return ProgressEvent.model_validate_json(text)
    except ValidationError:
        return None

"""Notifications of dispatched runs, for workers; polling finds runs whose notification is lost."""

import logging
from collections.abc import Callable
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from anime.progress.keys import worker_channel
from anime.progress.redis_connection import redis_at, replace_older
from anime.retry_policies import RUN_NOTIFICATIONS

_log = logging.getLogger(__name__)
LISTEN_SECONDS = 5.0  # one wait, before a look whether the credentials have been replaced


async def listen(redis_url: str, pool: str, on_notification: Callable[[str], None]) -> None:
    """Call `on_notification` with the queue of each run of that pool that is dispatched.

    Until it is cancelled.
    """
    is_failing = False
    while True:
        try:
            async with redis_at(redis_url, socket_connect_timeout=2.0) as redis:
                await _receive(redis, pool, on_notification)
        except (RedisError, OSError) as fault:
            if not is_failing:
                _log.warning(
                    "No notifications from Redis, runs are found by polling only: %s", fault
                )
            is_failing = True
            await RUN_NOTIFICATIONS.wait()


async def _receive(redis: "Redis", pool: str, on_notification: Callable[[str], None]) -> None:
    async with redis.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(worker_channel(pool))
        while True:
            await replace_older(channel)
            message = await channel.get_message(timeout=LISTEN_SECONDS)
            if message := cast("dict[str, Any] | None", message):
                on_notification(message["data"].decode())

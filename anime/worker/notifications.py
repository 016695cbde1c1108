"""Notifications of dispatched runs, for workers; polling finds runs whose notification is lost."""

import logging
from collections.abc import Callable

from anime.progress.keys import worker_channel
from anime.progress.updates import subscribe_channels

_log = logging.getLogger(__name__)


async def listen(redis_url: str, pool: str, on_notification: Callable[[str], None]) -> None:
    """Call `on_notification` with the queue of each run of that pool that is dispatched.

    Until it is cancelled.
    """
    is_told = False

    async def note_subscription() -> None:
        nonlocal is_told
        is_told = False

    def tell_once() -> None:
        nonlocal is_told
        if not is_told:
            _log.warning("No notifications from Redis for now: runs are found by polling only")
        is_told = True

    messages = subscribe_channels(
        redis_url, worker_channel(pool), subscribed=note_subscription, lost=tell_once
    )
    async for _, queue in messages:
        on_notification(queue)

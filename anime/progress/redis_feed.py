"""The one subscription of this process to Redis, and what fills its gaps."""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Self
from uuid import UUID

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from anime.core.shots import ShotEvent
from anime.errors import AnimeError
from anime.progress.hub import Hub
from anime.progress.keys import (
    PREVIEWS_CHANNEL,
    PREVIEWS_TTL_SECONDS,
    SHOTS_CHANNEL,
    UPDATES_CHANNEL,
    preview_request_key,
)
from anime.progress.snapshot_reader import SnapshotReader
from anime.progress.updates import event_in, subscribe_channels
from anime.retry_policies import cancel_until_ended, keep_running
from anime.schemas import Preview

_log = logging.getLogger(__name__)

SILENCE_SECONDS = 5.0  # the row of a job silent for so long is read: its end may not be published
MAX_JOBS_PER_QUERY = 500  # rows in one query
RENEW_SECONDS = PREVIEWS_TTL_SECONDS / 3


class RedisFeed:
    """Passes events to a hub, from `async with` on; without Redis, what the rows say."""

    def __init__(
        self, hub: Hub, snapshots: SnapshotReader, *, redis: Redis | None, redis_url: str | None
    ) -> None:
        self._hub = hub
        self._snapshots = snapshots
        self._redis = redis
        self._redis_url = redis_url
        self._tasks: list[asyncio.Task[None]] = []
        self.is_live = asyncio.Event()

    async def __aenter__(self) -> Self:
        loops = [self._check_silent_jobs]
        if self._redis_url is not None:
            loops += [partial(self._listen, self._redis_url), self._renew_preview_requests]
        self._tasks = [asyncio.create_task(keep_running(each)) for each in loops]
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_until_ended(*self._tasks)

    async def request_previews(self, job_id: UUID | None) -> None:
        """Request previews of the job from workers for some seconds; None means all jobs."""
        if self._redis is not None:
            with suppress(RedisError, OSError, TimeoutError):
                await self._redis.set(preview_request_key(job_id), "1", ex=PREVIEWS_TTL_SECONDS)

    async def _listen(self, redis_url: str) -> None:
        messages = subscribe_channels(
            redis_url,
            *(PREVIEWS_CHANNEL, SHOTS_CHANNEL, UPDATES_CHANNEL),
            subscribed=self._catch_up,
            lost=self.is_live.clear,
        )
        async for channel, text in messages:
            if channel == PREVIEWS_CHANNEL:
                with suppress(ValidationError):
                    self._hub.deliver_preview(Preview.model_validate_json(text))
            elif channel == SHOTS_CHANNEL:
                with suppress(ValidationError):
                    self._hub.deliver_shot(ShotEvent.model_validate_json(text))
            elif event := event_in(text):
                self._hub.deliver(event)

    async def _catch_up(self) -> None:
        """Pass on what was published while nobody listened; the hub drops what it had before."""
        for job_id, seq in tuple(self._hub.known_up_to()):
            events = await self._snapshots.events_after(job_id, seq) if seq else []
            # Nothing after it: perhaps Redis has lost its data, and counts from one again.
            for event in events or await self._snapshots.newest_event(job_id):
                self._hub.deliver(event)
        self.is_live.set()

    async def _check_silent_jobs(self) -> None:
        """Every few seconds report how silent jobs ended, or without Redis how far they are."""
        while True:
            await asyncio.sleep(SILENCE_SECONDS)
            silent = iter(self._hub.silent(SILENCE_SECONDS))
            while job_ids := list(islice(silent, MAX_JOBS_PER_QUERY)):
                try:
                    events = await self._snapshots.recorded_events(job_ids)
                except AnimeError as fault:
                    _log.debug("The rows of silent jobs cannot be read: %s", fault)
                    break
                for event in events:
                    if event.status.is_final or not self.is_live.is_set():
                        self._hub.deliver(event)

    async def _renew_preview_requests(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            for job_id in self._hub.requested_previews():
                await self.request_previews(job_id)

"""When jobs ended, by the arrival of their terminal events from Redis."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from anime.core.job_status import JobStatus
from anime.errors import StackError
from anime.progress.keys import UPDATES_CHANNEL
from anime.retry_policies import cancel_until_ended
from anime.schemas import ProgressEvent

TIMEOUT_SECONDS = 5.0


class Endings:
    """The end of each job, to be waited for."""

    def __init__(self) -> None:
        self._ended: defaultdict[UUID, asyncio.Future[tuple[float, JobStatus]]] = defaultdict(
            asyncio.get_running_loop().create_future
        )

    def note(self, event: ProgressEvent, at: float) -> None:
        """Keep the event if it is a terminal one; `at` is when it arrived."""
        if event.status.is_final and not self._ended[event.job_id].done():
            self._ended[event.job_id].set_result((at, event.status))

    async def wait_for(self, jobs: Iterable[UUID], timeout_seconds: float) -> dict[UUID, float]:
        """When the end of each job arrived, in seconds since the epoch.

        Raises:
            StackError: one of them was not completed, or has not ended in time.
        """
        found = {}
        try:
            async with asyncio.timeout(timeout_seconds):
                for job in jobs:
                    at, status = await self._ended[job]
                    if status is not JobStatus.COMPLETED:
                        raise StackError(f"Job {job} is {status}.", "See the log of the worker.")
                    found[job] = at
        except TimeoutError:
            raise StackError(
                f"A job has not ended within {timeout_seconds:.0f} s.", "See the log of the worker."
            ) from None
        return found


@asynccontextmanager
async def listen_for_endings(redis_url: str) -> AsyncIterator[Endings]:
    """The ends from now on, as long as the block lasts."""
    endings = Endings()
    async with (
        Redis.from_url(redis_url, protocol=2, socket_connect_timeout=TIMEOUT_SECONDS) as redis,
        redis.pubsub(ignore_subscribe_messages=True) as channel,
    ):
        await channel.subscribe(UPDATES_CHANNEL)
        listening = asyncio.create_task(_listen(channel, endings))
        try:
            yield endings
        finally:
            await cancel_until_ended(listening)


async def _listen(channel: PubSub, endings: Endings) -> None:
    async for message in channel.listen():
        endings.note(ProgressEvent.model_validate_json(message["data"]), time.time())

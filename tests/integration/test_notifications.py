"""What a worker hears of runs that are dispatched."""

import asyncio

from anime.core.work_queues import WorkQueue
from anime.progress.publisher import ProgressPublisher
from anime.worker import notifications
from tests.support.waiting import HUNG_SECONDS


async def test_a_worker_hears_of_which_queue_a_run_is(redis_url: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(notifications.listen(redis_url, "pool", heard.put_nowait))
    try:
        async with ProgressPublisher(redis_url) as publisher:
            async with asyncio.timeout(HUNG_SECONDS):
                while heard.empty():
                    await publisher.notify_worker("pool", WorkQueue.INTERACTIVE)
                    await asyncio.sleep(0.02)
                assert await heard.get() == "interactive"
    finally:
        listening.cancel()

"""The work behind the job service: dispatch, the monitor, watching servers, the Redis list."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anime.jobs.low_disk import DiskGuard
from anime.jobs.monitor import AnswerTimes, Monitor
from anime.jobs.redis_queue import RedisQueueConsumer
from anime.jobs.servers.watcher import ServerWatcher
from anime.jobs.service import JobService
from anime.retry_policies import cancel_until_ended, keep_running
from anime.settings.addresses import redis_address

# A busy Prefect answers slowly; with one dispatch at a time, workers would wait for runs.
DISPATCHERS = 3


@asynccontextmanager
async def background_work(service: JobService, *, takes_redis_queue: bool) -> AsyncIterator[None]:
    """Dispatch runs and look after jobs and servers for as long as the block lasts.

    `takes_redis_queue`: jobs that other programs put into Redis are submitted, too.
    """
    loops = [service.dispatcher.run_forever] * DISPATCHERS
    loops.append(ServerWatcher(service.database, service.settings).run_forever)
    loops.append(DiskGuard(service.database, service.settings).run_forever)
    loops.append(monitor_of(service).run_forever)
    url = redis_address(service.settings)
    if takes_redis_queue and url is not None:
        loops.append(RedisQueueConsumer(url, service).consume)
    tasks = [asyncio.create_task(keep_running(each)) for each in loops]
    try:
        yield
    finally:
        await service.dispatcher.finish()
        await cancel_until_ended(*tasks)


def monitor_of(service: JobService, answers: AnswerTimes | None = None) -> Monitor:
    """The monitor of this service's jobs. `answers`: those of an earlier one in this process."""
    return Monitor(
        service.database,
        service.dispatcher,
        service.canceller,
        lease_seconds=service.settings.lease_seconds,
        answers=answers or AnswerTimes(),
    )

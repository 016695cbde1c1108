"""The work behind the job service: dispatch, the monitor, watching servers, the Redis list."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anime.jobs.low_disk import DiskGuard
from anime.jobs.monitor import AnswerTimes, Monitor
from anime.jobs.redis_queue import RedisQueueConsumer
from anime.jobs.servers.watcher import ServerWatcher
from anime.jobs.service import JobService
from anime.retry_policies import cancel_until_ended
from anime.settings.addresses import redis_address

# A busy Prefect answers slowly; with one dispatch at a time, workers would wait for runs.
DISPATCHERS = 3

_log = logging.getLogger(__name__)


@asynccontextmanager
async def background_work(service: JobService, *, takes_redis_queue: bool) -> AsyncIterator[None]:
    """Dispatch runs and look after jobs and servers for as long as the block lasts.

    `takes_redis_queue`: jobs that other programs put into Redis are submitted, too.
    """
    work = [service.dispatcher.run_forever() for _ in range(DISPATCHERS)]
    work.append(ServerWatcher(service.database, service.settings).run_forever())
    work.append(DiskGuard(service.database, service.settings).run_forever())
    work.append(monitor_of(service).run_forever())
    url = redis_address(service.settings)
    if takes_redis_queue and url is not None:
        work.append(RedisQueueConsumer(url, service).consume())
    tasks = [asyncio.create_task(each) for each in work]
    for task in tasks:
        task.add_done_callback(_log_failure)
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


def _log_failure(task: asyncio.Task[None]) -> None:
    """Log why the task has ended: background work never ends by itself, so that is a bug."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("A background task has failed; restart the API", exc_info=error)

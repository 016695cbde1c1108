"""Watching one job until it ends."""

import asyncio
from contextlib import suppress
from uuid import UUID

from anime.cli.display import JobDisplay
from anime.cli.outages import Outages
from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.progress.publisher import follow_job
from anime.retry_policies import cancel_until_ended
from anime.schemas import JobSnapshot, ProgressEvent

POLL_SECONDS = 1.0


async def watch_job(
    job_id: UUID, database: Database, redis_url: str | None, display: JobDisplay, outages: Outages
) -> JobSnapshot:
    """The job as it ended; shows how far it is until then.

    The steps come from Redis. PostgreSQL, polled each second, has the end, and the progress if
    there is no Redis. While one of them is away, it is waited for.
    """

    async def read_job() -> JobSnapshot:
        async with database.session_scope() as session:
            return await JobRepository(session).get(job_id)

    ended = asyncio.Event()
    listener = asyncio.create_task(_listen(job_id, redis_url, display, ended))
    try:
        while not (job := await outages.wait_for("PostgreSQL", read_job)).status.is_final:
            if job.stage is not None or job.status is not JobStatus.PROCESSING:
                display.show(ProgressEvent.of(job))  # its stage follows the run by a heartbeat
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await ended.wait()
                ended.clear()
        display.show(ProgressEvent.of(job))
        return job
    finally:
        await cancel_until_ended(listener)


async def _listen(
    job_id: UUID, redis_url: str | None, display: JobDisplay, ended: asyncio.Event
) -> None:
    if redis_url is None:
        return
    async for event in follow_job(redis_url, job_id):
        if event.status.is_final:
            ended.set()
        else:
            display.show(event)

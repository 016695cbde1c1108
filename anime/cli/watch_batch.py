"""Watching all jobs of a batch until its run ends."""

import asyncio
import time
from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from anime.cli.batch_display import BatchDisplay
from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.errors import DatabaseUnavailable, PrefectUnavailable
from anime.net.prefect_api import PrefectApi, RunState
from anime.progress.updates import subscribe_updates
from anime.schemas import JobSnapshot, ProgressEvent

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 60.0  # how long database or Prefect may be away while somebody watches


async def watch_batch(
    run_id: UUID,
    job_ids: Collection[UUID],
    *,
    database: Database,
    redis_url: str | None,
    prefect: PrefectApi,
    display: BatchDisplay,
) -> RunState:
    """How the run ended; shows how far each job is until then.

    Redis brings the steps, PostgreSQL the ends, and Prefect says when it is over.

    Raises:
        DatabaseUnavailable, PrefectUnavailable: it was away for too long. The batch goes on.
    """
    listener = asyncio.create_task(_listen(redis_url, display))
    answered_at = time.monotonic()
    try:
        while True:
            try:
                state = await prefect.run_state(run_id)
                await _look(database, job_ids, display)
                answered_at = time.monotonic()
                if state.is_final:
                    return state
            except (DatabaseUnavailable, PrefectUnavailable):
                if time.monotonic() - answered_at > PATIENCE_SECONDS:
                    raise
            await asyncio.sleep(POLL_SECONDS)
    finally:
        listener.cancel()
        await asyncio.wait([listener])


async def _listen(redis_url: str | None, display: BatchDisplay) -> None:
    if redis_url is not None:
        async for event in subscribe_updates(redis_url):
            display.show(event)


async def _look(database: Database, job_ids: Collection[UUID], display: BatchDisplay) -> None:
    async with database.session_scope() as session:
        jobs = await JobRepository(session).among(job_ids)
    for job in jobs.values():
        if job.status.is_final or job.stage is not None:
            display.show(_event_of(job))


def _event_of(job: JobSnapshot) -> ProgressEvent:
    return ProgressEvent(
        job_id=job.id,
        status=job.status,
        stage=job.stage if job.status is JobStatus.PROCESSING else None,
        progress=job.progress,
        message=job.error or "",
        timestamp=datetime.now(UTC),
        attempt=job.attempt,
    )

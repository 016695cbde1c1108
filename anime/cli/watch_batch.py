"""Watching all jobs of a batch until its run ends."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from anime.cli.batch_display import BatchDisplay
from anime.cli.outages import Outages
from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.net.prefect_api import PrefectApi, RunState
from anime.progress.updates import subscribe_updates
from anime.retry_policies import cancel_until_ended
from anime.schemas import JobSnapshot, ProgressEvent

POLL_SECONDS = 1.0


async def watch_batch(
    run_id: UUID,
    job_ids: Collection[UUID],
    *,
    database: Database,
    redis_url: str | None,
    prefect: PrefectApi,
    display: BatchDisplay,
    outages: Outages,
) -> RunState | None:
    """The state in which the run ended; shows how far each job is until then.

    The steps come from Redis, the ends of jobs from PostgreSQL, the end of the run from Prefect.
    Whichever is away is waited for. While Prefect is, the batch ends with its last job: None.

    Raises:
        PrefectRefused: it does not know the run, or refuses the login.
    """
    listener = asyncio.create_task(_listen(redis_url, display))
    try:
        while True:
            state = await outages.attempt("Prefect", prefect.run_state(run_id))
            jobs = await outages.attempt("PostgreSQL", _read_jobs(database, job_ids))
            for job in jobs or ():
                if job.status.is_final or job.stage is not None:
                    display.show(_event_of(job))
            if jobs is not None and (state.is_final if state else _are_over(jobs, job_ids)):
                return state
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await cancel_until_ended(listener)


async def _listen(redis_url: str | None, display: BatchDisplay) -> None:
    if redis_url is not None:
        async for event in subscribe_updates(redis_url):
            display.show(event)


async def _read_jobs(database: Database, job_ids: Collection[UUID]) -> list[JobSnapshot]:
    async with database.session_scope() as session:
        return [*(await JobRepository(session).among(job_ids)).values()]


def _are_over(jobs: Collection[JobSnapshot], job_ids: Collection[UUID]) -> bool:
    return len(jobs) == len(job_ids) and all(job.status.is_final for job in jobs)


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

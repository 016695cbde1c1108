"""Watching all jobs of a batch until its run ends."""

import asyncio
import time
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
_COMMIT_SECONDS = 10.0  # from a change to its commit


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
    rows = _Rows(database, job_ids)
    try:
        while True:
            state = await outages.attempt("Prefect", prefect.run_state(run_id))
            jobs = await outages.attempt("PostgreSQL", rows.read_changed())
            for job in jobs or ():
                if job.status.is_final or job.stage is not None:
                    display.show(_event_of(job))
            if jobs is not None and (state.is_final if state else not rows.going_on):
                return state
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await cancel_until_ended(listener)


class _Rows:
    """The rows of a batch's jobs; those that have ended are not read again."""

    def __init__(self, database: Database, job_ids: Collection[UUID]) -> None:
        self._database = database
        self.going_on = set(job_ids)
        self._read_at: float | None = None  # by time.monotonic()

    async def read_changed(self) -> list[JobSnapshot]:
        """Those that have changed since they were last read; some of them may not have."""
        now, read_at = time.monotonic(), self._read_at
        within = None if read_at is None else now - read_at + _COMMIT_SECONDS
        async with self._database.session_scope() as session:
            jobs = JobRepository(session)
            changed = [*(await jobs.among(self.going_on, changed_within_seconds=within)).values()]
        self._read_at = now
        self.going_on -= {job.id for job in changed if job.status.is_final}
        return changed


async def _listen(redis_url: str | None, display: BatchDisplay) -> None:
    if redis_url is not None:
        async for event in subscribe_updates(redis_url):
            display.show(event)


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

"""Watching all jobs of a batch until its run ends."""

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress
from uuid import UUID

from anime.cli.batch_display import BatchDisplay
from anime.cli.outages import Outages
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
    """The state of the run when it or its last job ended; shows how far each job is until then.

    The steps come from Redis, the ends of jobs from PostgreSQL, the end of the run from Prefect.
    Whichever is away is waited for; while Prefect is, the state is None.

    Raises:
        PrefectRefused: it does not know the run, or refuses the login.
    """
    rows, heard_all = _Rows(database, job_ids), asyncio.Event()
    state: RunState | None = None
    listener = asyncio.create_task(_listen(redis_url, display, set(job_ids), heard_all))
    try:
        while True:
            if not heard_all.is_set():  # else the rows say all, and Prefect is busy with the run
                state = await outages.attempt("Prefect", prefect.run_state(run_id))
            heard_all.clear()
            jobs = await outages.attempt("PostgreSQL", rows.read_changed())
            for job in jobs or ():
                if job.status.is_final or job.stage is not None:
                    display.show(ProgressEvent.of(job, job.error or ""))
            if jobs is not None and (not rows.going_on or (state and state.is_final)):
                return state
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await heard_all.wait()
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


async def _listen(
    redis_url: str | None, display: BatchDisplay, going_on: set[UUID], heard_all: asyncio.Event
) -> None:
    """Show what happens; `heard_all` is set when all of the jobs have ended."""
    if redis_url is None:
        return
    async for event in subscribe_updates(redis_url):
        display.show(event)
        if event.status.is_final and event.job_id in going_on:
            going_on.remove(event.job_id)
            if not going_on:
                heard_all.set()

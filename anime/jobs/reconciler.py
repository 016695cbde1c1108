"""Bringing jobs and their runs together again after an outage of anything they need."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from anime.core.job_status import FailureKind
from anime.db.repositories import Dispatch, DispatchRepository, JobRepository
from anime.db.session import Database
from anime.errors import AnimeError, LeaseLost, PrefectUnavailable
from anime.jobs.cancellation import JobCanceller
from anime.jobs.dispatcher import RunDispatcher
from anime.net.prefect_api import RUNS_PER_REQUEST, RunState
from anime.retry_policies import RECONCILER

EVERY_SECONDS = 15.0
STEP_SECONDS = 45.0  # below the time-out of PostgreSQL for idle transactions
YOUNG_SECONDS = 5.0  # whoever submitted a job so young is dispatching it
MAX_DISPATCHES = 100  # in one step
MAX_CANCELS = 5  # jobs whose prompts one step stops: each may take seconds
MAX_RUNS_CHECKED = 5 * RUNS_PER_REQUEST
MAX_RUNS = 3  # of one job that may die before they begin it; then it is no accident

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReconcileCounts:
    """How many jobs one step has dispatched, cancelled, given up."""

    dispatched: int = 0
    cancelled: int = 0
    given_up: int = 0


class Reconciler:
    """Reconciles jobs and runs; of several processes one at a time."""

    def __init__(
        self, database: Database, dispatcher: RunDispatcher, canceller: JobCanceller
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._canceller = canceller

    async def run_forever(self) -> None:
        """Take a step every EVERY_SECONDS, until cancelled."""
        delays = RECONCILER.delays()
        while True:
            try:
                async with asyncio.timeout(STEP_SECONDS):
                    done = await self.step()
            except (AnimeError, TimeoutError) as fault:
                delay = next(delays)
                _log.warning("Jobs and runs are reconciled again in %.0f s: %s", delay, fault)
                await asyncio.sleep(delay)
                continue
            if done != ReconcileCounts():
                _log.info("Reconciled: %s", done)
            delays = RECONCILER.delays()
            await self._wait()

    async def step(self, *, young_seconds: float = YOUNG_SECONDS) -> ReconcileCounts:
        """What was done; nothing while another process reconciles.

        Raises:
            PrefectUnavailable: what needs Prefect is left for the next step.
            DatabaseUnavailable: everything is left for the next step.
        """
        done = ReconcileCounts()
        async with self._database.session_scope() as session:
            repository = DispatchRepository(session)
            if not await repository.try_lock():
                return done
            for job_id in await repository.cancellations_left(MAX_CANCELS):
                done.cancelled += (await self._canceller.settle(job_id)).status.is_final
            await self._check_runs(await repository.with_run(limit=MAX_RUNS_CHECKED), done)
            if not self._dispatcher.is_busy:
                # A transaction sees what others have committed since it began.
                missing = repository.without_run(
                    older_than_seconds=young_seconds, limit=MAX_DISPATCHES
                )
                await self._dispatch(await missing, done)
        return done

    async def _wait(self) -> None:
        """Wait until it is time again, or a dispatch is known to be lost."""
        lost = self._dispatcher.has_lost_dispatches
        try:
            async with asyncio.timeout(EVERY_SECONDS):
                await lost.wait()
        except TimeoutError:
            return
        lost.clear()
        await asyncio.sleep(YOUNG_SECONDS)

    async def _dispatch(self, dispatches: Sequence[Dispatch], done: ReconcileCounts) -> None:
        for dispatch in dispatches:
            try:
                await self._dispatcher.dispatch(dispatch)
            except PrefectUnavailable as fault:
                await self._dispatcher.check()  # or Prefect is away altogether
                _log.warning("Job %s stays queued: %s", dispatch.job_id, fault)
            else:
                done.dispatched += 1

    async def _check_runs(self, dispatches: Sequence[Dispatch], done: ReconcileCounts) -> None:
        for first in range(0, len(dispatches), RUNS_PER_REQUEST):
            page = {
                dispatch.run_id: dispatch
                for dispatch in dispatches[first : first + RUNS_PER_REQUEST]
            }
            known = [run_id for run_id in page if run_id is not None]
            for run_id, state in (await self._dispatcher.api.ended_runs(known)).items():
                await self._apply_run_state(page[run_id], state, done)

    async def _apply_run_state(
        self, dispatch: Dispatch, state: RunState, done: ReconcileCounts
    ) -> None:
        """Cancel, dispatch again or give up a job whose run ended before the job began."""
        if state.type == "CANCELLED":
            await self._canceller.cancel(dispatch.job_id)
            done.cancelled += 1
        elif dispatch.run_number < MAX_RUNS:
            async with self._database.session_scope() as session:
                await DispatchRepository(session).forget_run(dispatch)
        else:
            await self._give_up(dispatch, state)
            done.given_up += 1

    async def _give_up(self, dispatch: Dispatch, state: RunState) -> None:
        why = (
            f"{dispatch.run_number} runs in Prefect ended before the job began; "
            f"the last one is {state.type.lower()}: {state.message[:300] or 'no reason given'}. "
            "See the worker's log, then generate it anew."
        )
        try:
            async with self._database.session_scope() as session:
                jobs = JobRepository(session)
                job = await jobs.fail_unleased(dispatch.job_id, FailureKind.INTERNAL, why)
        except LeaseLost:  # a run has begun it after all
            return
        await self._canceller.publish(job)

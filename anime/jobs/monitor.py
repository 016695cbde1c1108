"""The monitor: finds the jobs that nobody works on, and does what is decided of them."""

import asyncio
import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from types import UnionType
from uuid import UUID

from pydantic import ValidationError

from anime.core.batches import BatchRequest
from anime.core.job_status import FailureKind, JobStatus
from anime.core.recovery import (
    DISPATCH_SECONDS,
    START_SECONDS,
    CancelJob,
    Decision,
    Fail,
    LeaseView,
    RecoverableJob,
    Requeue,
    Resume,
    RunView,
    Wait,
    decide,
)
from anime.core.timeline import TimelineKind
from anime.db.notifications import MONITOR
from anime.db.repositories import (
    BatchLife,
    Dispatch,
    DispatchRepository,
    JobRepository,
    TimelineRepository,
    UnheldJob,
)
from anime.db.session import Database
from anime.errors import AnimeError, LeaseLost, PrefectUnavailable, reason_of
from anime.jobs.cancellation import JobCanceller
from anime.jobs.dispatcher import RunDispatcher
from anime.jobs.shared_batches import leave_to_other_runs
from anime.net.prefect_api import RUNS_PER_REQUEST, RunState
from anime.retry_policies import MONITOR_STEP, cancel_until_ended

EVERY_SECONDS = 15.0
STEP_SECONDS = 45.0  # below the time-out of PostgreSQL for idle transactions
CONFIRM_SECONDS = 3.0  # longer than a heartbeat: PostgreSQL itself may have hung until just now
LAPSE_MARGIN_SECONDS = 0.2
MAX_JOBS = 20_000  # that one step looks at
MAX_DISPATCHES = 100  # in one step
MAX_CANCELS = 5  # jobs whose prompts one step stops: each may take seconds
RUNS_PER_COUNT = 2_000
MAX_GAP_SECONDS = 90.0  # longer than a minute, in which the flow takes a step
_WAITING = RunState("SCHEDULED", "")
_OWN_ENDS = ("COMPLETED", "FAILED")  # of a run that has shown what it did
_TAKEN = (RunView.CLAIMED, RunView.UNDER_WAY)  # by a worker

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class MonitorCounts:
    """How many jobs one step has dispatched, cancelled, given up."""

    dispatched: int = 0
    cancelled: int = 0
    given_up: int = 0

    @property
    def summary(self) -> str:
        """The counts in a sentence."""
        return (
            f"{self.dispatched} dispatched, {self.cancelled} cancelled, {self.given_up} given up."
        )


@dataclass(slots=True)
class AnswerTimes:
    """For how long Prefect has answered, by time.monotonic(): a batch waits while it does not."""

    since: float = inf
    last: float = -inf

    def note(self) -> None:
        """It has answered. If it was not asked for long, it may have been away."""
        now = time.monotonic()
        if now - self.last > MAX_GAP_SECONDS:
            self.since = now
        self.last = now

    def forget(self) -> None:
        """It has not answered."""
        self.last = -inf

    @property
    def seconds(self) -> float:
        """How long it has answered without a gap."""
        return self.last - self.since


@dataclass(frozen=True, slots=True)
class _Decided:
    """A job, its run as it was seen, and what is to be done."""

    job: UnheldJob
    view: RunView
    run: RunState | None
    decision: Decision


class Monitor:
    """Brings jobs and their runs together again; of several processes one at a time."""

    def __init__(
        self,
        database: Database,
        dispatcher: RunDispatcher,
        canceller: JobCanceller,
        *,
        lease_seconds: float,
        answers: AnswerTimes,
    ) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._canceller = canceller
        self._lease_seconds = lease_seconds
        self._answers = answers
        self._has_more = False
        self._wait_seconds = EVERY_SECONDS

    async def run_forever(self) -> None:
        """Take a step every EVERY_SECONDS, when a lease may have lapsed, and when notified."""
        delays = MONITOR_STEP.delays()
        with self._database.notifications.listening_to(MONITOR) as notified:
            while True:
                notified.clear()
                try:
                    async with asyncio.timeout(STEP_SECONDS):
                        done = await self.step()
                except (AnimeError, TimeoutError) as fault:
                    delay, why = next(delays), reason_of(fault)
                    _log.warning("Jobs and runs are looked at again in %.0f s: %s", delay, why)
                    await asyncio.sleep(delay)
                    continue
                if done != MonitorCounts():
                    _log.info("Jobs that nobody worked on: %s", done.summary)
                delays = MONITOR_STEP.delays()
                if done == MonitorCounts() or not self._has_more:
                    await self._wait(notified)

    async def step(self, *, is_patient: bool = True) -> MonitorCounts:
        """What was done; nothing while another process is at it.

        `is_patient`: a job so young that it may be being dispatched is left for the next step, and
        a lease counts as lapsed when it was seen so twice.

        Raises:
            PrefectUnavailable: what needs Prefect is left for the next step.
            DatabaseUnavailable: everything is left for the next step.
        """
        done = MonitorCounts()
        self._has_more = False
        async with self._database.session_scope() as session:
            repository = DispatchRepository(session)
            if not await repository.try_lock():
                return done
            jobs = await self._unheld(repository, is_patient=is_patient)
            await self._stop_cancelled(jobs, done)
            decided = await self._decide_all(jobs, repository, is_patient=is_patient)
            self._wait_seconds = await repository.seconds_to_lapse() or EVERY_SECONDS
            # Carried out in transactions of their own: this one only holds the lock.
            await self._carry_out(decided, done)
        return done

    async def _unheld(
        self, repository: DispatchRepository, *, is_patient: bool
    ) -> Sequence[UnheldJob]:
        """The jobs to decide about; those whose lease has lapsed are seen so twice."""
        jobs = await repository.unheld(lease_seconds=self._lease_seconds, limit=MAX_JOBS)
        lapsed = {(job.job_id, job.fence) for job in jobs if job.lease is LeaseView.LAPSED}
        if not lapsed or not is_patient:
            return jobs
        await asyncio.sleep(CONFIRM_SECONDS)
        again = await repository.unheld(lease_seconds=self._lease_seconds, limit=MAX_JOBS)
        return [
            job
            for job in again
            if job.lease is not LeaseView.LAPSED or (job.job_id, job.fence) in lapsed
        ]

    async def _stop_cancelled(self, jobs: Sequence[UnheldJob], done: MonitorCounts) -> None:
        """Go on stopping a few, in no order: those that do not stop hold up none for good."""
        left = [job.job_id for job in jobs if job.status is JobStatus.CANCELLING]
        for job_id in random.sample(left, min(MAX_CANCELS, len(left))):
            done.cancelled += (await self._canceller.settle(job_id)).status.is_final

    async def _decide_all(
        self, jobs: Sequence[UnheldJob], repository: DispatchRepository, *, is_patient: bool
    ) -> list[_Decided]:
        """What is decided of each job that something is to be done about."""
        asked = [
            job
            for job in jobs
            if job.status is not JobStatus.CANCELLING and job.lease is not LeaseView.UNSURE
        ]
        batches = {job.batch_run_id for job in asked if job.batch_run_id}
        lives = await repository.lives_of(batches) if batches else {}
        states = await self._run_states({job.run_id for job in asked if job.run_id})
        answered_seconds = self._answers.seconds
        lives = {
            run_id: replace(life, idle_seconds=min(life.idle_seconds, answered_seconds))
            for run_id, life in lives.items()
        }
        decided = (_decided(job, states, lives, is_patient=is_patient) for job in asked)
        return [each for each in decided if not isinstance(each.decision, Wait)]

    async def _run_states(self, run_ids: set[UUID]) -> dict[UUID, RunState] | None:
        """The states of those of the runs that are there; None if Prefect does not answer."""
        states: dict[UUID, RunState] = {}
        try:
            for some in _chunks(list(run_ids)):
                states |= await self._states_of(some)
        except PrefectUnavailable as fault:
            _log.warning("What becomes of jobs is left until Prefect answers: %s", fault)
            self._answers.forget()
            return None
        self._answers.note()
        return states

    async def _states_of(self, run_ids: Sequence[UUID]) -> dict[UUID, RunState]:
        """The same, of which by far the most are expected to wait: one request tells if so."""
        api = self._dispatcher.api
        if await api.count_waiting(run_ids) == len(run_ids):
            return dict.fromkeys(run_ids, _WAITING)
        states: dict[UUID, RunState] = {}
        for first in range(0, len(run_ids), RUNS_PER_REQUEST):
            states |= await api.run_states(run_ids[first : first + RUNS_PER_REQUEST])
        return states

    async def _carry_out(self, decided: Sequence[_Decided], done: MonitorCounts) -> None:
        decided = await self._without_shared(decided)
        waiting = [each for each in decided if each.job.status is JobStatus.QUEUED]
        begun = [each for each in decided if each.job.status is not JobStatus.QUEUED]
        for each in (
            *self._first(waiting, CancelJob, MAX_DISPATCHES),  # they have no prompt to stop
            *self._first(begun, CancelJob, MAX_CANCELS),
        ):
            await self._canceller.cancel(each.job.job_id)
            done.cancelled += 1
        for each in self._first(decided, Fail, MAX_DISPATCHES):
            done.given_up += await self._give_up(each)
        going_on = [
            each
            for each in decided
            # A job without a run may be waiting in this process to be dispatched.
            if each.view is not RunView.NONE or not self._dispatcher.is_busy
        ]
        chosen = self._first(going_on, Requeue | Resume, MAX_DISPATCHES)
        if chosen:
            left = await self._replace_runs(chosen)
            done.dispatched += await self._restart_batches(left)
            done.dispatched += await self._dispatch([each.job.job_id for each in left])

    async def _without_shared(self, decided: Sequence[_Decided]) -> Sequence[_Decided]:
        """The same without the jobs of cancelled batches that other runs of these go on with.

        Those of a batch whose runs Prefect does not tell are left for the next step.
        """
        cancelled: dict[UUID, list[UUID]] = {}
        for each in decided:
            if isinstance(each.decision, CancelJob) and each.job.batch_run_id is not None:
                cancelled.setdefault(each.job.batch_run_id, []).append(each.job.job_id)
        left: set[UUID] = set()
        api = self._dispatcher.api
        try:
            going_on = await api.runs_going_on("batch") if cancelled else {}
        except PrefectUnavailable as fault:
            _log.warning("The jobs of cancelled batches are cancelled later: %s", fault)
            left, cancelled = left.union(*cancelled.values()), {}
        for run_id, job_ids in cancelled.items():
            try:
                name = str((await api.run_parameters(run_id)).get("name"))
            except PrefectUnavailable as fault:
                _log.warning("The jobs of batch %s are cancelled later: %s", run_id, fault)
                left.update(job_ids)
            else:
                left |= await leave_to_other_runs(
                    self._database, going_on, name, job_ids, cancelled_run=run_id
                )
        return [each for each in decided if each.job.job_id not in left]

    def _first(
        self, decided: Sequence[_Decided], kind: type[Decision] | UnionType, limit: int
    ) -> list[_Decided]:
        """The first so many of that kind; any further ones are left for the next step, at once."""
        found = [each for each in decided if isinstance(each.decision, kind)]
        self._has_more |= len(found) > limit
        return found[:limit]

    async def _give_up(self, lost: _Decided) -> bool:
        """Whether the job has failed now."""
        why = f"{lost.decision.why} {_last_words(lost.run)} See the worker's log, then requeue it."
        kind = lost.decision.kind if isinstance(lost.decision, Fail) else FailureKind.INTERNAL
        try:
            async with self._database.session_scope() as session:
                job = await JobRepository(session).fail_unleased(lost.job.job_id, kind, why)
        except LeaseLost:  # a run has begun it after all
            return False
        await self._canceller.publish(job)
        return True

    async def _replace_runs(self, lost: Sequence[_Decided]) -> list[_Decided]:
        """Take the jobs from their runs; those that seem to be under way are set to Crashed.

        In this order, so that a run that lives after all finds its job gone and stops quietly. The
        jobs that no run has taken since.
        """
        having_runs = [each.job for each in lost if each.job.run_id is not None]
        counted = [
            each.job.job_id
            for each in lost
            if isinstance(each.decision, Requeue | Resume) and each.decision.is_run_lost
        ]
        async with self._database.session_scope() as session:
            gone = await DispatchRepository(session).forget_runs(having_runs, lost=counted)
            await TimelineRepository(session).add_to_all(
                {each.job.job_id: each.decision.why for each in lost if each.job.job_id in gone},
                TimelineKind.DECISION,
            )
        alive = {job.run_id for job in having_runs if job.job_id not in gone}
        for run_id in {each.job.run_id for each in lost if each.view in _TAKEN} - alive:
            if run_id is not None:
                await self._crash_run(run_id)
        return [each for each in lost if each.job.run_id is None or each.job.job_id in gone]

    async def _crash_run(self, run_id: UUID) -> None:
        try:
            await self._dispatcher.api.crash_run(run_id, "It showed no life; another run goes on.")
        except PrefectUnavailable as fault:
            _log.warning("Run %s still counts as under way: %s", run_id, fault)

    async def _restart_batches(self, lost: Sequence[_Decided]) -> int:
        """How many jobs go on in a new run of their batch, which shows all of it in the end.

        Those of a batch that Prefect no longer knows, or whose run came to its own end, are left to
        runs of their own.
        """
        children: dict[UUID, list[UUID]] = {}
        for each in lost:
            has_died = each.run is not None and each.run.type not in _OWN_ENDS
            if each.job.batch_run_id is not None and has_died:
                children.setdefault(each.job.batch_run_id, []).append(each.job.job_id)
        joined = 0
        for run_id, job_ids in children.items():
            if (new_id := await self._restart_batch(run_id)) is not None:
                async with self._database.session_scope() as session:
                    joined += len(await DispatchRepository(session).join_batch(job_ids, new_id))
        return joined

    async def _restart_batch(self, run_id: UUID) -> UUID | None:
        """The run that follows that one, which Prefect makes once; None if it cannot."""
        try:
            parameters = await self._dispatcher.api.run_parameters(run_id)
            batch = BatchRequest.model_validate(parameters)
            return await self._dispatcher.dispatch_batch(batch, key=f"{run_id}:next")
        except (PrefectUnavailable, ValidationError) as fault:
            _log.warning("The jobs of batch %s go on by themselves: %s", run_id, reason_of(fault))
            return None

    async def _dispatch(self, job_ids: Sequence[UUID]) -> int:
        """How many of the jobs have a new run now."""
        async with self._database.session_scope() as session:
            dispatches = await DispatchRepository(session).without_run(job_ids)
        started: dict[UUID, Dispatch] = {}
        try:
            for dispatch in dispatches:
                try:
                    run_id = await self._dispatcher.start(dispatch)
                except PrefectUnavailable as fault:
                    await self._dispatcher.check()  # or Prefect is away altogether
                    _log.warning("Job %s has no run yet: %s", dispatch.job_id, fault)
                else:
                    if run_id is not None:
                        started[run_id] = dispatch
        finally:
            await self._dispatcher.remember(started)
        return len(started)

    async def _wait(self, notified: asyncio.Event) -> None:
        """Wait until it is time again, a dispatch is known to be lost, or somebody notifies."""
        lost = self._dispatcher.has_lost_dispatches
        waits = [asyncio.create_task(event.wait()) for event in (lost, notified)]
        try:
            seconds = min(EVERY_SECONDS, self._wait_seconds + LAPSE_MARGIN_SECONDS)
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_until_ended(*waits)
        if lost.is_set():
            lost.clear()
            await asyncio.sleep(DISPATCH_SECONDS)


def _last_words(run: RunState | None) -> str:
    if run is None:
        return "The last one is gone."
    return f"The last one is {run.type.lower()}: {run.message[:300] or 'no reason given'}."


def _decided(
    job: UnheldJob,
    states: Mapping[UUID, RunState] | None,
    lives: Mapping[UUID, BatchLife],
    *,
    is_patient: bool,
) -> _Decided:
    life = lives.get(job.batch_run_id) if job.batch_run_id else None
    run = states.get(job.run_id) if states is not None and job.run_id else None
    idle_seconds = min(job.idle_seconds, life.idle_seconds if life else inf)
    run_seconds = _seconds_in(run)
    view = _view_of(job, run, is_known=states is not None)
    # A batch that renders other jobs, or did so just now, goes on with this one, too.
    if life and view in _TAKEN:
        is_alive = life.has_live_child or min(idle_seconds, run_seconds) < START_SECONDS
        view = RunView.ALIVE if is_alive else view
    seen = RecoverableJob(
        status=job.status,
        idle_seconds=idle_seconds if is_patient or job.run_id else inf,
        run_seconds=run_seconds,
        lost_runs=job.lost_runs,
    )
    return _Decided(job, view, run, decide(seen, job.lease, view))


def _view_of(job: UnheldJob, run: RunState | None, *, is_known: bool) -> RunView:
    if job.run_id is None:
        return RunView.NONE
    if not is_known:
        return RunView.UNKNOWN
    if run is None:
        return RunView.MISSING
    if run.type == "CANCELLED" or (run.type == "CANCELLING" and _seconds_in(run) > START_SECONDS):
        return RunView.CANCELLED
    if run.is_final:
        return RunView.ENDED
    if run.is_waiting or run.type == "CANCELLING":
        return RunView.WAITING
    return RunView.CLAIMED if run.type == "PENDING" else RunView.UNDER_WAY


def _seconds_in(run: RunState | None) -> float:
    """For how long the run has been in its state, by our clock."""
    if run is None or run.since is None:
        return inf
    return (datetime.now(UTC) - run.since).total_seconds()


def _chunks(run_ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """A first few, among which are those that are about to begin; then many at a time."""
    yield from filter(None, [run_ids[:RUNS_PER_REQUEST]])
    for first in range(RUNS_PER_REQUEST, len(run_ids), RUNS_PER_COUNT):
        yield run_ids[first : first + RUNS_PER_COUNT]

"""One run's work on one job: its lease, its heartbeat, and how an error is recorded."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from opentelemetry import trace
from prefect.logging import get_run_logger

from anime.assets.store import AssetStore
from anime.comfyui.prompt_cancellation import stop_prompt
from anime.core.composition.record import recorded_request
from anime.core.ids import prompt_id_of, seed_of
from anime.core.job_status import JobStatus, Stage
from anime.core.servers import EVERYTHING, PauseRecord
from anime.core.timeline import TimelineKind
from anime.db.notifications import STOP
from anime.db.repositories import JobRepository, Lease, PauseRepository, TimelineRepository
from anime.db.session import Database
from anime.errors import (
    AnimeError,
    DatabaseUnavailable,
    JobCancelled,
    LeaseLost,
    NotFound,
    StorageTimedOut,
)
from anime.jobs.shot_events import publish_shots_of
from anime.net.log_lines import name_job_in_logs
from anime.net.tracing import about, current_trace_id, current_traceparent
from anime.retry_policies import PAUSE_WATCH, RECORD, cancel_until_ended
from anime.runs.connections import Connections, open_connections
from anime.runs.server_pool import ServerPool
from anime.schemas import GenerationRequest, JobSnapshot
from anime.settings import get_settings
from blocks.studio_blocks import StudioBlocks
from tasks.artifacts import ProgressBar, label_run
from tasks.progress import Reporter
from tasks.records import lease_job, record_failure

T = TypeVar("T")

_log = logging.getLogger(__name__)
_HEARTBEAT_SECONDS = 2.0
_ANSWER_SECONDS = 10.0  # for PostgreSQL's answer: the lease survives one that is lost
_SHUTDOWN_SECONDS = 5.0
_STOP_SECONDS = 60.0  # a node that ignores the interrupt ends by itself
_UNSTOPPABLE_STAGES = frozenset({Stage.ORGANIZING, Stage.RECORDING})  # the files exist by then


@dataclass
class JobExecution:
    """What a run works with. `lease_or_none` is None if the job had ended before.

    `request` is what is rendered, `given` the request as it was given: they differ if it was
    composed. The names of its files begin with `file_prefix`.
    `server_url` is the server that the current attempt was sent to; None if it was not.
    """

    job_id: UUID
    request: GenerationRequest
    seed: int
    connections: Connections
    reporter: Reporter
    lease_or_none: Lease | None
    given: GenerationRequest
    server_url: str | None = None
    file_prefix: str = ""

    @property
    def blocks(self) -> StudioBlocks:
        """The settings of the four systems."""
        return self.connections.blocks

    @property
    def database(self) -> Database:
        """The database with the job's row."""
        return self.connections.database

    @property
    def servers(self) -> ServerPool:
        """The servers that may render it."""
        return self.connections.servers

    @property
    def library(self) -> AssetStore:
        """The store that the files go to."""
        return self.connections.library

    @property
    def has_ended(self) -> bool:
        """Whether the job had ended before, so that nothing is left to do."""
        return self.lease_or_none is None

    @property
    def lease(self) -> Lease:
        """The lease.

        Raises:
            LeaseLost: there is none, as the job has ended.
        """
        if self.lease_or_none is None:
            raise LeaseLost(f"Job {self.job_id} has ended already.", "Nothing is left to do.")
        return self.lease_or_none

    async def with_library(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call gives, which uses the library. Twice is harmless: each has its retries.

        Renders are paused while a library does not answer: the job waits for the pause to end,
        and tries again.

        Raises:
            StorageTimedOut: it does not answer, and nothing is paused: it is another host's.
        """
        while True:
            try:
                return await call()
            except StorageTimedOut as fault:
                if not await self._is_paused():
                    raise
                _log.warning("Waiting, as new renders are paused: %s", fault.what)
            while await self._is_paused():
                await PAUSE_WATCH.wait()
            self.connections.checked_at = None

    async def _is_paused(self) -> bool:
        """Whether all new renders are paused."""

        async def read() -> list[PauseRecord]:
            async with self.database.autocommit() as session:
                return await PauseRepository(session).in_force()

        return any(each.scope == EVERYTHING for each in await RECORD.call(read))


@asynccontextmanager
async def execute_job(
    request: GenerationRequest, *, job_id: UUID, run_id: UUID, owner: UUID
) -> AsyncIterator[JobExecution]:
    """Hold the job of a flow run for as long as the block lasts: inserted, leased, and recorded.

    Errors are recorded and raised on; if the run itself is stopped, the lease is released so that
    another run can go on at once.
    """
    _note_trace(job_id)
    async with open_connections() as connections:
        run, found = await _lease_job(connections, job_id, request, run_id=run_id, owner=owner)
        if run.has_ended:
            await connections.publisher.announce(found, request)
            yield run
            return
        async with _outcome_recorded(run, run.lease), _heartbeat(run, run.lease):
            await connections.publisher.announce(found, request)
            if not connections.is_shared:  # a batch has told of all its shots
                await _tell_shot(run)
            run.request = recorded_request(run.lease.composition, request)
            run.file_prefix = str((run.lease.composition or {}).get("file_prefix", ""))
            run.seed = run.request.seed if run.request.seed is not None else seed_of(job_id)
            if run.lease.fence > 1:
                await _log_decisions(connections.database, job_id)
            else:
                for warning in (run.lease.composition or {}).get("warnings", ()):
                    _log.warning("%s", warning)
            yield run


def _note_trace(job_id: UUID) -> None:
    """Name the job in the run's span and log lines, and the trace in the run's log."""
    name_job_in_logs(job_id)
    trace.get_current_span().set_attributes(about(job_id))
    if (trace_id := current_trace_id()) is not None:
        get_run_logger().info("Job %s, trace %s", job_id, trace_id)


async def _lease_job(
    connections: Connections, job_id: UUID, request: GenerationRequest, *, run_id: UUID, owner: UUID
) -> tuple[JobExecution, JobSnapshot]:
    """What the run works with, and the job as it was found."""
    seed = request.seed if request.seed is not None else seed_of(job_id)
    leasing = asyncio.create_task(
        lease_job(
            connections.database,
            job_id,
            request,
            seed=seed,
            run_id=run_id,
            owner=owner,
            lease_seconds=connections.blocks.database.lease_seconds,
            traceparent=current_traceparent(),
        )
    )
    try:
        found, lease = await asyncio.shield(leasing)
    except JobCancelled:
        await _tell_cancelled(connections, job_id)
        raise
    except asyncio.CancelledError:  # it may be committed already
        with suppress(Exception):
            async with asyncio.timeout(_SHUTDOWN_SECONDS):
                _, lease = await leasing
                await _release(connections.database, lease)
        raise
    run = JobExecution(
        job_id=job_id,
        request=request,
        seed=seed,
        connections=connections,
        reporter=Reporter(connections.publisher, job_id, found, fence=lease.fence if lease else 0),
        lease_or_none=lease,
        given=request,
        server_url=lease.comfyui_url if lease else None,
    )
    return run, found


async def _tell_cancelled(connections: Connections, job_id: UUID) -> None:
    """Publish that the job is cancelled: the lease settles what no live run was left to settle."""
    with suppress(DatabaseUnavailable):  # it only shows
        async with connections.database.autocommit() as session:
            job = await JobRepository(session).get(job_id)
        if job.status is JobStatus.CANCELLED:
            await Reporter(connections.publisher, job_id, job).cancelled()
            await publish_shots_of(
                connections.database, connections.publisher, [job_id], settings=get_settings()
            )


async def _log_decisions(database: Database, job_id: UUID) -> None:
    """Say in this run's log what was decided about its job before."""
    with suppress(DatabaseUnavailable):  # it only shows
        async with database.autocommit() as session:
            timeline = await TimelineRepository(session).of_job(job_id)
        for entry in timeline:
            if entry.kind is TimelineKind.DECISION:
                _log.info("Decided at %s: %s", f"{entry.at:%Y-%m-%d %H:%M:%S} UTC", entry.message)


@asynccontextmanager
async def _outcome_recorded(run: JobExecution, lease: Lease) -> AsyncIterator[None]:
    """Record why the run ends before its work is done, whatever ends it."""
    try:
        yield
    except LeaseLost:
        raise  # the job goes on in the run that holds it now
    except JobCancelled:
        if await _stop_render(run):
            await _settle_cancelled(run, lease)
        else:
            await _release(run.database, lease)  # the monitor goes on stopping it
        raise
    except AnimeError as error:
        await _settle_failed(run, lease, error)
        raise
    except Exception as bug:
        _log.exception("Unexpected error in job %s", run.job_id)
        message = f"Unexpected {type(bug).__name__}: {bug}."
        await _settle_failed(run, lease, AnimeError(message, "See the run's log in Prefect."))
        raise
    except BaseException:
        with suppress(Exception):
            async with asyncio.timeout(_SHUTDOWN_SECONDS):
                await asyncio.shield(_release(run.database, lease))
        raise


@asynccontextmanager
async def _heartbeat(run: JobExecution, lease: Lease) -> AsyncIterator[None]:
    """Renew the lease and the row's progress; end the work if the job is not to go on."""
    async with ProgressBar(run.job_id) as bar:
        try:
            async with asyncio.TaskGroup() as group:
                if not run.connections.is_shared:
                    # The run's name and tags are set beside the work, which does not wait for them.
                    group.create_task(label_run(run.given))
                renewal = group.create_task(_renew_regularly(run, lease, bar))
                yield
                await cancel_until_ended(renewal)
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several
        if bar.has_moved:  # a render that ends before the first heartbeat needs none
            bar.move(run.reporter.percent)


async def _renew_regularly(run: JobExecution, lease: Lease, bar: ProgressBar) -> None:
    beat_seconds = min(_HEARTBEAT_SECONDS, run.blocks.database.lease_seconds / 4)
    with run.database.notifications.listening_to(f"{STOP}{run.job_id}") as notified:
        while True:
            try:
                async with asyncio.timeout(beat_seconds):
                    await notified.wait()
                notified.clear()
            except TimeoutError:
                bar.move(run.reporter.percent)
            try:
                await _renew(run, lease)
            except DatabaseUnavailable as fault:
                _log.warning("The lease was not renewed, the render goes on: %s", fault)


async def _renew(run: JobExecution, lease: Lease) -> None:
    """Renew the lease. Raises LeaseLost or JobCancelled if the job is not to go on."""
    reporter, seconds = run.reporter, run.blocks.database.lease_seconds
    answer_seconds = min(_ANSWER_SECONDS, seconds / 4)
    try:
        async with run.database.session_scope(answer_seconds=answer_seconds) as session:
            await JobRepository(session).renew(
                lease,
                seconds=seconds,
                stage=reporter.reported_stage,
                progress=reporter.percent,
                attempt=reporter.attempt,
            )
    except (LeaseLost, JobCancelled):
        # The files exist, and this very run may have completed the job just now: whether the lease
        # still holds is decided by the transaction that completes the job.
        if reporter.stage not in _UNSTOPPABLE_STAGES:
            raise
        with suppress(LeaseLost):
            async with run.database.session_scope(answer_seconds=answer_seconds) as session:
                await JobRepository(session).hold(lease, seconds=seconds)


async def _settle_failed(run: JobExecution, lease: Lease, error: AnimeError) -> None:
    """Record the failure, then publish it; without the database the lease lapses instead."""
    try:
        await record_failure(run.database, lease, error)
    except (DatabaseUnavailable, LeaseLost, NotFound) as fault:
        _log.warning("The failure of job %s is not recorded: %s", run.job_id, fault)
        return
    await run.reporter.failed(error)
    await _tell_shot(run)


async def _settle_cancelled(run: JobExecution, lease: Lease) -> None:
    async with run.database.session_scope() as session:
        await JobRepository(session).cancelled(lease)
    await run.reporter.cancelled()
    await _tell_shot(run)


async def _tell_shot(run: JobExecution) -> None:
    """Publish how far the job's shot is, if it is for one."""
    if run.given.shot and run.given.project:
        publisher, settings = run.connections.publisher, get_settings()
        await publish_shots_of(run.database, publisher, [run.job_id], settings=settings)


async def _stop_render(run: JobExecution) -> bool:
    """Whether ComfyUI no longer works on the job; true if the server does not answer."""
    if run.server_url is None:
        return True
    prompt_id = prompt_id_of(run.job_id, run.reporter.attempt)
    server = await run.servers.server(run.server_url)
    return await stop_prompt(server.comfy, prompt_id, timeout_seconds=_STOP_SECONDS)


async def _release(database: Database, lease: Lease | None) -> None:
    if lease is not None:
        async with database.session_scope() as session:
            await JobRepository(session).release(lease)

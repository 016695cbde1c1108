"""The one way in: every job is submitted, looked up and cancelled here."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from opentelemetry import trace

from anime.assets.folder_reader import FolderReader
from anime.comfyui.client import ComfyUIClient
from anime.core.batches import BatchRequest, expand, jobs_of, possible_jobs_of
from anime.core.composition.record import Composition
from anime.core.job_status import JobStatus
from anime.db.repositories import (
    Dispatch,
    DispatchRepository,
    JobQuery,
    JobRepository,
)
from anime.db.session import Database
from anime.errors import DatabaseUnavailable, PrefectUnavailable
from anime.jobs.admission import Admission, QueueLimit
from anime.jobs.cancellation import JobCanceller
from anime.jobs.dispatcher import RunDispatcher
from anime.jobs.lookup import JobLookup
from anime.jobs.shot_events import publish_shots_of
from anime.net.log_lines import name_job_in_logs
from anime.net.tracing import about, current_traceparent, tracer
from anime.progress.publisher import ProgressPublisher
from anime.schemas import AcceptedBatch, Cancellation, GenerationRequest, JobSnapshot
from anime.settings import Settings
from anime.settings.addresses import database_address, job_server, redis_address

COMFYUI_SECONDS = 5.0  # in which it must answer before a job is made for somebody who waits

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobService:
    """The service that the API, the command line, the Redis list and batches share."""

    settings: Settings
    database: Database
    publisher: ProgressPublisher
    admission: Admission
    dispatcher: RunDispatcher
    canceller: JobCanceller
    lookup: JobLookup

    async def admit(self, request: GenerationRequest, *, job_id: UUID | None = None) -> JobSnapshot:
        """The job, inserted and announced, without a run yet. Raises as `Admission.admit`."""
        job = await self.admission.admit(request, job_id=job_id)
        name_job_in_logs(job.id)
        trace.get_current_span().set_attributes(about(job.id))
        if job.status is JobStatus.QUEUED:
            await self.publisher.announce(job, request)
            if request.shot and request.project:
                await self._publish_shot_of(job.id)
        return job

    async def submit(
        self, request: GenerationRequest, *, job_id: UUID | None = None
    ) -> JobSnapshot:
        """The job, whose run is dispatched after this returns. Raises as `Admission.admit`."""
        with tracer.start_as_current_span("submit job"):
            job = await self.admit(request, job_id=job_id)
            if _needs_run(job):
                self.dispatcher.dispatch_soon(Dispatch.of(job, request, current_traceparent()))
        return job

    async def check(
        self, request: GenerationRequest, *, job_id: UUID | None = None
    ) -> Composition | None:
        """What is rendered for the request, if that is not the request as it is given.

        Makes sure that the workflow accepts it, and that PostgreSQL and ComfyUI answer; or that
        it is the request of that job, which is there already.

        Raises:
            AnimeError: the first of them that does not, and what to do.
        """
        composition = await self.admission.check(request, job_id=job_id)
        # Either shows that PostgreSQL answers and is migrated.
        if job_id is None:
            await self.lookup.page(JobQuery(), limit=1)
        elif await self.admission.known(request, job_id) is not None:
            return composition
        server = job_server(self.settings)
        async with ComfyUIClient(server, timeout_seconds=COMFYUI_SECONDS) as comfyui:
            await comfyui.system_stats()
        return composition

    async def submit_and_dispatch(
        self, request: GenerationRequest, *, job_id: UUID | None = None
    ) -> JobSnapshot:
        """The job as it stands once its run is dispatched, for somebody who waits at a terminal.

        Raises as `Admission.admit`, and:

        Raises:
            PrefectUnavailable: nobody would run it; nothing is inserted.
        """
        await self.dispatcher.check()
        with tracer.start_as_current_span("submit job"):
            job = await self.admit(request, job_id=job_id)
            dispatch = Dispatch.of(job, request, current_traceparent())
        if not _needs_run(job):
            return job
        try:
            run_id = await self.dispatcher.dispatch(dispatch)
        except (PrefectUnavailable, DatabaseUnavailable) as fault:
            _log.error("Job %s stays queued until the API dispatches its run: %s", job.id, fault)
            return job
        return job.model_copy(update={"flow_run_id": run_id})

    async def submit_batch(
        self,
        batch: BatchRequest,
        *,
        key: str,
        compositions: Sequence[Composition | None] | None = None,
    ) -> AcceptedBatch:
        """A run that renders the batch; the same `key` again is the same run.

        `compositions`: of its generations, if they have been composed.

        Raises:
            InvalidRequest: one of its workflows is missing or broken, or cannot take its values.
            PrefectUnavailable: nobody would run it; nothing is begun.
        """
        children = await asyncio.to_thread(expand, batch)  # of ten thousand in a third of a second
        await self.admission.check_all([child.request for child in children], compositions)
        async with self.database.session_scope() as session:  # the run may change them at once
            known = await JobRepository(session).statuses(possible_jobs_of(children))
        run_id = await self.dispatcher.dispatch_batch(batch, key=key)
        return AcceptedBatch(flow_run_id=run_id, job_ids=[*jobs_of(children, known)])

    async def requeue(self, job_id: UUID) -> JobSnapshot | None:
        """The job, which waits again; None if it has not failed, so that nothing is changed.

        Its run is dispatched now, or by the monitor. Raises NotFound if there is no such job.
        """
        async with self.database.session_scope() as session:
            jobs = JobRepository(session)
            if not await jobs.requeue(job_id):
                await jobs.get(job_id)
                return None
            await jobs.recompose(job_id, partial(self.admission.composer.kept, session))
            job, request = await jobs.get(job_id), await jobs.request_of(job_id)
        await self.publisher.announce(job, request)
        await self._publish_shot_of(job_id)
        async with self.database.session_scope() as session:
            waiting = await DispatchRepository(session).without_run([job_id])
        for dispatch in waiting:
            try:
                await self.dispatcher.dispatch(dispatch)
            except (PrefectUnavailable, DatabaseUnavailable) as fault:
                _log.warning("Job %s stays queued until the monitor finds it: %s", job_id, fault)
        return job

    async def cancel(self, job_id: UUID) -> Cancellation:
        """What became of the job. Raises as `JobCanceller.cancel`."""
        return await self.canceller.cancel(job_id)

    async def _publish_shot_of(self, job_id: UUID) -> None:
        settings = self.admission.settings
        await publish_shots_of(self.database, self.publisher, [job_id], settings=settings)


@asynccontextmanager
async def open_job_service(
    settings: Settings, database: Database, publisher: ProgressPublisher
) -> AsyncIterator[JobService]:
    """A service that only answers; `background.background_work` does the work behind it."""
    async with RunDispatcher(settings, database, publisher) as dispatcher:
        yield JobService(
            settings=settings,
            database=database,
            publisher=publisher,
            admission=Admission(
                settings,
                database,
                QueueLimit(settings.queue_limit),
                FolderReader(settings.library),
            ),
            dispatcher=dispatcher,
            canceller=JobCanceller(settings, database, publisher, dispatcher),
            lookup=JobLookup(database, slots=settings.in_flight),
        )


@asynccontextmanager
async def connect_job_service(settings: Settings) -> AsyncIterator[JobService]:
    """A service with connections of its own, for a command.

    Raises:
        ConfigurationError: no database is known.
    """
    async with (
        Database(database_address(settings)) as database,
        ProgressPublisher(redis_address(settings)) as publisher,
        open_job_service(settings, database, publisher) as service,
    ):
        yield service


def _needs_run(job: JobSnapshot) -> bool:
    return job.status is JobStatus.QUEUED and job.flow_run_id is None

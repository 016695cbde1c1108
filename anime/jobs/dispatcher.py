"""Dispatching a job's run in Prefect: at once, or after its request was answered."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Self
from uuid import UUID

from pydantic import ValidationError

from anime.core.batches import BatchRequest
from anime.core.job_status import JobStatus
from anime.core.labels import label_of
from anime.core.work_queues import WorkQueue
from anime.db.repositories import Dispatch, DispatchRepository, JobRepository
from anime.db.session import Database
from anime.errors import AnimeError, InvalidRequest, LeaseLost, PrefectUnavailable
from anime.net.prefect_api import PrefectApi
from anime.net.tracing import about, context_of, current_traceparent, tracer
from anime.progress.publisher import ProgressPublisher
from anime.schemas import GenerationRequest, ProgressEvent
from anime.settings import Settings

DEPLOYMENT = "generate/generate"
BATCH_DEPLOYMENT = "batch/batch"
INTERACTIVE_FROM = 50  # priority from which somebody is taken to be waiting
MAX_QUEUED = 1000  # the monitor finds any further ones in the database
BURST_SIZE = 4  # jobs that wait: more than people send at the same moment
BURST_SECONDS = 0.1  # a request so short ago is taken for a part of a burst
PAUSE_FACTOR = 3.0  # in a burst: the pause after a dispatch, in times of what that took
MAX_PAUSE_SECONDS_IN_BURST = 0.5
_SHUTDOWN_SECONDS = 3.0

_log = logging.getLogger(__name__)


def is_interactive(priority: int) -> bool:
    """Whether somebody waits for a job of that priority."""
    return priority >= INTERACTIVE_FROM


def _queue_of(request: GenerationRequest) -> WorkQueue:
    return WorkQueue.INTERACTIVE if is_interactive(request.priority) else WorkQueue.BATCH


class RunDispatcher:
    """Starts runs over one connection that stays open. To be used in `async with`.

    A dispatch may be lost here at any moment: then its job's row has no run, and the monitor
    dispatches it. It may also come twice: Prefect recognises its idempotency key.
    """

    def __init__(
        self, settings: Settings, database: Database, publisher: ProgressPublisher
    ) -> None:
        self._settings = settings
        self._database = database
        self._publisher = publisher
        self._api: PrefectApi | None = None
        self._deployment: UUID | None = None
        self._waiting: asyncio.Queue[Dispatch] = asyncio.Queue(MAX_QUEUED)
        self._last_request_at = 0.0  # by time.monotonic()
        self.has_lost_dispatches = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._api is not None:
            await self._api.__aexit__(None, None, None)

    @property
    def api(self) -> PrefectApi:
        """The Prefect server.

        Raises:
            PrefectUnavailable: none is known.
        """
        if self._api is None:
            self._api = PrefectApi.from_settings(self._settings)
        return self._api

    @property
    def is_busy(self) -> bool:
        """Whether jobs wait to be dispatched."""
        return not self._waiting.empty()

    async def check(self) -> None:
        """Make sure that Prefect could take a run now.

        Raises:
            PrefectUnavailable: it could not.
        """
        self._deployment = await self.api.deployment_id(DEPLOYMENT)

    def dispatch_soon(self, dispatch: Dispatch) -> None:
        """Queue the job for dispatch and return at once."""
        self._last_request_at = time.monotonic()
        try:
            self._waiting.put_nowait(dispatch)
        except asyncio.QueueFull:
            self.has_lost_dispatches.set()

    async def dispatch(self, dispatch: Dispatch) -> UUID | None:
        """The id of the job's run; None if the job can never run, which its row then says.

        Raises:
            PrefectUnavailable: there is no run yet.
            DatabaseUnavailable: there is a run, but the job's row does not name it.
        """
        run_id = await self.start(dispatch)
        if run_id is not None:
            await self.remember({run_id: dispatch})
        return run_id

    async def start(self, dispatch: Dispatch) -> UUID | None:
        """The same, but the job's row does not name its run yet. Raises as `dispatch` does."""
        try:
            request = dispatch.request
        except ValidationError as fault:
            await self._fail(dispatch, fault)
            return None
        run_id = await self._start(dispatch, request)
        await self._publisher.notify_worker(self._settings.work_pool, _queue_of(request))
        return run_id

    async def remember(self, runs: Mapping[UUID, Dispatch]) -> None:
        """Record the new runs, by id; that of a job cancelled meanwhile is cancelled.

        Raises as `dispatch` does.
        """
        async with self._database.autocommit() as session:
            states = await DispatchRepository(session).remember_runs(runs)
        for run_id, dispatch in runs.items():
            if states.get(dispatch.job_id) is JobStatus.CANCELLED:
                await self.api.cancel_run(run_id, "Its job was cancelled.")

    async def dispatch_batch(self, batch: BatchRequest, *, key: str) -> UUID:
        """The id of the batch's run. Raises PrefectUnavailable: there is none."""
        deployment = await self.api.deployment_id(BATCH_DEPLOYMENT)
        parameters = batch.model_dump(mode="json", exclude_unset=True)
        with tracer.start_as_current_span("dispatch batch"):
            run_id = await self.api.start_run(
                *(deployment, parameters),
                key=key,
                queue=WorkQueue.BATCH,
                traceparent=current_traceparent(),
            )
        await self._publisher.notify_worker(self._settings.work_pool, WorkQueue.BATCH)
        return run_id

    async def run_forever(self) -> None:
        """Dispatch what `dispatch_soon` has queued, until cancelled.

        There is a pause after each dispatch while requests come in: a run costs Prefect several
        times what its answer costs us. The first of a burst is dispatched at once, and even with
        pauses more is dispatched than a GPU renders.
        """
        while True:
            dispatch = await self._waiting.get()
            began = time.monotonic()
            try:
                await self.dispatch(dispatch)
            except AnimeError as fault:
                _log.warning("Job %s stays queued, it has no run yet: %s", dispatch.job_id, fault)
                self._forget_all()
            finally:
                self._waiting.task_done()
            await self._pause(time.monotonic() - began)

    async def _pause(self, dispatch_seconds: float) -> None:
        """Pause after a dispatch that took so long, if a burst of requests is coming in."""
        is_burst = time.monotonic() - self._last_request_at < BURST_SECONDS
        if is_burst and self._waiting.qsize() >= BURST_SIZE:
            await asyncio.sleep(min(PAUSE_FACTOR * dispatch_seconds, MAX_PAUSE_SECONDS_IN_BURST))

    async def finish(self) -> None:
        """Wait a moment until nothing is left to be dispatched."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_SECONDS):
                await self._waiting.join()

    def _forget_all(self) -> None:
        """Leave what is queued to the monitor, which retries less and less often."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._waiting.task_done()
        self.has_lost_dispatches.set()

    async def _start(self, dispatch: Dispatch, request: GenerationRequest) -> UUID:
        try:
            return await self._start_at(await self._deployment_id(), dispatch, request)
        except PrefectUnavailable:
            if self._deployment is None:
                raise
        # The id may be old, as the deployment was made anew; or the server closed the connection.
        self._deployment = None
        return await self._start_at(await self._deployment_id(), dispatch, request)

    async def _deployment_id(self) -> UUID:
        if self._deployment is None:
            self._deployment = await self.api.deployment_id(DEPLOYMENT)
        return self._deployment

    async def _start_at(
        self, deployment: UUID, dispatch: Dispatch, request: GenerationRequest
    ) -> UUID:
        # The webhook's address is in the job's row; not everybody who sees runs may know it.
        fields = request.model_dump(mode="json", exclude_defaults=True, exclude={"webhook_url"})
        around, job = context_of(dispatch.traceparent), about(dispatch.job_id)
        with tracer.start_as_current_span("dispatch run", around, attributes=job):
            return await self.api.start_run(
                deployment,
                fields | {"job_id": str(dispatch.job_id)},
                key=dispatch.key,
                queue=_queue_of(request),
                label=label_of(request),
                traceparent=current_traceparent(),
            )

    async def _fail(self, dispatch: Dispatch, fault: ValidationError) -> None:
        error = InvalidRequest(
            f"The request cannot be read: {fault.errors()[0]['msg']}.", "Generate it anew."
        )
        with suppress(LeaseLost):  # a run could read it after all
            async with self._database.session_scope() as session:
                jobs = JobRepository(session)
                job = await jobs.fail_unleased(dispatch.job_id, error.kind, str(error))
            if job.status is JobStatus.FAILED:
                await self._publisher.publish(ProgressEvent.of(job, error.what))

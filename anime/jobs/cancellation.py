"""Cancelling exactly one job, in PostgreSQL, Redis, Prefect and ComfyUI."""

import logging
from datetime import UTC, datetime
from uuid import UUID

from anime.comfyui.address import address_to_use, canonical_url
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.prompt_cancellation import stop_prompt
from anime.core.job_status import JobStatus
from anime.core.timeline import TimelineKind
from anime.db.repositories import DispatchRepository, JobRepository, TimelineRepository
from anime.db.session import Database
from anime.errors import DatabaseUnavailable, PrefectUnavailable
from anime.jobs.dispatcher import RunDispatcher
from anime.jobs.shot_events import publish_shots_of
from anime.progress.publisher import ProgressPublisher
from anime.schemas import Cancellation, JobSnapshot, ProgressEvent
from anime.settings import Settings

STOP_SECONDS = 3.0
_MESSAGES = {
    JobStatus.CANCELLING: "Stopping",
    JobStatus.CANCELLED: "Cancelled",
    JobStatus.FAILED: "Failed",
}

_log = logging.getLogger(__name__)


class JobCanceller:
    """Stops jobs, wherever they are."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        publisher: ProgressPublisher,
        dispatcher: RunDispatcher,
    ) -> None:
        self._settings = settings
        self._database = database
        self._publisher = publisher
        self._dispatcher = dispatcher

    async def cancel(self, job_id: UUID) -> Cancellation:
        """What became of the job. Twice is harmless, and no other job is touched.

        A waiting job is cancelled at once. A job that a live run holds is stopped by that run,
        which is notified at once. A job whose run has died is stopped here.

        Raises:
            NotFound: there is no such job.
            DatabaseUnavailable: nothing is changed, or the monitor goes on with what was begun.
        """
        async with self._database.session_scope() as session:
            jobs = JobRepository(session)
            before = await jobs.get(job_id)
            job = await jobs.request_cancel(job_id)
            has_run = await jobs.is_held(job_id)
        if job.status is JobStatus.CANCELLING and not has_run:
            job = await self.settle(job_id)
        else:
            if job.status is not before.status:
                await self.publish(job)
            if job.status is JobStatus.CANCELLED:
                await self._end_run(job_id)
        return Cancellation(job_id=job_id, status=job.status, detail=_sentence(before, job))

    async def settle(self, job_id: UUID) -> JobSnapshot:
        """The job, cancelled if ComfyUI has stopped its prompt and no live run holds it."""
        async with self._database.session_scope() as session:
            job = await JobRepository(session).get(job_id)
        if not await self._has_stopped(job):
            await self._report_unstopped(job)
            return job
        async with self._database.session_scope() as session:
            jobs = JobRepository(session)
            is_settled = await jobs.settle_cancellation(job_id)
            job = await jobs.get(job_id)
        if is_settled:
            await self.publish(job)
            await self._end_run(job_id)
        return job

    async def publish(self, job: JobSnapshot) -> None:
        """Publish the job's state, and how far its shot is once the job has ended."""
        message = _MESSAGES.get(job.status, str(job.status))
        await self._publisher.publish(ProgressEvent.of(job, message))
        if job.status.is_final:
            await publish_shots_of(
                self._database, self._publisher, [job.id], settings=self._settings
            )

    async def _end_run(self, job_id: UUID) -> None:
        """Cancel the job's run in Prefect, if it is known and Prefect answers.

        The job is cancelled already, and a worker that starts its run all the same finds it so.
        """
        try:
            async with self._database.session_scope() as session:
                dispatch = await DispatchRepository(session).of_job(job_id)
            if dispatch is not None and dispatch.run_id is not None:
                await self._dispatcher.api.cancel_run(dispatch.run_id, "Its job was cancelled.")
        except (DatabaseUnavailable, PrefectUnavailable) as fault:
            _log.warning("The run of job %s is not cancelled yet: %s", job_id, fault)

    async def _report_unstopped(self, job: JobSnapshot) -> None:
        """Say once that the server does not stop the prompt, if it has been asked for so long."""
        asked_seconds = (datetime.now(UTC) - job.updated_at).total_seconds()
        if asked_seconds < self._settings.stall_timeout_seconds:
            return
        message = (
            f"{job.comfyui_url} still runs prompt {job.prompt_id}, which it has been asked to stop "
            f"since {job.updated_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC. "
            "Restart that ComfyUI to end it."
        )
        async with self._database.session_scope() as session:
            is_new = await TimelineRepository(session).add(job.id, TimelineKind.DECISION, message)
        if is_new:
            _log.warning("Job %s is not cancelled yet: %s", job.id, message)
            await self._publisher.publish(ProgressEvent.of(job, message))

    async def _has_stopped(self, job: JobSnapshot) -> bool:
        """Whether ComfyUI no longer works on the job; true if it does not answer."""
        if job.prompt_id is None or job.comfyui_url is None:
            return True
        # Rows have addresses without their logins.
        url = address_to_use(canonical_url(job.comfyui_url), self._settings.comfyui_urls)
        async with ComfyUIClient(url) as comfy:
            return await stop_prompt(comfy, job.prompt_id, timeout_seconds=STOP_SECONDS)


def _sentence(before: JobSnapshot, job: JobSnapshot) -> str:
    if before.status.is_final:
        return f"It was {before.status} before; nothing is changed."
    if job.status is JobStatus.CANCELLED:
        return "It is cancelled."
    if job.status is JobStatus.CANCELLING:
        return "It is being stopped."
    return f"It has ended meanwhile: it is {job.status}."

"""A request is written down: from then on it is a job, whatever else is down."""

import asyncio
from dataclasses import dataclass
from uuid import UUID, uuid4

from anime.comfyui.workflow_templates import load_template
from anime.core.job_status import JobStatus
from anime.core.seeds import seed_of
from anime.core.workflow_build import build
from anime.db.repositories import JobRepository, NewJob
from anime.db.session import Database
from anime.errors import KeyReused
from anime.jobs.admission import QueueLimit
from anime.progress.publisher import ProgressPublisher
from anime.schemas import GenerationRequest, JobSnapshot
from anime.settings import Settings
from anime.webhooks.policy import check_webhook


@dataclass(frozen=True, slots=True)
class JobSubmission:
    """Where requests are taken on. Without a limit any number may wait."""

    settings: Settings
    database: Database
    publisher: ProgressPublisher
    limit: QueueLimit | None = None

    async def take_on(
        self, request: GenerationRequest, *, job_id: UUID | None = None
    ) -> JobSnapshot:
        """The job, written down in one transaction and announced. No run is ordered yet.

        The same `job_id` with the same request again is the same job, as it is now.

        Raises:
            InvalidRequest: its workflow is missing or broken, or cannot take these values.
            KeyReused: that job is to render something else.
            QueueFull: too many wait; nothing is made.
            DatabaseUnavailable: it cannot be written down; nothing is made.
        """
        await check_request(request, self.settings)
        job = await self._write_down(job_id or uuid4(), request)
        if job.status is JobStatus.QUEUED:
            await self.publisher.announce(job, request)
        return job

    async def _write_down(self, job_id: UUID, request: GenerationRequest) -> JobSnapshot:
        seed = request.seed if request.seed is not None else seed_of(job_id)
        async with self.database.session_scope() as session:
            jobs = JobRepository(session)
            new = await jobs.insert(job_id, NewJob(request, request.workflow_name, seed))
            if new is None:
                if await jobs.request_of(job_id) != request:
                    raise KeyReused(
                        f"Job {job_id} was asked for with another request.",
                        "Take a new key for a new request, or repeat the first one unchanged.",
                    )
                return await jobs.get(job_id)
            if self.limit is not None:
                await self.limit.admit(session)
            return new


async def check_request(request: GenerationRequest, settings: Settings) -> None:
    """Make sure that the workflow can take the request, as far as no server need be asked.

    Raises:
        InvalidRequest: the workflow is missing or broken, or cannot take these values; or the
            webhook could not be sent.
    """
    check_webhook(request, settings)
    name, folder = request.workflow_name, settings.workflows_dir
    template = await asyncio.to_thread(load_template, name, folder)
    build(template, request, seed=request.seed or 0, filename_prefix="")

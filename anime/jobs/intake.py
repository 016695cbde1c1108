"""How a command orders: a job with its run, or a batch; the API has a desk of its own."""

import logging
from uuid import UUID

from anime.core.batches import BatchRequest, expand, kind_of
from anime.core.job_status import JobStatus
from anime.core.work_queues import WorkQueue
from anime.db.repositories import Dispatch
from anime.db.session import Database
from anime.errors import DatabaseUnavailable, PrefectUnavailable
from anime.jobs.admission import QueueLimit
from anime.jobs.dispatcher import RunDispatcher
from anime.jobs.submission import JobSubmission, check_request
from anime.net.prefect_api import PrefectApi
from anime.progress.publisher import ProgressPublisher
from anime.schemas import GenerationRequest, JobSnapshot
from anime.settings import Settings
from anime.webhooks.policy import check_webhook

BATCH_DEPLOYMENT = "batch/batch"

_log = logging.getLogger(__name__)


async def accept(
    request: GenerationRequest,
    *,
    job_id: UUID | None = None,
    database: Database,
    publisher: ProgressPublisher,
    settings: Settings,
) -> JobSnapshot:
    """The job as it stands once it is written down and its run is ordered.

    Whoever sits before a terminal is told at once that Prefect is away. Raises as `take_on`, and:

    Raises:
        PrefectUnavailable: nobody would run it; nothing is made.
    """
    intake = JobSubmission(settings, database, publisher, QueueLimit(settings.queue_limit))
    async with RunDispatcher(settings, database, publisher) as runs:
        await runs.look()
        job = await intake.take_on(request, job_id=job_id)
        if job.status is not JobStatus.QUEUED or job.flow_run_id is not None:
            return job
        try:
            run_id = await runs.place(Dispatch(job.id, request.model_dump(mode="json")))
        except (PrefectUnavailable, DatabaseUnavailable) as fault:
            _log.error("Job %s stays queued until the API orders its run: %s", job.id, fault)
            return job
    return job.model_copy(update={"flow_run_id": run_id})


async def start_batch(
    batch: BatchRequest, *, key: str, prefect: PrefectApi, settings: Settings
) -> UUID:
    """The id of a run that renders the batch; the same `key` again is the same run.

    Raises:
        InvalidRequest: one of its workflows is missing or broken, or cannot take its values.
        PrefectUnavailable: nobody would run it; nothing is made.
    """
    children = expand(batch)
    for child in children:
        check_webhook(child.request, settings)
    kinds = {kind_of(child.request): child for child in children}
    for child in kinds.values():
        await check_request(child.request, settings)
    deployment = await prefect.deployment_id(BATCH_DEPLOYMENT)
    parameters = batch.model_dump(mode="json", exclude_unset=True)
    return await prefect.start_run(deployment, parameters, key=key, queue=WorkQueue.BATCH)

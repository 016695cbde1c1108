"""How a request becomes a job: a row first, then a run."""

import asyncio
import logging
from uuid import UUID, uuid4

from anime.core.batches import BatchRequest, expand, kind_of
from anime.core.job_status import JobStatus
from anime.core.seeds import seed_of
from anime.core.workflows import build
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.errors import DatabaseUnavailable, PrefectUnavailable
from anime.prefect_api import PrefectApi
from anime.progress import ProgressPublisher
from anime.schemas import GenerationRequest, JobSnapshot
from anime.settings import Settings
from anime.templates import load_template
from anime.webhooks.policy import check_webhook

DEPLOYMENT = "generate/generate"
BATCH_DEPLOYMENT = "batch/batch"
INTERACTIVE_FROM = 50  # priority from which somebody is taken to be waiting

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

    The same `job_id` again is the same job: its row and its run are made once.

    Raises:
        InvalidRequest: its workflow is missing or broken, or cannot take these values.
        PrefectUnavailable: nobody would run it; nothing is made.
        DatabaseUnavailable: it cannot be written down; nothing is made.
    """
    await check_order(request, settings)
    async with PrefectApi.from_settings(settings) as prefect:
        deployment = await prefect.deployment_id(DEPLOYMENT)
        job, request = await _write_down(database, job_id or uuid4(), request)
        if job.status is not JobStatus.QUEUED:
            return job
        await publisher.announce(job, request)
        ordered = await _order_run(prefect, deployment, job, request, database)
        await publisher.ring(settings.work_pool)
        return ordered


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
        await check_order(child.request, settings)
    deployment = await prefect.deployment_id(BATCH_DEPLOYMENT)
    parameters = batch.model_dump(mode="json", exclude_unset=True)
    return await prefect.start_run(deployment, parameters, key=key, queue="batch")


def is_interactive(priority: int) -> bool:
    """Whether somebody waits for a job of that priority."""
    return priority >= INTERACTIVE_FROM


async def check_order(request: GenerationRequest, settings: Settings) -> None:
    """Make sure that the workflow can take the request, as far as no server need be asked.

    Raises:
        InvalidRequest: the workflow is missing or broken, or cannot take these values; or the
            webhook could not be sent.
    """
    check_webhook(request, settings)
    name, folder = request.workflow_name, settings.workflows_dir
    template = await asyncio.to_thread(load_template, name, folder)
    build(template, request, seed=request.seed or 0, filename_prefix="")


async def _write_down(
    database: Database, job_id: UUID, request: GenerationRequest
) -> tuple[JobSnapshot, GenerationRequest]:
    """The job and what it was first asked for: the row's word holds, not that of a repeat."""
    seed = request.seed if request.seed is not None else seed_of(job_id)
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        job = await jobs.create(job_id, request, workflow=request.workflow_name, seed=seed)
        return job, await jobs.request_of(job_id)


async def _order_run(
    prefect: PrefectApi,
    deployment: UUID,
    job: JobSnapshot,
    request: GenerationRequest,
    database: Database,
) -> JobSnapshot:
    """The job with its run; without one when that fails, as the row is what counts."""
    try:
        run_id = await prefect.start_run(
            deployment,
            request.model_dump(mode="json", exclude_defaults=True) | {"job_id": str(job.id)},
            key=str(job.id),
            queue="interactive" if is_interactive(request.priority) else "batch",
        )
        async with database.session_scope() as session:
            await JobRepository(session).remember_flow_run(job.id, run_id)
    except PrefectUnavailable as fault:
        _log.error("Job %s stays queued, it has no run yet: %s", job.id, fault)
        return job
    except DatabaseUnavailable as fault:  # the run writes its id down itself
        _log.warning("The run of job %s is not written down yet: %s", job.id, fault)
    return job.model_copy(update={"flow_run_id": run_id})

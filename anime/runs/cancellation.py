"""What becomes of a job when its run is cancelled in Prefect."""

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec, cast
from uuid import UUID

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled

from anime.comfyui.cancellation import CancelResult
from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.errors import ComfyUIError, JobCancelled, NotFound
from anime.retry_policies import RECORD
from anime.schemas import JobSnapshot
from blocks.connections import StudioBlocks, open_studio
from tasks.progress import Reporter

P = ParamSpec("P")

_STOP_SECONDS = 5.0

_log = logging.getLogger(__name__)


def ends_as_its_job(
    function: Callable[P, Awaitable[list[str]]],
) -> Callable[P, Awaitable[list[str]]]:
    """Let a run whose job was cancelled end as cancelled, not as failed."""

    @wraps(function)
    async def run(*arguments: P.args, **named: P.kwargs) -> list[str]:
        try:
            return await function(*arguments, **named)
        except JobCancelled as reason:
            # Prefect takes a returned state as the run's: to a caller it raises CancelledRun.
            return cast("list[str]", Cancelled(message=str(reason)))

    return run


async def stop_job(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Stop the job of a cancelled run: its prompt in ComfyUI, then its row. A cancellation hook.

    The run itself has only given the job back, as it does whenever it is stopped; that this is
    for good, Prefect says here, even when the run's process has died. Twice is harmless.
    """
    del flow, state
    job_id = UUID(str(flow_run.parameters.get("job_id") or flow_run.id))
    studio = await open_studio()
    async with studio.database.client() as database, studio.redis.client() as publisher:
        job = await RECORD.call(lambda: _asked_to_stop(database, job_id))
        if job is None or job.status not in {JobStatus.CANCELLING, JobStatus.CANCELLED}:
            return
        # One that does not stop in time stays `cancelling`: the reconciler goes on stopping it.
        if await _stop_prompt(studio, job) and await _settled(database, job_id, flow_run.id):
            reporter = Reporter(publisher, job_id)
            reporter.begin(job.attempt)
            await reporter.cancelled()


async def _asked_to_stop(database: Database, job_id: UUID) -> JobSnapshot | None:
    """The job, cancelled or about to be; None when the run never wrote it down."""
    try:
        async with database.session_scope() as session:
            return await JobRepository(session).request_cancel(job_id)
    except NotFound:
        return None


async def _stop_prompt(studio: StudioBlocks, job: JobSnapshot) -> bool:
    """Whether ComfyUI no longer works on the job; a server that does not answer does not."""
    if job.prompt_id is None:
        return True
    try:
        async with studio.comfyui.client() as comfy:
            ending = await comfy.cancel(job.prompt_id, timeout_seconds=_STOP_SECONDS)
    except ComfyUIError as fault:
        _log.warning("ComfyUI did not confirm that prompt %s stopped: %s", job.prompt_id, fault)
        return True
    return ending is not CancelResult.STILL_RUNNING


async def _settled(database: Database, job_id: UUID, run_id: UUID) -> bool:
    """Whether the row says cancelled now; another run that holds the job says so itself."""
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        try:
            await jobs.lease(job_id, run_id, seconds=_STOP_SECONDS)
        except JobCancelled:
            return False
        return (await jobs.get(job_id)).status is JobStatus.CANCELLED

"""Cancelling a job because its run was cancelled in Prefect, and the other way round."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec, cast
from uuid import UUID

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled

from anime.comfyui.prompt_cancellation import stop_prompt
from anime.core.job_status import JobStatus
from anime.db.repositories import DispatchRepository, JobRepository
from anime.db.session import Database
from anime.errors import JobCancelled, NotFound
from anime.jobs.shot_events import publish_shots_of
from anime.retry_policies import RECORD
from anime.schemas import JobSnapshot
from anime.settings import get_settings
from blocks.studio_blocks import StudioBlocks, load_blocks
from tasks.progress import Reporter

P = ParamSpec("P")

_STOP_SECONDS = 5.0


def ends_as_its_job(
    function: Callable[P, Awaitable[list[str]]],
) -> Callable[P, Awaitable[list[str]]]:
    """Let a run whose job was cancelled end as cancelled instead of failed."""

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

    The run itself has only released the job, as it does whenever it is stopped; only this hook
    knows that it was cancelled, even if the run's process has died. Twice is harmless.
    """
    del flow, state
    job_id = UUID(str(flow_run.parameters.get("job_id") or flow_run.id))
    blocks = await load_blocks()
    async with blocks.database.client() as database, blocks.redis.client() as publisher:
        job = await RECORD.call(lambda: _request_cancel(database, job_id, flow_run.id))
        if job is None or job.status not in {JobStatus.CANCELLING, JobStatus.CANCELLED}:
            return
        # A job that does not stop in time stays `cancelling`: the monitor goes on stopping it.
        if await _stop_prompt(blocks, job) and await _settle(database, job_id, flow_run.id):
            await Reporter(publisher, job_id, job).cancelled()
            await publish_shots_of(database, publisher, [job_id], settings=get_settings())


async def _request_cancel(database: Database, job_id: UUID, run_id: UUID) -> JobSnapshot | None:
    """The job, cancelled or about to be; None if the run never had it, or has it no longer."""
    try:
        async with database.session_scope() as session:
            if await DispatchRepository(session).is_superseded(job_id, run_id):
                return None
            return await JobRepository(session).request_cancel(job_id)
    except NotFound:
        return None


async def _stop_prompt(blocks: StudioBlocks, job: JobSnapshot) -> bool:
    """Whether ComfyUI no longer works on the job; true if the server does not answer."""
    if job.prompt_id is None or job.comfyui_url is None:
        return True
    async with blocks.comfyui.client(job.comfyui_url) as comfy:
        return await stop_prompt(comfy, job.prompt_id, timeout_seconds=_STOP_SECONDS)


async def _settle(database: Database, job_id: UUID, run_id: UUID) -> bool:
    """Whether the row is cancelled now; another run that holds the job reports it itself."""
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        try:
            await jobs.lease(job_id, run_id, seconds=_STOP_SECONDS)
        except JobCancelled:
            return False
        return (await jobs.get(job_id)).status is JobStatus.CANCELLED

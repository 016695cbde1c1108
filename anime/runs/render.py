"""Rendering a job after its preflight: one attempt after another."""

import logging
from datetime import UTC, datetime

from anime.assets.render_result import RenderResult
from anime.core.graph_facts import workflow_hash
from anime.core.graphs import Graph
from anime.core.ids import prompt_id_of
from anime.core.paths import filename_prefix
from anime.core.png_metadata import FileStamp, to_pnginfo
from anime.core.prompt_state import Absent
from anime.db.repositories import SlotRequest
from anime.errors import PromptInterrupted, PromptLost
from anime.jobs.dispatcher import is_interactive
from anime.runs.execution import JobExecution
from anime.runs.preflight import Preflight
from tasks.comfyui import poll_completion, submit
from tasks.records import begin_attempt, check_lease
from tasks.slots import hold_slot

_log = logging.getLogger(__name__)


async def render(job: JobExecution, preflight: Preflight) -> RenderResult:
    """The result of the first attempt that the server does not lose and nobody interrupts there.

    Raises:
        PromptLost, PromptInterrupted: that happened in every attempt there may be.
        ComfyUIError: it failed; see `poll_completion`.
    """
    attempt = await _attempt_to_resume(job)
    while True:
        try:
            return await _render_once(job, preflight, attempt)
        except (PromptLost, PromptInterrupted) as fault:
            # Cancelling the job also stops its prompt, and may be quicker than the heartbeat.
            await check_lease(
                job.database, job.lease, lease_seconds=job.blocks.database.lease_seconds
            )
            if attempt >= job.blocks.comfyui.max_attempts:
                raise
            attempt += 1
            _log.warning("%s Submitting it again, as attempt %d.", fault.what, attempt)


async def _attempt_to_resume(job: JobExecution) -> int:
    """The attempt that an earlier run began, or the next if the server does not know it."""
    lease = job.lease
    if lease.prompt_id is None or not isinstance(await job.comfy.find(lease.prompt_id), Absent):
        return lease.attempt
    return min(lease.attempt + 1, job.blocks.comfyui.max_attempts)


async def _render_once(job: JobExecution, preflight: Preflight, attempt: int) -> RenderResult:
    """The result of that attempt, during which the job holds a slot at the server."""
    server = job.blocks.comfyui
    job.reporter.begin(attempt)
    async with hold_slot(job.database, _slot_request_of(job), server.in_flight, job.reporter):
        prompt_id = prompt_id_of(job.job_id, attempt)
        graph = preflight.graph(filename_prefix(job.job_id, attempt))
        await begin_attempt(
            job.database,
            job.lease,
            attempt=attempt,
            prompt_id=prompt_id,
            comfyui_url=job.comfy.base_url,
        )
        submitted_at = datetime.now(UTC)
        stamp = to_pnginfo(_stamp(job, graph, attempt))
        await submit(job.comfy, graph, prompt_id=prompt_id, pnginfo=stamp, reporter=job.reporter)
        entry = await poll_completion(
            job.comfy, server, graph, prompt_id=prompt_id, reporter=job.reporter
        )
    return RenderResult(
        job_id=job.job_id,
        request=preflight.request,
        seed=preflight.seed,
        attempt=attempt,
        prompt_id=prompt_id,
        graph=graph,
        entry=entry,
        comfyui_url=job.comfy.base_url,
        comfyui_version=job.connections.comfyui_version,
        submitted_at=submitted_at,
        output_node=preflight.template.output_node,
    )


def _slot_request_of(job: JobExecution) -> SlotRequest:
    return SlotRequest(
        server=job.comfy.base_url,
        job_id=job.job_id,
        fence=job.lease.fence,
        is_interactive=is_interactive(job.request.priority),
    )


def _stamp(job: JobExecution, graph: Graph, attempt: int) -> FileStamp:
    """The stamp that goes into the picture itself."""
    return FileStamp(
        job_id=job.job_id,
        project=job.request.project,
        character=job.request.character,
        shot=job.request.shot,
        prompt=job.request.prompt,
        negative_prompt=job.request.negative_prompt,
        seed=str(job.seed),
        workflow=job.request.workflow_name,
        workflow_sha256=workflow_hash(graph),
        attempt=attempt,
    )

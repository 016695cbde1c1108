"""The jobs of a batch, each rendered by a run of `generate` within the batch's own."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast
from uuid import UUID, uuid4

from prefect import Flow, State, runtime, tags
from prefect.client.schemas.objects import FlowRun

from anime.core.batches import BatchRequest, possible_jobs_of
from anime.core.labels import label_of
from anime.errors import LeaseLost
from anime.runs.connections import Connections
from blocks.connections import open_studio
from tasks.artifacts import ProgressBar
from tasks.batches import BatchJob, cancel_all, wait_until_free

GenerateFlow = Callable[..., Awaitable[list[str]]]  # the flow that renders one job

_log = logging.getLogger(__name__)

# Beside those in flight: some that get ready and some whose files are put away meanwhile.
_BESIDE_WINDOW = 6
_BAR_SECONDS = 2.0


def id_of_run() -> UUID:
    """The id of the current flow run; a new one where there is none."""
    return UUID(str(runtime.flow_run.id)) if runtime.flow_run.id else uuid4()


async def render_all(
    jobs: Sequence[BatchJob], connections: Connections, generate: GenerateFlow
) -> None:
    """Render every job that has no files yet, so many at a time that the GPU never waits.

    How each ended is in its row: a failure does not stop the others.
    """
    missing = [job for job in jobs if not job.status.is_final]
    slots = asyncio.Semaphore(connections.studio.comfyui.in_flight + _BESIDE_WINDOW)
    meter = _Meter(ProgressBar(id_of_run(), "Generations that have ended"), len(jobs))
    await meter.add(len(jobs) - len(missing))
    async with asyncio.TaskGroup() as group:
        for job in missing:
            group.create_task(_render_in_turn(job, connections, generate, slots, meter))


class _Meter:
    """How many of a batch's generations have ended, shown as a bar now and then."""

    def __init__(self, bar: ProgressBar, total: int) -> None:
        self._bar, self._total = bar, total
        self._ended = 0
        self._moved_at = 0.0

    async def add(self, ended: int) -> None:
        self._ended += ended
        is_due = time.monotonic() - self._moved_at >= _BAR_SECONDS
        if is_due or self._ended == self._total:
            self._moved_at = time.monotonic()
            await self._bar.move(100 * self._ended // self._total)


async def _render_in_turn(
    job: BatchJob,
    connections: Connections,
    generate: GenerateFlow,
    slots: asyncio.Semaphore,
    meter: _Meter,
) -> None:
    async with slots:
        if isinstance(await _render(job, generate), LeaseLost):
            # Its run may have died just now: then the job is free as soon as the lease lapses.
            patience = connections.studio.comfyui.stall_timeout_seconds
            await wait_until_free(connections.database, job.job_id, timeout_seconds=patience)
            await _render(job, generate)
    await meter.add(1)


async def _render(job: BatchJob, generate: GenerateFlow) -> BaseException | None:
    """Why the run of that job failed; None when it did not."""
    parameters = job.request.model_dump(mode="json", exclude_defaults=True)
    with tags(*label_of(job.request).tags):
        ended = await generate(job_id=job.job_id, **parameters, return_state=True)
    state = cast("State[Any]", ended)  # return_state decides, which the signature cannot say
    outcome = await state.aresult(raise_on_failure=False)
    if isinstance(outcome, BaseException):
        _log.warning("Generation %d of the batch: %s", job.number, outcome)
        return outcome
    return None


async def cancel_children(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Stop what a cancelled batch has asked for and is not done."""
    del flow, state
    job_ids = possible_jobs_of(BatchRequest.model_validate(flow_run.parameters))
    studio = await open_studio()
    async with studio.database.client() as database, studio.comfyui.client() as comfy:
        await cancel_all(database, comfy, job_ids)

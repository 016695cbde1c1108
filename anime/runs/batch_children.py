"""The jobs of a batch, each rendered by a run of `generate` within the batch's own."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, cast
from uuid import UUID, uuid4

from prefect import Flow, State, runtime, tags
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Abort

from anime.core.batches import BatchRequest, possible_jobs_of
from anime.core.labels import label_of
from anime.errors import AnimeError, DatabaseUnavailable, LeaseLost, PrefectUnavailable
from anime.retry_policies import BATCH_CHILD
from anime.runs.connections import Connections
from blocks.connections import open_studio
from tasks.artifacts import ProgressBar
from tasks.batches import BatchJob, cancel_all, give_up, has_ended, wait_until_free
from tasks.retries import PREFECT_FAULTS, may_prefect_do_it_later

GenerateFlow = Callable[..., Awaitable[list[str]]]  # the flow that renders one job

_log = logging.getLogger(__name__)

# Beside those in flight: some that get ready and some whose files are put away meanwhile.
_BESIDE_WINDOW = 6
# For how long Prefect and PostgreSQL may be away together, before what is left has failed. Either
# client has tried for minutes itself by the time it says so.
_OUTAGE_SECONDS = 1800.0
_PASSING = (DatabaseUnavailable, LeaseLost, PrefectUnavailable)
_SEE_LOG = "See Prefect's log and that of the batch's run, then run the batch again."


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
    async with ProgressBar(id_of_run(), "Generations that have ended") as bar:
        children = _Children(
            connections, generate, bar, total=len(jobs), ended=len(jobs) - len(missing)
        )
        async with asyncio.TaskGroup() as group:
            for job in missing:
                group.create_task(children.bring_to_end(job))


class _Children:
    """What the jobs of a batch share: slots, the progress bar, and how long an outage lasts."""

    def __init__(
        self,
        connections: Connections,
        generate: GenerateFlow,
        bar: ProgressBar,
        *,
        total: int,
        ended: int,
    ) -> None:
        self._connections, self._generate, self._bar = connections, generate, bar
        self._total, self._ended = total, ended
        self._slots = asyncio.Semaphore(connections.studio.comfyui.in_flight + _BESIDE_WINDOW)
        self._away_since: float | None = None
        self._bar.move(100 * ended // total)

    async def bring_to_end(self, job: BatchJob) -> None:
        """Render the job when it is its turn. Whatever goes wrong is this job's alone."""
        async with self._slots:
            try:
                await self._render_through_outages(job)
            except Exception as fault:  # noqa: BLE001  a bug in one is no end of the others
                await self._give_up(job, fault)
        self._ended += 1
        self._bar.move(100 * self._ended // self._total)

    # Twice is harmless: a run finds what an earlier run of its job has done, and goes on.
    async def _render_through_outages(self, job: BatchJob) -> None:
        has_waited, retries = False, count()
        while isinstance(fault := await _render(job, self._generate), _PASSING):
            if await has_ended(self._connections.database, job.job_id):
                return
            if isinstance(fault, LeaseLost):
                if has_waited:
                    return
                has_waited = True
            elif self._is_outage_over_limit():
                raise fault
            else:
                await BATCH_CHILD.wait(next(retries))
            # Its run may have died just now: then it is free as soon as the lease lapses. One that
            # lives may render for as long as a render may.
            patience = self._connections.studio.comfyui.silence_timeout_seconds
            await wait_until_free(self._connections.database, job.job_id, timeout_seconds=patience)
        self._away_since = None

    def _is_outage_over_limit(self) -> bool:
        """Whether no run of the batch has been kept to its end for too long."""
        now = time.monotonic()
        self._away_since = self._away_since or now
        return now - self._away_since >= _OUTAGE_SECONDS

    async def _give_up(self, job: BatchJob, fault: Exception) -> None:
        error, bug = (fault, None) if isinstance(fault, AnimeError) else (_surprise(fault), fault)
        _log.error("Generation %d of the batch: %s", job.number, error, exc_info=bug)
        try:
            await give_up(self._connections.database, self._connections.publisher, job, error)
        except (DatabaseUnavailable, LeaseLost) as reason:
            _log.warning("Generation %d stays as it is: %s", job.number, reason)


async def _render(job: BatchJob, generate: GenerateFlow) -> BaseException | None:
    """Why the run of that job failed; None when it did not.

    Raises:
        PrefectUnavailable: Prefect ended the run, or refuses it for good.
    """
    parameters = job.request.model_dump(mode="json", exclude_defaults=True)
    outcome: object
    try:
        with tags(*label_of(job.request).tags):
            ended = await generate(job_id=job.job_id, **parameters, return_state=True)
        state = cast("State[Any]", ended)  # return_state decides, which the signature cannot say
        outcome = await state.aresult(raise_on_failure=False)
    except (*PREFECT_FAULTS, Abort) as fault:  # the flow's own come as its state
        outcome = _unavailable(fault)
        if not may_prefect_do_it_later(fault):
            raise outcome from fault
    if isinstance(outcome, BaseException):
        _log.warning("Generation %d of the batch: %s", job.number, outcome)
        return outcome
    return None


def _surprise(bug: Exception) -> AnimeError:
    return AnimeError(f"Unexpected {type(bug).__name__}: {bug}.", _SEE_LOG)


def _unavailable(fault: BaseException) -> PrefectUnavailable:
    said = str(fault).partition(" - ")[0] or type(fault).__name__
    return PrefectUnavailable(f"Prefect did not run the generation: {said}.", _SEE_LOG)


async def cancel_children(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Stop what a cancelled batch has asked for and is not done."""
    del flow, state
    job_ids = possible_jobs_of(BatchRequest.model_validate(flow_run.parameters))
    studio = await open_studio()
    async with studio.database.client() as database, studio.comfyui.client() as comfy:
        await cancel_all(database, comfy, job_ids)

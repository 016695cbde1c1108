"""The jobs of a batch, each rendered by a run of `generate` within the batch's own."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, cast
from uuid import UUID, uuid4

from prefect import Flow, State, runtime, tags
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Abort

from anime.core.batches import BatchRequest, possible_jobs_of
from anime.core.labels import label_of
from anime.errors import AnimeError, DatabaseUnavailable, LeaseLost, PrefectUnavailable
from anime.retry_policies import BATCH_CHILD, cancel_until_ended
from anime.runs.connections import Connections
from blocks.studio_blocks import load_blocks
from tasks.artifacts import ProgressBar
from tasks.batches import BatchJob, cancel_all, has_ended, record_child_failure, wait_until_free
from tasks.retries import PREFECT_FAULTS, is_transient_prefect_error

GenerateFlow = Callable[..., Awaitable[list[str]]]  # the flow that renders one job

_log = logging.getLogger(__name__)

# Beside those in flight: some that are prepared and some whose files are organised meanwhile.
_EXTRA_CHILDREN = 6
_SERVERS_SECONDS = 5.0  # between two looks at how many servers there are
# For how long Prefect and PostgreSQL may be away together before the rest of the batch fails.
# Either client has retried for minutes itself before it raises.
_OUTAGE_SECONDS = 1800.0
_TRANSIENT = (DatabaseUnavailable, LeaseLost, PrefectUnavailable)
_SEE_LOG = "See Prefect's log and that of the batch's run, then run the batch again."


def id_of_run() -> UUID:
    """The id of the current flow run; a new one where there is none."""
    return UUID(str(runtime.flow_run.id)) if runtime.flow_run.id else uuid4()


async def render_all(
    jobs: Sequence[BatchJob], connections: Connections, generate: GenerateFlow
) -> None:
    """Render every job that has no files yet, enough at a time that the GPU never waits.

    Each job's row says how it ended: a failure does not stop the others.
    """
    missing = [job for job in jobs if not job.status.is_final]
    async with ProgressBar(id_of_run(), "Generations that have ended") as bar:
        children = _Children(
            connections, generate, bar, total=len(jobs), ended=len(jobs) - len(missing)
        )
        await children.render_all(missing)


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
        self._slots = asyncio.Semaphore(_EXTRA_CHILDREN)
        self._servers = 0
        self._away_since: float | None = None
        self._bar.move(100 * ended // total)

    async def render_all(self, jobs: Sequence[BatchJob]) -> None:
        """Render them, as many at a time as the servers have slots for, and some more."""
        async with asyncio.TaskGroup() as group:
            growth = group.create_task(self._grow_with_the_servers())
            await asyncio.gather(*(group.create_task(self._render(job)) for job in jobs))
            await cancel_until_ended(growth)

    async def _grow_with_the_servers(self) -> None:
        """Have more at a time when servers are added. Fewer servers leave some in line."""
        while True:
            servers = max(1, self._servers)
            with suppress(DatabaseUnavailable):
                servers = max(1, await self._connections.servers.open_count())
            for _ in range((servers - self._servers) * self._connections.blocks.comfyui.in_flight):
                self._slots.release()
            self._servers = max(self._servers, servers)
            await asyncio.sleep(_SERVERS_SECONDS)

    async def _render(self, job: BatchJob) -> None:
        """Render the job when it is its turn. An error fails this job alone."""
        async with self._slots:
            try:
                await self._render_through_outages(job)
            except Exception as fault:  # noqa: BLE001  a bug in one must not end the others
                await self._record_failure(job, fault)
        self._ended += 1
        self._bar.move(100 * self._ended // self._total)

    # Twice is harmless: a run finds what an earlier run of its job has done, and goes on.
    async def _render_through_outages(self, job: BatchJob) -> None:
        has_waited, retries = False, count()
        while isinstance(fault := await _fault_of_run(job, self._generate), _TRANSIENT):
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
            # Its run may have died just now: then it is free as soon as the lease lapses. A live
            # run may take as long as any render may.
            timeout_seconds = self._connections.blocks.comfyui.silence_timeout_seconds
            await wait_until_free(
                self._connections.database, job.job_id, timeout_seconds=timeout_seconds
            )
        self._away_since = None

    def _is_outage_over_limit(self) -> bool:
        """Whether no run of the batch has come to its end for too long."""
        now = time.monotonic()
        self._away_since = self._away_since or now
        return now - self._away_since >= _OUTAGE_SECONDS

    async def _record_failure(self, job: BatchJob, fault: Exception) -> None:
        error, bug = (fault, None) if isinstance(fault, AnimeError) else (_unexpected(fault), fault)
        _log.error("Generation %d of the batch: %s", job.number, error, exc_info=bug)
        try:
            await record_child_failure(
                self._connections.database, self._connections.publisher, job, error
            )
        except (DatabaseUnavailable, LeaseLost) as reason:
            _log.warning("Generation %d stays as it is: %s", job.number, reason)


async def _fault_of_run(job: BatchJob, generate: GenerateFlow) -> BaseException | None:
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
    except (*PREFECT_FAULTS, Abort) as fault:  # errors of the flow itself come as its state
        outcome = _unavailable(fault)
        if not is_transient_prefect_error(fault):
            raise outcome from fault
    if isinstance(outcome, BaseException):
        _log.warning("Generation %d of the batch: %s", job.number, outcome)
        return outcome
    return None


def _unexpected(bug: Exception) -> AnimeError:
    return AnimeError(f"Unexpected {type(bug).__name__}: {bug}.", _SEE_LOG)


def _unavailable(fault: BaseException) -> PrefectUnavailable:
    reason = str(fault).partition(" - ")[0] or type(fault).__name__
    return PrefectUnavailable(f"Prefect did not run the generation: {reason}.", _SEE_LOG)


async def cancel_children(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Stop the jobs of a cancelled batch that have not ended. A cancellation hook."""
    del flow, state
    job_ids = possible_jobs_of(BatchRequest.model_validate(flow_run.parameters))
    blocks = await load_blocks()
    async with blocks.database.client() as database:
        await cancel_all(database, blocks.comfyui, job_ids)

"""The jobs of a batch, rendered side by side within the batch's run, each in a task run."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any
from uuid import UUID

from prefect import Flow, State, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled

from anime.core.batches import BatchRequest, each_child, possible_jobs_of
from anime.core.labels import label_of
from anime.errors import (
    AnimeError,
    DatabaseUnavailable,
    JobCancelled,
    LeaseLost,
    NotFound,
    PrefectUnavailable,
)
from anime.jobs.shared_batches import leave_to_other_runs
from anime.jobs.shot_events import publish_shots_of
from anime.net.prefect_api import PrefectApi
from anime.retry_policies import BATCH_CHILD, TASK, cancel_until_ended
from anime.runs.connections import Connections
from anime.runs.generation import run_generation
from anime.settings import get_settings
from blocks.studio_blocks import load_blocks
from tasks.artifacts import ProgressBar
from tasks.batches import BatchJob, cancel_all, has_ended, record_child_failure, wait_until_free
from tasks.steps import generation_label

_log = logging.getLogger(__name__)

# Beside those in flight: some that are prepared and some whose files are organised meanwhile.
_EXTRA_CHILDREN = 6
_SERVERS_SECONDS = 5.0  # between two looks at how many servers there are
# For how long PostgreSQL may be away before the rest of the batch fails.
_OUTAGE_SECONDS = 1800.0
_SEE_LOG = "See Prefect's log and that of the batch's run, then run the batch again."


async def render_all(jobs: Sequence[BatchJob], connections: Connections, run_id: UUID) -> None:
    """Render every job that has no files yet, enough at a time that the GPU never waits.

    Each job's row says how it ended: a failure does not stop the others.
    """
    missing = [job for job in jobs if not job.status.is_final]
    database, publisher, settings = connections.database, connections.publisher, get_settings()
    waiting = [job.job_id for job in missing]
    await publish_shots_of(database, publisher, waiting, settings=settings)
    async with ProgressBar(run_id, "Generations that have ended") as bar:
        children = _Children(
            connections, run_id, bar, total=len(jobs), ended=len(jobs) - len(missing)
        )
        await children.render_all(missing)


class _Children:
    """What the jobs of a batch share: slots, the progress bar, and how long an outage lasts."""

    def __init__(
        self,
        connections: Connections,
        run_id: UUID,
        bar: ProgressBar,
        *,
        total: int,
        ended: int,
    ) -> None:
        self._connections, self._run_id, self._bar = connections, run_id, bar
        self._total, self._ended = total, ended
        self._slots = asyncio.Semaphore(_EXTRA_CHILDREN)
        self._servers = 0
        self._away_since: float | None = None
        self._bar.move(100 * ended // total)

    async def render_all(self, jobs: Sequence[BatchJob]) -> None:
        """Render them, as many at a time as the servers have slots for, and some more."""
        try:
            async with asyncio.TaskGroup() as group:
                growth = group.create_task(self._grow_with_the_servers())
                async with asyncio.TaskGroup() as children:
                    for job in jobs:
                        await self._slots.acquire()
                        children.create_task(self._render(job))
                await cancel_until_ended(growth)
        except BaseExceptionGroup as several:  # as Prefect ends a run that was suspended
            raise several.exceptions[0] from several

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
        """Render the job, for which there is a slot. An error fails this job alone."""
        try:
            await self._render_through_outages(job)
        except Exception as fault:  # noqa: BLE001  a bug in one must not end the others
            await self._record_failure(job, fault)
        finally:
            self._slots.release()
        self._ended += 1
        self._bar.move(100 * self._ended // self._total)

    # Twice is harmless: a run finds what an earlier run of its job has done, and goes on.
    async def _render_through_outages(self, job: BatchJob) -> None:
        has_waited, retries = False, count()
        while (fault := await self._transient_fault_of(job)) is not None:
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

    async def _transient_fault_of(self, job: BatchJob) -> DatabaseUnavailable | LeaseLost | None:
        """Why the job did not come to its end; None when it did, well or not."""

        async def render(owner: UUID) -> None:
            await run_generation(job.request, job_id=job.job_id, run_id=self._run_id, owner=owner)

        try:
            await generation(f"{job.number} · {label_of(job.request).name}", render)
        except AnimeError as fault:
            _log.warning("Generation %d of the batch: %s", job.number, fault)
            if isinstance(fault, DatabaseUnavailable | LeaseLost):
                return fault
        return None

    def _is_outage_over_limit(self) -> bool:
        """Whether no generation of the batch has come to its end for too long."""
        now = time.monotonic()
        self._away_since = self._away_since or now
        return now - self._away_since >= _OUTAGE_SECONDS

    async def _record_failure(self, job: BatchJob, fault: Exception) -> None:
        error, bug = (fault, None) if isinstance(fault, AnimeError) else (_unexpected(fault), fault)
        _log.error("Generation %d of the batch: %s", job.number, error, exc_info=bug)
        database, publisher = self._connections.database, self._connections.publisher
        try:
            await record_child_failure(database, publisher, job, error)
        except (DatabaseUnavailable, LeaseLost, NotFound) as reason:
            _log.warning("Generation %d stays as it is: %s", job.number, reason)
        else:
            await publish_shots_of(database, publisher, [job.job_id], settings=get_settings())


# Twice is harmless: it finds what an earlier one of the same job has done, and goes on.
@task(name="generation", task_run_name="{label}", cache_policy=NO_CACHE, persist_result=False)
async def generation(label: str, render: Callable[[UUID], Awaitable[None]]) -> State[None] | None:
    """One generation of a batch, whose steps are task runs named after it.

    `render` is given the id of this task run. It ends as cancelled if its job was.
    """
    token = generation_label.set(label)
    try:
        await render(UUID(str(runtime.task_run.id)))
    except JobCancelled as reason:
        return Cancelled(message=str(reason))
    finally:
        generation_label.reset(token)
    return None


def _unexpected(bug: Exception) -> AnimeError:
    return AnimeError(f"Unexpected {type(bug).__name__}: {bug}.", _SEE_LOG)


async def cancel_children(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Stop the jobs that a cancelled batch has not ended, unless another run goes on with them.

    A cancellation hook.
    """
    del flow, state
    asked, settings = BatchRequest.model_validate(flow_run.parameters), get_settings()
    job_ids = set(possible_jobs_of(each_child(asked)))
    blocks = await load_blocks()
    async with (
        blocks.database.client() as database,
        blocks.redis.client() as publisher,
        PrefectApi.from_settings(settings) as api,
    ):

        async def leave() -> set[UUID]:
            going_on = await api.runs_going_on("batch")
            return await leave_to_other_runs(
                database, going_on, asked.name, job_ids, cancelled_run=flow_run.id
            )

        try:
            job_ids -= await TASK.call(leave)
        except PrefectUnavailable as fault:
            _log.warning("Other runs of the batch find its jobs cancelled: %s", fault)
        await cancel_all(database, publisher, blocks.comfyui, job_ids)
        await publish_shots_of(database, publisher, job_ids, settings=settings)

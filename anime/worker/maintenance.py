"""What a worker does beside its runs: blocked loops, missed cancellations, orphans, memory."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

from anime.errors import reason_of
from anime.settings import Settings
from anime.worker.orphans import rescue
from anime.worker.prefect_internals import request_suspension
from anime.worker.process_identity import ProcessIdentity, remove_old_locks
from anime.worker.run_control import EndReason
from anime.worker.run_pool import RunPool

STEP_SECONDS = 1.0
STATES_EVERY_SECONDS = 5.0  # cancellations come by event; this finds those whose event was lost
RESCUE_EVERY_SECONDS = 60.0
BLOCKED_SECONDS = 5.0
_MB = 1024 * 1024

_log = logging.getLogger(__name__)


class MaintainedWorker(Protocol):
    """What the loop needs of its worker."""

    settings: Settings
    identity: ProcessIdentity
    run_pool: RunPool

    @property
    def api(self) -> PrefectClient: ...

    @property
    def pool_name(self) -> str: ...

    @property
    def is_synced(self) -> bool:
        """Whether the pool has been read from the server yet."""
        ...

    def restart(self, why: str) -> None:
        """End the runs, then start again as a new process."""
        ...

    def settle_cancellation(self, run: FlowRun) -> None:
        """Run the hooks of a cancelled run whose worker has died, and confirm its cancellation."""
        ...

    def wake(self) -> None:
        """Poll for runs now."""
        ...


class MaintenanceLoop:
    """Checks its worker every second, and asks the server less often."""

    def __init__(self, worker: MaintainedWorker) -> None:
        self._worker = worker
        self._reported: set[UUID] = set()
        self._process = psutil.Process()

    async def run(self) -> None:
        """Check until cancelled."""
        states_at = time.monotonic() + STATES_EVERY_SECONDS
        rescue_at = time.monotonic()
        while True:
            self.check_threads()
            self.check_memory()
            if time.monotonic() >= rescue_at and self._worker.is_synced:
                rescue_at = time.monotonic() + RESCUE_EVERY_SECONDS
                await _try_step(self.rescue)
            if time.monotonic() >= states_at:
                states_at = time.monotonic() + STATES_EVERY_SECONDS
                await _try_step(self.check_run_states)
            await asyncio.sleep(STEP_SECONDS)

    def check_threads(self) -> None:
        """Log which run blocks its loop, and where; end one that blocks it past its time-out."""
        self._reported &= {live.flow_run.id for live in self._worker.run_pool}
        for live in self._worker.run_pool:
            seconds = live.loop_thread.seconds_blocked()
            if seconds < BLOCKED_SECONDS:
                self._reported.discard(live.flow_run.id)
            elif live.flow_run.id not in self._reported:
                self._reported.add(live.flow_run.id)
                _log.warning(_BLOCKED, live.name, seconds, live.loop_thread.stack())
            if seconds >= BLOCKED_SECONDS and live.is_overdue:
                live.loop_thread.interrupt(TimeoutError)

    def check_memory(self) -> None:
        """Restart the worker when it takes too much memory."""
        max_mb = self._worker.settings.worker_max_mb
        resident_mb = self._process.memory_info().rss // _MB
        if max_mb is not None and resident_mb >= max_mb:
            self._worker.restart(f"at {resident_mb} MB")

    async def check_run_states(self) -> None:
        """End the runs that were cancelled, crashed or deleted at the server without an event.

        The work of a deleted or crashed run goes on in another one: only its hooks do not run.
        """
        claimed = [live.flow_run.id for live in self._worker.run_pool if live.is_claimed]
        if not claimed:
            return
        found = await self._worker.api.read_flow_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=claimed)), limit=len(claimed)
        )
        states = {run.id: run.state for run in found}
        for run_id in claimed:
            state = states.get(run_id)
            if state is None or state.is_crashed():
                self._worker.run_pool.end(run_id, EndReason.HANDED_BACK)
            elif state.is_cancelling() or state.is_cancelled():
                self._worker.run_pool.end(run_id, EndReason.CANCELLED)
            elif state.is_paused():
                request_suspension(run_id, state)

    async def rescue(self) -> None:
        """Hand back the runs of dead workers, or settle their cancellation."""
        worker = self._worker
        home = worker.settings.home
        cancelled = await rescue(
            worker.api, worker.pool_name, worker.run_pool, worker.identity, home
        )
        for run in cancelled:
            worker.settle_cancellation(run)
        remove_old_locks(home)
        worker.wake()


_BLOCKED = (
    "Run %s has blocked its event loop for %.0f s: it can neither be cancelled nor renew its lease "
    "meanwhile. Other runs are not held up. Call what blocks through asyncio.to_thread. "
    "It is at\n%s"
)


async def _try_step(step: Callable[[], Awaitable[None]]) -> None:
    """Do it; when the server does not answer, the next round tries again."""
    try:
        await step()
    except ObjectNotFound as gone:
        _log.info("A run was deleted meanwhile; the others are checked in the next round: %s", gone)
    except httpx.HTTPError as fault:
        _log.warning("Prefect does not answer: %s", reason_of(fault))

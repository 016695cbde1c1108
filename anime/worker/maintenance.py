"""What the worker looks after besides its runs: blocked lanes, missed news, the dead, its size."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound

from anime.settings import Settings
from anime.worker.orphans import rescue
from anime.worker.prefect_internals import tell_of_suspension
from anime.worker.process_identity import ProcessIdentity, remove_old_locks
from anime.worker.run_control import EndReason
from anime.worker.run_pool import RunPool

STEP_SECONDS = 1.0
NEWS_EVERY_SECONDS = 5.0  # cancellations come by event; this is for events that were lost
RESCUE_EVERY_SECONDS = 60.0
BLOCKED_SECONDS = 5.0
_MB = 1024 * 1024

_log = logging.getLogger(__name__)


class MaintainedWorker(Protocol):
    """What the loop needs of the worker that it looks after."""

    settings: Settings
    me: ProcessIdentity
    run_pool: RunPool

    @property
    def api(self) -> PrefectClient:
        """The Prefect server."""
        ...

    @property
    def pool_name(self) -> str:
        """The work pool that the worker serves."""
        ...

    @property
    def knows_its_pool(self) -> bool:
        """Whether the server has told of the pool yet."""
        ...

    def restart(self, why: str) -> None:
        """End the runs, then become a new worker."""
        ...

    def settle_cancellation(self, run: FlowRun) -> None:
        """Do what is to be done for a cancelled run whose worker has died."""
        ...

    def wake(self) -> None:
        """Look for work now."""
        ...


class MaintenanceLoop:
    """Walks every second, and asks the server less often."""

    def __init__(self, worker: MaintainedWorker) -> None:
        self._worker = worker
        self._told_of: set[UUID] = set()
        self._process = psutil.Process()

    async def walk(self) -> None:
        """Go on until cancelled."""
        news_at = time.monotonic() + NEWS_EVERY_SECONDS
        rescue_at = time.monotonic()
        while True:
            self.check_threads()
            self.look_at_size()
            if time.monotonic() >= rescue_at and self._worker.knows_its_pool:
                rescue_at = time.monotonic() + RESCUE_EVERY_SECONDS
                await _tried(self.rescue)
            if time.monotonic() >= news_at:
                news_at = time.monotonic() + NEWS_EVERY_SECONDS
                await _tried(self.ask_for_news)
            await asyncio.sleep(STEP_SECONDS)

    def check_threads(self) -> None:
        """Say which run blocks its loop, and where; end one that blocks past its time-out."""
        self._told_of &= {live.flow_run.id for live in self._worker.run_pool}
        for live in self._worker.run_pool:
            seconds = live.loop_thread.seconds_blocked()
            if seconds < BLOCKED_SECONDS:
                self._told_of.discard(live.flow_run.id)
            elif live.flow_run.id not in self._told_of:
                self._told_of.add(live.flow_run.id)
                _log.warning(_BLOCKED, live.name, seconds, live.loop_thread.stack())
            if seconds >= BLOCKED_SECONDS and live.is_overdue:
                live.loop_thread.interrupt(TimeoutError)

    def look_at_size(self) -> None:
        """Begin anew when the worker has grown too large."""
        most = self._worker.settings.worker_max_mb
        resident_mb = self._process.memory_info().rss // _MB
        if most is not None and resident_mb >= most:
            self._worker.restart(f"at {resident_mb} MB")

    async def ask_for_news(self) -> None:
        """End the runs that were cancelled, ended or deleted behind our back."""
        mine = [live.flow_run.id for live in self._worker.run_pool if live.is_claimed]
        if not mine:
            return
        found = await self._worker.api.read_flow_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=mine)), limit=len(mine)
        )
        states = {run.id: run.state for run in found}
        for run_id in mine:
            state = states.get(run_id)
            if state is None or _is_unwanted(state):
                self._worker.run_pool.end(run_id, EndReason.CANCELLED)
            elif state.is_paused():
                tell_of_suspension(run_id, state)

    async def rescue(self) -> None:
        """Give runs of dead workers anew, or settle their cancellation."""
        worker = self._worker
        home = worker.settings.home
        left = await rescue(worker.api, worker.pool_name, worker.run_pool, worker.me, home)
        for run in left:
            worker.settle_cancellation(run)
        remove_old_locks(home)
        worker.wake()


_BLOCKED = (
    "Run %s has blocked its event loop for %.0f s; it hears of no cancellation and keeps no lease "
    "until it lets go. Other runs are not held up. Call what blocks through asyncio.to_thread. "
    "It is at\n%s"
)


def _is_unwanted(state: State[Any]) -> bool:  # of any result
    return state.is_cancelling() or state.is_cancelled() or state.is_crashed()


async def _tried(step: Callable[[], Awaitable[None]]) -> None:
    """Do it; the server may be away, and the next round comes."""
    try:
        await step()
    except ObjectNotFound as gone:
        _log.info("A run was deleted meanwhile, the others are seen to later: %s", gone)
    except httpx.HTTPError as fault:
        _log.warning("Prefect does not answer: %s", fault or type(fault).__name__)

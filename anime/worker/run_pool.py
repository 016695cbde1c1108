"""The runs under way in this worker, and the lanes they are in."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from anime.core.work_queues import WorkQueue, limits_of_worker
from anime.worker.live_run import LiveRun
from anime.worker.loop_thread import LoopThread
from anime.worker.run_control import EndReason

_log = logging.getLogger(__name__)


class RunPool:
    """Who is at work where. For the worker's loop only."""

    def __init__(self, limit: int, on_room: Callable[[], None]) -> None:
        """`limit` bounds the runs of each queue; `on_room` is called when a run has ended."""
        self._limit = limit
        self._limits = limits_of_worker(limit)
        self._on_room = on_room
        self._runs: dict[UUID, LiveRun] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._free: list[LoopThread] = []
        self._lane_count = 0

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._runs

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._runs.values()))

    def room(self, queue: WorkQueue) -> int:
        """How many more runs of that queue may begin now."""
        taken = sum(live.queue is queue for live in self._runs.values())
        return max(self._limits[queue] - taken, 0)

    def warm_up(self) -> None:
        """Make the threads for those who wait; others are made when they are needed."""
        self._free += [self._new_thread() for _ in range(self._limit)]

    def begin(
        self,
        run: FlowRun,
        serve: Callable[[LiveRun], Awaitable[None]],
        *,
        queue: WorkQueue,
        ending: EndReason | None = None,
    ) -> asyncio.Task[None]:
        """Give the run a thread and have it served there; it counts for its queue."""
        live = self._runs[run.id] = LiveRun(run, self._idle_thread(), queue)
        if ending is not None:
            live.end(ending)
        task = asyncio.create_task(self._serve(live, serve))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return task

    def end(self, run_id: UUID, ending: EndReason) -> None:
        """Ask that run to end, if it is here."""
        if run_id in self._runs:
            self._runs[run_id].end(ending)

    def end_all(self, ending: EndReason) -> None:
        """Ask all runs to end."""
        for live in self:
            live.end(ending)

    async def until_idle(self, seconds: float | None) -> None:
        """Wait until no run is left, at most so long; without an end if None."""
        if self._serving:
            await asyncio.wait(self._serving, timeout=seconds)

    def close(self) -> None:
        """End the lanes."""
        for loop_thread in self._free:
            loop_thread.close()

    async def _serve(self, live: LiveRun, serve: Callable[[LiveRun], Awaitable[None]]) -> None:
        try:
            await serve(live)
        except Exception:  # noqa: BLE001  the other runs go on
            _log.exception("Run %s is given up by this worker", live.name)
        finally:
            live.leave_thread()
            del self._runs[live.flow_run.id]
            if live.loop_thread.is_usable:
                self._free.append(live.loop_thread)
            else:
                live.loop_thread.close()
            self._on_room()

    def _idle_thread(self) -> LoopThread:
        while self._free:
            loop_thread = self._free.pop()
            if loop_thread.is_usable:
                return loop_thread
        return self._new_thread()

    def _new_thread(self) -> LoopThread:
        self._lane_count += 1
        return LoopThread(self._lane_count)

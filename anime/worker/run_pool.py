"""The runs under way in this worker, and their event-loop threads."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from anime.core.work_queues import WorkQueue, limits_of_worker
from anime.worker.live_run import LiveRun
from anime.worker.loop_thread import LoopThread
from anime.worker.run_control import EndReason

_log = logging.getLogger(__name__)


class RunPool:
    """The runs under way, each in a thread. Only for use in the worker's loop."""

    def __init__(self, limit: int, on_run_ended: Callable[[WorkQueue], object]) -> None:
        """`limit`: see `limits_of_worker`; `on_run_ended`, when a run of the queue has ended."""
        self._limit = limit
        self._limits = limits_of_worker(limit)
        self._on_run_ended = on_run_ended
        self._runs: dict[UUID, LiveRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: list[LoopThread] = []
        self._thread_count = 0

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._runs

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._runs.values()))

    @property
    def unclaimed_count(self) -> int:
        """How many runs the server may still list, as it has not given them to this worker yet."""
        return sum(not live.is_claimed for live in self)

    def capacity(self, queue: WorkQueue) -> int:
        """How many more runs of that queue may start now."""
        taken = sum(live.queue is queue for live in self._runs.values())
        return max(self._limits[queue] - taken, 0)

    def warm_up(self) -> None:
        """Start the threads of interactive runs; others are started when they are needed."""
        self._idle += [self._new_thread() for _ in range(self._limit)]

    def start(
        self,
        run: FlowRun,
        execute: Callable[[LiveRun], Awaitable[None]],
        *,
        queue: WorkQueue,
        end_reason: EndReason | None = None,
    ) -> asyncio.Task[None]:
        """Give the run a thread and execute it there; it counts towards its queue's limit."""
        live = self._runs[run.id] = LiveRun(run, self._idle_thread(), queue)
        if end_reason is not None:
            live.end(end_reason)
        task = asyncio.create_task(self._execute(live, execute))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def end(self, run_id: UUID, end_reason: EndReason) -> None:
        """Ask that run to end, if it is here."""
        if run_id in self._runs:
            self._runs[run_id].end(end_reason)

    def end_all(self, end_reason: EndReason) -> None:
        """Ask all runs to end."""
        for live in self:
            live.end(end_reason)

    async def wait_until_idle(self, seconds: float | None) -> None:
        """Wait until no run is left, for at most so long; without a time-out if None.

        Runs that begin meanwhile are waited for, too.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)

    def close(self) -> None:
        """End the idle threads."""
        for loop_thread in self._idle:
            loop_thread.close()

    async def _execute(self, live: LiveRun, execute: Callable[[LiveRun], Awaitable[None]]) -> None:
        try:
            await execute(live)
        except Exception:  # noqa: BLE001  the other runs go on
            _log.exception("This worker gives up run %s", live.name)
        finally:
            live.stop_escalation()
            del self._runs[live.flow_run.id]
            if live.loop_thread.is_usable:
                self._idle.append(live.loop_thread)
            else:
                live.loop_thread.close()
            self._on_run_ended(live.queue)

    def _idle_thread(self) -> LoopThread:
        while self._idle:
            loop_thread = self._idle.pop()
            if loop_thread.is_usable:
                return loop_thread
        return self._new_thread()

    def _new_thread(self) -> LoopThread:
        self._thread_count += 1
        return LoopThread(self._thread_count)

"""The runs under way in this worker, and the lanes they are in."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from anime.warm.ending import Ending
from anime.warm.lane import Lane
from anime.warm.live_run import LiveRun

_log = logging.getLogger(__name__)


class Roster:
    """Who is at work where. For the worker's loop only."""

    def __init__(self, size: int, on_room: Callable[[], None]) -> None:
        """`size` runs at a time; `on_room` is called when one of them has ended."""
        self._size = size
        self._on_room = on_room
        self._runs: dict[UUID, LiveRun] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._free: list[Lane] = []
        self._lane_count = 0

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._runs

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._runs.values()))

    @property
    def room(self) -> int:
        """How many more runs may begin now."""
        return max(self._size - len(self._runs), 0)

    def warm_up(self) -> None:
        """Make the lanes, so that no run waits for one."""
        self._free += [self._new_lane() for _ in range(self._size)]

    def begin(
        self, run: FlowRun, serve: Callable[[LiveRun], Awaitable[None]], *, ending: Ending | None
    ) -> asyncio.Task[None]:
        """Give the run a lane and have it served there."""
        live = self._runs[run.id] = LiveRun(run, self._free_lane())
        if ending is not None:
            live.end(ending)
        task = asyncio.create_task(self._serve(live, serve))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return task

    def end(self, run_id: UUID, ending: Ending) -> None:
        """Ask that run to end, if it is here."""
        if run_id in self._runs:
            self._runs[run_id].end(ending)

    def end_all(self, ending: Ending) -> None:
        """Ask all runs to end."""
        for live in self:
            live.end(ending)

    async def until_idle(self, seconds: float | None) -> None:
        """Wait until no run is left, at most so long; without an end if None."""
        if self._serving:
            await asyncio.wait(self._serving, timeout=seconds)

    def close(self) -> None:
        """End the lanes."""
        for lane in self._free:
            lane.close()

    async def _serve(self, live: LiveRun, serve: Callable[[LiveRun], Awaitable[None]]) -> None:
        try:
            await serve(live)
        except Exception:  # noqa: BLE001  the other runs go on
            _log.exception("Run %s is given up by this worker", live.name)
        finally:
            live.leave_lane()
            del self._runs[live.flow_run.id]
            if live.lane.is_usable:
                self._free.append(live.lane)
            else:
                live.lane.close()
            self._on_room()

    def _free_lane(self) -> Lane:
        while self._free:
            lane = self._free.pop()
            if lane.is_usable:
                return lane
        return self._new_lane()

    def _new_lane(self) -> Lane:
        self._lane_count += 1
        return Lane(self._lane_count)

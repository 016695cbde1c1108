"""Keeps the parts of the stack running: ordered start, restarts with back-off, ordered stop."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import islice

from anime.errors import StackError
from anime.retry_policies import PART_RESTART
from anime.stack.parts import Part, PartState, PartStatus, Report, ignore_status
from anime.stack.process import PartProcess, describe_exit, give_way, launch, part_error, stop
from anime.stack.start_progress import StartProgress

PROBE_EVERY_SECONDS = 0.1
PROBE_TIMEOUT_SECONDS = 5.0
RESTARTS_WITHIN_SECONDS = 60.0


def restart_delay(deaths: Sequence[float], now: float) -> float | None:
    """Seconds to wait before the next start; None when the part died too often of late.

    >>> restart_delay([100.0], now=100.0), restart_delay([40.0, 100.0], now=100.5)
    (0.5, 0.5)
    """
    recent = sum(now - death < RESTARTS_WITHIN_SECONDS for death in deaths)
    return next(islice(PART_RESTART.delays(), recent - 1, None), None)


class SupervisedPart:
    """One part: its process of the moment, and the task that starts it anew."""

    def __init__(self, part: Part, report: Report, inherited_fds: tuple[int, ...]) -> None:
        self.part = part
        self.child: PartProcess | None = None
        self._report = report
        self._inherited_fds = inherited_fds

    @property
    def pid(self) -> int:
        """The process id of the moment.

        Raises:
            StackError: the part was never started.
        """
        if self.child is None:
            raise StackError(f"{self.part.name} was not started.", "Start it first.")
        return self.child.pid

    async def start(self) -> None:
        """Start the program and wait until it is ready.

        Raises:
            StackError: it ended first, or was not ready in time (and is stopped again).
        """
        self.say(PartState.STARTING)
        try:
            self.child = await launch(self.part, self._inherited_fds)
        except OSError as fault:
            raise part_error(self.part, f"cannot be started: {fault.strerror}") from fault
        progress = StartProgress(self.child.pid, self.part.log, self.part.start_timeout_seconds)
        if not await self._is_ready_in_time(self.child, progress):
            await stop(self.child, self.part)
            raise part_error(self.part, "was not ready in time")
        if self.part.niceness:
            give_way(self.child.pid, self.part.niceness)
        self.say(PartState.READY, progress.seconds)

    async def keep(self) -> StackError:
        """The reason to give up, after the restarts are used up."""
        deaths: list[float] = []
        while True:
            reason = await self._ended()
            deaths.append(time.monotonic())
            delay = restart_delay(deaths, deaths[-1])
            if delay is None:
                self.say(PartState.LOST, detail=reason)
                return part_error(self.part, f"died again and again ({reason})")
            self.say(PartState.DIED, detail=f"{reason}; starting anew in {delay:g} s")
            await asyncio.sleep(delay)
            try:
                await self.start()
            except StackError:
                continue  # counted as one more death

    async def stop(self) -> None:
        """End the program, if it was started."""
        if self.child is None:
            return
        began = time.monotonic()
        self.say(PartState.STOPPING)
        await stop(self.child, self.part)
        self.say(PartState.STOPPED, time.monotonic() - began)

    def say(self, state: PartState, seconds: float = 0.0, detail: str = "") -> None:
        """Report the state of this part."""
        self._report(PartStatus(self.part.name, state, seconds, detail))

    async def _is_ready_in_time(self, child: PartProcess, progress: StartProgress) -> bool:
        """Whether the part became ready; waited for longer while it gets on, which is said once."""
        is_said = False
        while child.returncode is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                    if await self.part.is_ready(progress.seconds):
                        return True
            if progress.is_stuck() or progress.seconds > self.part.start_limit_seconds:
                return False
            if progress.is_late and not is_said:
                is_said = True
                limit = self.part.start_limit_seconds
                self.say(
                    PartState.STARTING,
                    progress.seconds,
                    f"it is still at work, and waited for up to {limit:g} s; {self.part.log}",
                )
            await asyncio.sleep(PROBE_EVERY_SECONDS)
        raise part_error(self.part, f"did not start ({await self._ended()})")

    async def _ended(self) -> str:
        """How the program ended, in words. What it had started is gone then, too."""
        if self.child is None:
            return "never started"
        return describe_exit(await self.child.ended())


class Supervisor:
    """All parts. `failure` is set once a part is given up; stopping is then up to the owner."""

    def __init__(
        self, report: Report = ignore_status, *, inherited_fds: tuple[int, ...] = ()
    ) -> None:
        self.failure: StackError | None = None
        self.report = report
        self.inherited_fds = inherited_fds
        self._stages: list[list[SupervisedPart]] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._listeners: list[Callable[[], None]] = []

    def on_failure(self, listener: Callable[[], None]) -> None:
        """Call the listener when a part is given up."""
        self._listeners.append(listener)

    async def start(self, *parts: Part) -> None:
        """Start these parts side by side, as one stage, and wait until all are ready.

        Raises:
            StackError: one of them did not become ready. The others may run: call `stop`.
        """
        stage = [SupervisedPart(part, self.report, self.inherited_fds) for part in parts]
        self._stages.append(stage)
        await together(*(kept.start() for kept in stage))
        self._keepers += [asyncio.create_task(self._keep(kept)) for kept in stage]

    async def stop(self) -> None:
        """Stop the stages, the last one first; when this returns nothing is left."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for stage in reversed(self._stages):
            await asyncio.gather(*(kept.stop() for kept in stage))
        self._stages.clear()
        self._keepers.clear()

    def running(self) -> dict[str, SupervisedPart]:
        """The parts by name."""
        return {kept.part.name: kept for stage in self._stages for kept in stage}

    async def _keep(self, kept: SupervisedPart) -> None:
        self.failure = await kept.keep()
        for listener in self._listeners:
            listener()


async def together(*work: Coroutine[object, object, object]) -> None:
    """Do all of it side by side; the first error cancels the rest and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None

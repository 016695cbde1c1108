"""Runs the parts of the stack: ordered start, restarts with back-off, ordered stop."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import islice

from anime.errors import StackError
from anime.retry_policies import PART_RESTART, cancel_until_ended
from anime.stack.parts import Part, PartState, PartStatus, StatusListener, ignore_status
from anime.stack.process import PartProcess, describe_exit, launch, lower_priority, part_error, stop
from anime.stack.start_progress import StartProgress

READINESS_POLL_SECONDS = 0.1
READINESS_TIMEOUT_SECONDS = 5.0
RESTARTS_WITHIN_SECONDS = 60.0


def restart_delay(deaths: Sequence[float], now: float) -> float | None:
    """Seconds to wait before the next start; None when the part has died too often lately.

    >>> restart_delay([100.0], now=100.0), restart_delay([40.0, 100.0], now=100.5)
    (0.5, 0.5)
    """
    recent = sum(now - death < RESTARTS_WITHIN_SECONDS for death in deaths)
    return next(islice(PART_RESTART.delays(), recent - 1, None), None)


class SupervisedPart:
    """One part: its current process, and how it is restarted."""

    def __init__(self, part: Part, report: StatusListener, inherited_fds: tuple[int, ...]) -> None:
        self.part = part
        self.child: PartProcess | None = None
        self._report = report
        self._inherited_fds = inherited_fds

    @property
    def pid(self) -> int:
        """The current process id.

        Raises:
            StackError: the part was never started.
        """
        if self.child is None:
            raise StackError(f"{self.part.name} was not started.", "Start it first.")
        return self.child.pid

    async def start(self) -> None:
        """Start the program and wait until it is ready.

        Raises:
            StackError: it ended first, or was not ready in time and was stopped.
        """
        self.report_state(PartState.STARTING)
        try:
            self.child = await launch(self.part, self._inherited_fds)
        except OSError as fault:
            raise part_error(self.part, f"cannot be started: {fault.strerror}") from fault
        progress = StartProgress(self.child.pid, self.part.log, self.part.start_timeout_seconds)
        if not await self._is_ready_in_time(self.child, progress):
            await stop(self.child, self.part)
            raise part_error(self.part, "was not ready in time")
        if self.part.niceness:
            lower_priority(self.child.pid, self.part.niceness)
        self.report_state(PartState.READY, progress.seconds)

    async def run(self) -> StackError:
        """Restart the program whenever it ends; returns the error when it has died too often."""
        deaths: list[float] = []
        while True:
            reason = await self._ended()
            deaths.append(time.monotonic())
            delay = restart_delay(deaths, deaths[-1])
            if delay is None:
                self.report_state(PartState.LOST, detail=reason)
                return part_error(self.part, f"died again and again ({reason})")
            self.report_state(PartState.DIED, detail=f"{reason}; restarting in {delay:g} s")
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
        self.report_state(PartState.STOPPING)
        await stop(self.child, self.part)
        self.report_state(PartState.STOPPED, time.monotonic() - began)

    def report_state(self, state: PartState, seconds: float = 0.0, detail: str = "") -> None:
        """Report the state of this part."""
        self._report(PartStatus(self.part.name, state, seconds, detail))

    async def _is_ready_in_time(self, child: PartProcess, progress: StartProgress) -> bool:
        """Whether the part became ready; one that makes progress gets more time, reported once."""
        is_reported = False
        while child.returncode is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(READINESS_TIMEOUT_SECONDS):
                    if await self.part.is_ready(progress.seconds):
                        return True
            if progress.is_stuck() or progress.seconds > self.part.start_limit_seconds:
                return False
            if progress.is_late and not is_reported:
                is_reported = True
                limit = self.part.start_limit_seconds
                self.report_state(
                    PartState.STARTING,
                    progress.seconds,
                    f"it is still at work and has up to {limit:g} s; {self.part.log}",
                )
            await asyncio.sleep(READINESS_POLL_SECONDS)
        raise part_error(self.part, f"did not start ({await self._ended()})")

    async def _ended(self) -> str:
        """How the program ended, in words; its child processes have ended then, too."""
        if self.child is None:
            return "never started"
        return describe_exit(await self.child.ended())


class Supervisor:
    """All parts. `failure` is set once a part is given up; the owner then stops the others."""

    def __init__(
        self, report: StatusListener = ignore_status, *, inherited_fds: tuple[int, ...] = ()
    ) -> None:
        self.failure: StackError | None = None
        self.report = report
        self.inherited_fds = inherited_fds
        self._stages: list[list[SupervisedPart]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._listeners: list[Callable[[], None]] = []

    def on_failure(self, listener: Callable[[], None]) -> None:
        """Call the listener when a part is given up."""
        self._listeners.append(listener)

    async def start(self, *parts: Part) -> None:
        """Start these parts at the same time, as one stage, and wait until all are ready.

        Raises:
            StackError: one of them did not become ready. The others may run: call `stop`.
        """
        stage = [SupervisedPart(part, self.report, self.inherited_fds) for part in parts]
        self._stages.append(stage)
        await run_together(*(supervised.start() for supervised in stage))
        self._tasks += [asyncio.create_task(self._run(supervised)) for supervised in stage]

    async def stop(self) -> None:
        """Stop the stages, the last one first; no process is left when this returns."""
        await cancel_until_ended(*self._tasks)
        for stage in reversed(self._stages):
            await asyncio.gather(*(supervised.stop() for supervised in stage))
        self._stages.clear()
        self._tasks.clear()

    def running(self) -> dict[str, SupervisedPart]:
        """The parts by name."""
        return {supervised.part.name: supervised for stage in self._stages for supervised in stage}

    async def _run(self, supervised: SupervisedPart) -> None:
        self.failure = await supervised.run()
        for listener in self._listeners:
            listener()


async def run_together(*work: Coroutine[object, object, object]) -> None:
    """Run the coroutines concurrently; the first error cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None

"""One flow run in this worker, from its claim to its last state."""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Abort, ObjectNotFound
from prefect.flow_engine import run_flow
from prefect.logging.loggers import flow_run_logger

from anime.core.work_queues import WorkQueue
from anime.worker.flow_loader import load_flow, loaded
from anime.worker.loop_thread import LoopThread, LoopThreadLost
from anime.worker.prefect_internals import run_cancellation_hooks
from anime.worker.run_control import (
    EndReason,
    RunControl,
    RunEnded,
    control_of_this_run,
    crash,
    hand_back,
    settle_cancelled,
)

SHUTDOWN_SECONDS = 12.0  # a flow's own: ComfyUI is told, rows are written
INTERRUPT_SECONDS = 3.0  # what is left of a run that does not hear is interrupted, then left
LAST_SECONDS = SHUTDOWN_SECONDS + INTERRUPT_SECONDS + 2.0
OVERDUE_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass
class LiveRun:
    """A run that is being claimed, runs, or is being ended."""

    flow_run: FlowRun
    loop_thread: LoopThread
    queue: WorkQueue
    control: RunControl = field(init=False)
    flow: Flow[..., Any] | None = None  # any flow
    is_claimed: bool = False
    _began_at: float = field(default_factory=time.monotonic)
    _pressing: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.control = RunControl(self.flow_run.id)

    @property
    def name(self) -> str:
        """The run, as logs call it."""
        return f"{self.flow_run.name} ({self.flow_run.id})"

    @property
    def is_overdue(self) -> bool:
        """Whether the flow's own time-out should have ended it."""
        limit = self.flow.timeout_seconds if self.flow else None
        return limit is not None and self.seconds > limit + OVERDUE_SECONDS

    @property
    def seconds(self) -> float:
        """For how long the flow has been at work."""
        return time.monotonic() - self._began_at

    async def serve(self, entrypoint: str | None, client: PrefectClient) -> None:
        """Run the flow in the lane, and see that the run's last state says what happened."""
        self.is_claimed = True
        error: BaseException | None = None
        try:
            await self.loop_thread.run(partial(self._work, entrypoint))
        except BaseException as fault:  # noqa: BLE001  whatever a flow raises ends here
            error = fault
        try:
            await self._settle(client, error)
        except ObjectNotFound:
            _log.info("Run %s was deleted while it ran", self.name)

    def end(self, ending: EndReason) -> None:
        """Ask the run to end, and insist. The first reason counts."""
        if self.control.ending is None:
            self.control.ending = ending
            self._pressing = asyncio.create_task(self._press())

    def leave_thread(self) -> None:
        """Insist no longer: the lane is the next run's now."""
        if self._pressing is not None:
            self._pressing.cancel()

    async def _press(self) -> None:
        self.loop_thread.cancel()
        await asyncio.sleep(SHUTDOWN_SECONDS)
        _log.warning(
            "Run %s does not end. It is interrupted at\n%s", self.name, self.loop_thread.stack()
        )
        self.loop_thread.interrupt(RunEnded)
        await asyncio.sleep(INTERRUPT_SECONDS)
        _log.error(
            "Run %s cannot be interrupted. It is left at\n%s", self.name, self.loop_thread.stack()
        )
        self.loop_thread.abandon("The run hangs in a call that cannot be interrupted.")

    async def _work(self, entrypoint: str | None) -> None:
        """The run's life within its lane."""
        control_of_this_run.set(self.control)
        flow = loaded(entrypoint)
        if flow is None:
            flow = await asyncio.to_thread(load_flow, entrypoint)
        self.flow = flow
        if self.control.ending is not None:
            return
        self._began_at = time.monotonic()
        run = partial(run_flow, flow, flow_run=self.flow_run, return_type="state")
        outcome: object = run() if flow.isasync else await self.loop_thread.in_thread(run)
        if isinstance(outcome, Awaitable):
            await outcome

    async def _settle(self, client: PrefectClient, error: BaseException | None) -> None:
        """Give the run the state that its engine did not, if it did not."""
        if error is None and self.control.ending is None:
            return
        run = await client.read_flow_run(self.flow_run.id)
        if run.state is None or run.state.is_final() or run.state.is_scheduled():
            return
        if self.control.ending is EndReason.HANDED_BACK and not run.state.is_cancelling():
            await hand_back(client, run, "Its worker stopped; another one goes on.")
        elif self.control.ending is not None or run.state.is_cancelling():
            await self._clean_up(run)
            await settle_cancelled(client, run)
        elif not isinstance(error, Abort):
            flow_run_logger(run).error("The run came to no end of its own", exc_info=error)
            await crash(client, run, _reason(error))

    async def _clean_up(self, run: FlowRun) -> None:
        """Do what the flow wants done on cancellation, when no engine of it is left."""
        if self.flow is None or run.state is None:
            return
        if not self.loop_thread.is_usable:  # the run was left in it
            self.loop_thread = LoopThread(self.loop_thread.number)
        try:
            await self.loop_thread.run(partial(run_cancellation_hooks, self.flow, run, run.state))
        except (LoopThreadLost, RunEnded):
            _log.error("The cancellation hooks of run %s came to no end", self.name)


def _reason(error: BaseException | None) -> str:
    match error:
        case LoopThreadLost():
            return str(error)
        case None | RunEnded():
            return "The run was interrupted."
    # Prefect wraps what an entrypoint raises when imported: the cause is what helps.
    cause = error.__cause__ or error
    line = traceback.format_exception_only(cause)[-1].strip()
    return line if cause is error else f"{error} {line}"

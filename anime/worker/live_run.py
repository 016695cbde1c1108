"""One flow run in this worker, from its claim to its last state."""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Abort, ObjectNotFound, Pause
from prefect.flow_engine import run_flow
from prefect.logging.loggers import flow_run_logger

from anime.core.work_queues import WorkQueue
from anime.net.prefect_api import is_outage
from anime.net.saved_blocks import tell_saved_types
from anime.retry_policies import RECORD
from anime.worker.flow_loader import load_flow, loaded_flow
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
    times_handed_back,
)

SHUTDOWN_SECONDS = 12.0  # for the flow's own clean-up: cancelling at ComfyUI, writing rows
INTERRUPT_SECONDS = 3.0  # for a run that ignores its cancellation: interrupted, then abandoned
MAX_END_SECONDS = SHUTDOWN_SECONDS + INTERRUPT_SECONDS + 2.0
OVERDUE_SECONDS = 5.0
PREFECT_FAILED = "Prefect's server failed; the run goes on."

_log = logging.getLogger(__name__)


@dataclass
class LiveRun:
    """A run that is being claimed, is running, or is being ended."""

    flow_run: FlowRun
    loop_thread: LoopThread
    queue: WorkQueue
    control: RunControl = field(init=False)
    flow: Flow[..., Any] | None = None  # any flow
    is_claimed: bool = False
    saved_block_types: frozenset[str] | None = None
    _started_at: float = field(default_factory=time.monotonic)
    _escalation: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.control = RunControl(self.flow_run.id)

    @property
    def name(self) -> str:
        """Name and id, as log lines show the run."""
        return f"{self.flow_run.name} ({self.flow_run.id})"

    @property
    def is_overdue(self) -> bool:
        """Whether the run should have been ended by the flow's own time-out."""
        limit = self.flow.timeout_seconds if self.flow else None
        return limit is not None and self.seconds > limit + OVERDUE_SECONDS

    @property
    def seconds(self) -> float:
        """Seconds since the flow was started."""
        return time.monotonic() - self._started_at

    async def execute(self, entrypoint: str | None, client: PrefectClient) -> None:
        """Run the flow in its thread, and make sure that the run gets a final state."""
        self.is_claimed = True
        error: BaseException | None = None
        try:
            await self.loop_thread.run(partial(self._run_in_loop, entrypoint))
        except BaseException as fault:  # noqa: BLE001  whatever a flow raises ends here
            error = fault
        try:
            await self._settle(client, error)
        except ObjectNotFound:
            _log.info("Run %s was deleted while it ran", self.name)

    def end(self, end_reason: EndReason) -> None:
        """Ask the run to end, and force it if it does not. The first reason counts."""
        if self.control.end_reason is None:
            self.control.end_reason = end_reason
            self._escalation = asyncio.create_task(self._escalate())

    def stop_escalation(self) -> None:
        """Force nothing any more: the thread may be given to the next run now."""
        if self._escalation is not None:
            self._escalation.cancel()

    async def _escalate(self) -> None:
        self.loop_thread.cancel()
        await self._force()

    async def _force(self) -> None:
        await asyncio.sleep(SHUTDOWN_SECONDS)
        _log.warning(
            "Run %s does not end. It is interrupted at\n%s", self.name, self.loop_thread.stack()
        )
        self.loop_thread.interrupt(RunEnded)
        await asyncio.sleep(INTERRUPT_SECONDS)
        _log.error(
            "Run %s cannot be interrupted. It is abandoned at\n%s",
            self.name,
            self.loop_thread.stack(),
        )
        self.loop_thread.abandon("The run hangs in a call that cannot be interrupted.")

    async def _run_in_loop(self, entrypoint: str | None) -> None:
        """Load and run the flow; called in its event-loop thread."""
        control_of_this_run.set(self.control)
        if self.saved_block_types is not None:
            tell_saved_types(self.saved_block_types)
        flow = loaded_flow(entrypoint)
        if flow is None:
            flow = await asyncio.to_thread(load_flow, entrypoint)
        self.flow = flow
        if self.control.end_reason is not None:
            return
        self._started_at = time.monotonic()
        run = partial(run_flow, flow, flow_run=self.flow_run, return_type="state")
        outcome: object = run() if flow.isasync else await self.loop_thread.in_thread(run)
        if isinstance(outcome, Awaitable):
            await outcome

    async def _settle(self, client: PrefectClient, error: BaseException | None) -> None:
        """Set the run's final state if its engine has not."""
        if error is None and self.control.end_reason is None:
            return
        run = await client.read_flow_run(self.flow_run.id)
        if run.state is None or run.state.is_final() or run.state.is_scheduled():
            return
        if self.control.end_reason is EndReason.HANDED_BACK and not run.state.is_cancelling():
            await hand_back(client, run, "Its worker stopped; another one goes on.")
        elif self.control.end_reason is not None or run.state.is_cancelling():
            await self._run_cancellation_hooks(run)
            await settle_cancelled(client, run)
        elif is_outage(error) and (seconds := await self._pause_seconds(client)) is not None:
            _log.warning("Run %s goes on in %g s: %s", self.name, seconds, error)
            await hand_back(client, run, PREFECT_FAILED, after_seconds=seconds)
        elif not isinstance(error, Abort | Pause):  # a suspended run goes on when it is resumed
            flow_run_logger(run).error("The run did not end by itself", exc_info=error)
            await crash(client, run, _reason(error))

    async def _pause_seconds(self, client: PrefectClient) -> float | None:
        """How long a run waits that Prefect failed; None if that was so too often.

        Twice is harmless: nothing of it has begun, or it finds what it has done, as after the death
        of its worker.
        """
        before = await times_handed_back(client, self.flow_run.id, PREFECT_FAILED)
        return next(islice(RECORD.delays(), before, None), None)

    async def _run_cancellation_hooks(self, run: FlowRun) -> None:
        """Run the flow's hooks for cancellation when none of its engines is left to do so."""
        if self.flow is None or run.state is None:
            return
        if not self.loop_thread.is_usable:  # the run was abandoned there
            self.loop_thread = LoopThread(self.loop_thread.number)
        if self._escalation is None or self._escalation.done():  # else they have what is left of it
            self._escalation = asyncio.create_task(self._force())
        try:
            await self.loop_thread.run(partial(run_cancellation_hooks, self.flow, run, run.state))
        except (LoopThreadLost, RunEnded):
            _log.error("The cancellation hooks of run %s did not end", self.name)


def _reason(error: BaseException | None) -> str:
    match error:
        case LoopThreadLost():
            return str(error)
        case None | RunEnded():
            return "The run was interrupted."
    # Prefect wraps what an entrypoint raises when imported: its cause is what helps.
    cause = error.__cause__ or error
    line = traceback.format_exception_only(cause)[-1].strip()
    return line if cause is error else f"{error} {line}"

"""How a run is asked to end, and the states that a worker gives to runs itself."""

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy
from prefect.states import AwaitingRetry, Cancelled, Crashed


class EndReason(StrEnum):
    """Why a run is ended before its work is done."""

    CANCELLED = "cancelled"  # nobody wants it any more: its hooks run
    HANDED_BACK = "handed back"  # this worker stops, or nobody has the run: another one goes on


class RunEnded(BaseException):
    """Raised in a thread that no cancelled task can reach: a sync flow, or a blocked loop.

    Not an `Exception`, so that a flow's own error handling does not catch it.
    """


@dataclass(slots=True)
class BegunRun:
    """What the server and this worker have told each other of a run that begins.

    `saved` is the answer to what the engine would save; `flow_run` is up to date until it is asked
    for.
    """

    saved: httpx.Response
    flow_run: FlowRun | None


@dataclass(slots=True)
class RunControl:
    """Whether and why a run is to end; set in the worker's thread, read in the run's."""

    run_id: UUID
    end_reason: EndReason | None = None
    told: BegunRun | None = None


# Inherited by tasks and threads of the run and by the flows that it calls.
control_of_this_run: ContextVar[RunControl | None] = ContextVar("anime-warm-run", default=None)


async def hand_back(
    client: PrefectClient, run: FlowRun, why: str, *, after_seconds: float = 0.0
) -> None:
    """Put the run back into its queue, for the next worker that is free by then."""
    if run.empirical_policy.retry_type == "in_process":  # else it would wait for its old process
        policy = FlowRunPolicy(**run.empirical_policy.model_dump() | {"retry_type": "reschedule"})
        await client.update_flow_run(run.id, empirical_policy=policy)
    then = datetime.now(UTC) + timedelta(seconds=after_seconds)
    await client.set_flow_run_state(
        run.id, AwaitingRetry(scheduled_time=then, message=why), force=True
    )


async def times_handed_back(client: PrefectClient, run_id: UUID, why: str) -> int:
    """How often the run was put back into its queue for that reason."""
    states = await client.read_flow_run_states(run_id)
    return sum(state.message == why for state in states)


async def crash(client: PrefectClient, run: FlowRun, why: str) -> None:
    """Set the run to Crashed, with the reason."""
    await client.set_flow_run_state(run.id, Crashed(message=why), force=True)


async def settle_cancelled(client: PrefectClient, run: FlowRun) -> None:
    """Set the run to Cancelled."""
    await client.set_flow_run_state(
        run.id, Cancelled(message="Flow run was cancelled."), force=True
    )

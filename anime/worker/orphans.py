"""Runs whose worker died without a word: found, and put back into their queue."""

import logging
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from anime.worker.process_identity import ProcessIdentity
from anime.worker.run_control import crash, hand_back

UNCLAIMED_SECONDS = 120.0  # pending without an owner for so long: its worker died in between
MAX_STARTS = 3  # a run that has been with so many dead workers is what kills them
_UNDER_WAY = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)

_log = logging.getLogger(__name__)


class OrphanDecision(StrEnum):
    """What is to become of a run that is under way on the server."""

    LEFT_ALONE = "left alone"  # somebody is at work on it, or may be
    GIVEN_ANEW = "given anew"
    GIVEN_UP = "given up"
    CANCELLED = "cancelled"  # nobody is left to confirm it


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of a run that this worker does not have."""

    state: StateType
    seconds_in_state: float
    is_owned: bool  # by a warm worker
    owner_is_gone: bool
    starts: int


def decide(run: Observation) -> OrphanDecision:
    """What is to become of it.

    >>> decide(Observation(StateType.RUNNING, 9.0, is_owned=True, owner_is_gone=True, starts=1))
    <OrphanDecision.GIVEN_ANEW: 'given anew'>
    >>> decide(Observation(StateType.RUNNING, 9.0, is_owned=False, owner_is_gone=False, starts=1))
    <OrphanDecision.LEFT_ALONE: 'left alone'>
    """
    is_unclaimed = (
        not run.is_owned
        and run.state in {StateType.PENDING, StateType.CANCELLING}
        and run.seconds_in_state > UNCLAIMED_SECONDS
    )
    if not run.owner_is_gone and not is_unclaimed:
        return OrphanDecision.LEFT_ALONE
    if run.state is StateType.CANCELLING:
        return OrphanDecision.CANCELLED
    return OrphanDecision.GIVEN_UP if run.starts >= MAX_STARTS else OrphanDecision.GIVEN_ANEW


async def rescue(
    client: PrefectClient, pool: str, mine: Container[UUID], me: ProcessIdentity, home: Path
) -> list[FlowRun]:
    """Give runs of dead workers anew; returns those whose cancellation is left to settle.

    Only workers with the same data folder are seen to be dead.
    """
    to_cancel: list[FlowRun] = []
    for run in await _under_way(client, pool):
        fate = OrphanDecision.LEFT_ALONE if run.id in mine else decide(_seen(run, me, home))
        if fate is OrphanDecision.LEFT_ALONE or not await _is_unchanged(client, run):
            continue
        _log.warning("Run %s (%s) has lost its worker: %s", run.name, run.id, fate)
        if fate is OrphanDecision.CANCELLED:
            to_cancel.append(run)
            continue
        await _end_called_flows(client, run)
        if fate is OrphanDecision.GIVEN_UP:
            await crash(client, run, f"Its worker died {run.run_count} times while it ran.")
        else:
            await hand_back(client, run, "Its worker died; another one goes on.")
    return to_cancel


async def _under_way(client: PrefectClient, pool: str) -> Sequence[FlowRun]:
    return await client.read_flow_runs(
        flow_run_filter=_in_states(_UNDER_WAY),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )


def _seen(run: FlowRun, me: ProcessIdentity, home: Path) -> Observation:
    owner = ProcessIdentity.parse(run.infrastructure_pid)
    state = run.state
    age = datetime.now(UTC) - state.timestamp if state else timedelta()
    return Observation(
        state=state.type if state else StateType.SCHEDULED,
        seconds_in_state=age.total_seconds(),
        is_owned=run.infrastructure_pid is not None,
        # One of my own that I do not have: I was replaced within this process.
        owner_is_gone=owner is not None and (owner == me or owner.is_gone(home)),
        starts=run.run_count,
    )


async def _is_unchanged(client: PrefectClient, run: FlowRun) -> bool:
    """Whether nobody else has just taken it up, or deleted it."""
    try:
        fresh = await client.read_flow_run(run.id)
    except ObjectNotFound:
        return False
    return (fresh.state_id, fresh.infrastructure_pid) == (run.state_id, run.infrastructure_pid)


async def _end_called_flows(client: PrefectClient, run: FlowRun) -> None:
    """Flows that the run had called died with it; the run calls them anew."""
    called = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_UNDER_WAY))),
        )
    )
    for child in called:
        await crash(client, child, "The worker of the run that called it died.")


def _in_states(types: Iterable[StateType]) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))))

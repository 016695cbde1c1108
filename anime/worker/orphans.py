"""Runs whose worker has died: found, and put back into their queue."""

import logging
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from anime.worker.process_identity import ProcessIdentity
from anime.worker.run_control import crash, hand_back, times_handed_back

UNCLAIMED_SECONDS = 120.0  # pending without an owner for so long: its worker died while claiming it
MAX_DEATHS = 3  # a run with which so many workers have died has probably killed them
WORKER_DIED = "Its worker died; another one goes on."
_UNDER_WAY = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)

_log = logging.getLogger(__name__)


class OrphanDecision(StrEnum):
    """What is to become of a run that is under way on the server."""

    LEFT_ALONE = "left alone"  # a worker has it, or may have it
    HANDED_BACK = "handed back"
    CRASHED = "crashed"
    CANCELLED = "cancelled"  # no worker is left to confirm it


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of a run that is not in this worker."""

    state: StateType
    seconds_in_state: float
    is_owned: bool  # by a warm worker
    owner_is_gone: bool
    deaths: int  # of workers that had it; at most, as it may have begun anew for other reasons


def decide(run: Observation) -> OrphanDecision:
    """What is to become of it.

    >>> decide(Observation(StateType.RUNNING, 9.0, is_owned=True, owner_is_gone=True, deaths=1))
    <OrphanDecision.HANDED_BACK: 'handed back'>
    >>> decide(Observation(StateType.RUNNING, 9.0, is_owned=False, owner_is_gone=False, deaths=0))
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
    return OrphanDecision.CRASHED if run.deaths >= MAX_DEATHS else OrphanDecision.HANDED_BACK


async def rescue(
    client: PrefectClient,
    pool: str,
    own_runs: Container[UUID],
    identity: ProcessIdentity,
    home: Path,
) -> list[FlowRun]:
    """Hand back the runs of dead workers; returns those whose cancellation is still to be settled.

    Only workers with the same data folder can be seen to be dead.
    """
    cancelled: list[FlowRun] = []
    for run in await _under_way(client, pool):
        if run.id in own_runs:
            continue
        seen = _observe(run, identity, home)
        decision = decide(seen)
        if decision is OrphanDecision.CRASHED:  # unless some have stopped, or Prefect has failed
            deaths = 1 + await times_handed_back(client, run.id, WORKER_DIED)
            seen = replace(seen, deaths=deaths)
            decision = decide(seen)
        if decision is OrphanDecision.LEFT_ALONE or not await _is_unchanged(client, run):
            continue
        _log.warning("Run %s (%s) has lost its worker: %s", run.name, run.id, decision)
        if decision is OrphanDecision.CANCELLED:
            cancelled.append(run)
            continue
        if decision is OrphanDecision.CRASHED:
            await crash(client, run, f"Its worker died {seen.deaths} times while it ran.")
        else:
            await hand_back(client, run, WORKER_DIED)
    return cancelled


async def _under_way(client: PrefectClient, pool: str) -> Sequence[FlowRun]:
    return await client.read_flow_runs(
        flow_run_filter=_in_states(_UNDER_WAY),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )


def _observe(run: FlowRun, identity: ProcessIdentity, home: Path) -> Observation:
    owner = ProcessIdentity.parse(run.infrastructure_pid)
    state = run.state
    age = datetime.now(UTC) - state.timestamp if state else timedelta()
    return Observation(
        state=state.type if state else StateType.SCHEDULED,
        seconds_in_state=age.total_seconds(),
        is_owned=run.infrastructure_pid is not None,
        # Its owner is this process, but another worker in it, which was replaced.
        owner_is_gone=owner is not None and (owner == identity or owner.is_gone(home)),
        deaths=run.run_count,
    )


async def _is_unchanged(client: PrefectClient, run: FlowRun) -> bool:
    """Whether no other worker has just taken it or handed it back, and nobody has deleted it."""
    try:
        current = await client.read_flow_run(run.id)
    except ObjectNotFound:
        return False
    return (current.state_id, current.infrastructure_pid) == (run.state_id, run.infrastructure_pid)


def _in_states(types: Iterable[StateType]) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))))

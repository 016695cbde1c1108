"""The states that a worker gives to runs itself, as no engine of theirs is left to."""

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy
from prefect.states import AwaitingRetry, Cancelled, Crashed


async def hand_back(client: PrefectClient, run: FlowRun, why: str) -> None:
    """Put the run back into its queue, to be taken up at once by whoever is free."""
    if run.empirical_policy.retry_type == "in_process":  # it would wait for its old process
        policy = FlowRunPolicy(**run.empirical_policy.model_dump() | {"retry_type": "reschedule"})
        await client.update_flow_run(run.id, empirical_policy=policy)
    await client.set_flow_run_state(run.id, AwaitingRetry(message=why), force=True)


async def crash(client: PrefectClient, run: FlowRun, why: str) -> None:
    """Say that the run is over, and why."""
    await client.set_flow_run_state(run.id, Crashed(message=why), force=True)


async def settle_cancelled(client: PrefectClient, run: FlowRun) -> None:
    """Say that the cancellation is done."""
    await client.set_flow_run_state(
        run.id, Cancelled(message="Flow run was cancelled."), force=True
    )

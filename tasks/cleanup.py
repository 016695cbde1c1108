"""Removing what is old: Prefect's runs, through its API, and lapsed rows of ours."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from anime.db.repositories import DeliveryRepository, SentPromptRepository, SlotRepository
from anime.db.session import Database
from tasks.retries import SHORT_TASK_DELAYS

# Our flows and their entrypoints, as in prefect.yaml; a studio may have more deployments of them.
OUR_FLOWS = {
    "backup": "flows.backup.backup",
    "backup-drill": "flows.backup_drill.backup_drill",
    "batch": "flows.batch.batch",
    "cleanup": "flows.cleanup.cleanup",
    "contact_sheet": "flows.contact_sheet.contact_sheet",
    "generate": "flows.generate.generate",
    "monitor": "flows.monitor.monitor",
    "import-workflow": "flows.import_workflow.import_workflow",
    "render_shots": "flows.render_shots.render_shots",
    "retention": "flows.retention.retention",
    "review": "flows.review.review",
    "sweep": "flows.sweep.sweep",
}
_PAGE_SIZE = 50  # runs; a server busy with renders must not be held up for long
_MAX_PAGES = 1_000  # in one night; the next night goes on
_LAPSED_SECONDS = 3600.0
_SETTLED_SECONDS = 7 * 86400.0


# Twice is harmless: what is gone is not found again.
@task(
    name="prune runs",
    cache_policy=NO_CACHE,
    retries=len(SHORT_TASK_DELAYS),
    retry_delay_seconds=SHORT_TASK_DELAYS,
)
async def prune_runs(ended_before: datetime) -> dict[str, int]:
    """How many runs and artifacts were removed, of runs that ended before that time.

    Only runs of our deployments and the runs they called: other teams may use the server, too.
    """
    removed = Counter(runs=0, artifacts=0)
    async with get_client() as client:
        ours = await _our_deployments(client)
        for _ in range(_MAX_PAGES if ours else 0):
            ended = _ended(ours, ended_before)
            runs = await client.read_flow_runs(flow_run_filter=ended, limit=_PAGE_SIZE)
            if not runs:
                break
            await _remove(client, [run.id for run in runs], removed)
    get_run_logger().info("Removed %(runs)d runs and %(artifacts)d artifacts", removed)
    return dict(removed)


# Twice is harmless: what is gone is not found again.
@task(
    name="prune slots",
    cache_policy=NO_CACHE,
    retries=len(SHORT_TASK_DELAYS),
    retry_delay_seconds=SHORT_TASK_DELAYS,
)
async def prune_slots(database: Database) -> int:
    """How many slots at ComfyUI were removed whose runs died long ago."""
    async with database.session_scope() as session:
        return await SlotRepository(session).prune(older_than_seconds=_LAPSED_SECONDS)


# Twice is harmless: what is gone is not found again.
@task(
    name="prune sent prompts",
    cache_policy=NO_CACHE,
    retries=len(SHORT_TASK_DELAYS),
    retry_delay_seconds=SHORT_TASK_DELAYS,
)
async def prune_sent_prompts(database: Database) -> int:
    """How many rows were removed of prompts that left their servers long ago."""
    async with database.session_scope() as session:
        return await SentPromptRepository(session).prune(older_than_seconds=_SETTLED_SECONDS)


# Twice is harmless: what is gone is not found again.
@task(
    name="prune webhooks",
    cache_policy=NO_CACHE,
    retries=len(SHORT_TASK_DELAYS),
    retry_delay_seconds=SHORT_TASK_DELAYS,
)
async def prune_deliveries(database: Database, older_than: timedelta) -> int:
    """How many rows of webhooks were removed that ended so long ago."""
    async with database.session_scope() as session:
        return await DeliveryRepository(session).prune(older_than=older_than)


async def _our_deployments(client: PrefectClient) -> list[UUID]:
    named = FlowFilter(name=FlowFilterName(any_=list(OUR_FLOWS)))
    found = await client.read_deployments(flow_filter=named)
    return [each.id for each in found if each.entrypoint in OUR_FLOWS.values()]


def _ended(deployments: list[UUID], before: datetime) -> FlowRunFilter:
    return FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=deployments),
        end_time=FlowRunFilterEndTime(before_=before),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TERMINAL_STATES))),
    )


async def _remove(client: PrefectClient, run_ids: list[UUID], removed: "Counter[str]") -> None:
    """Remove the runs, the runs they called first: a later try finds what is left by its parent.

    Prefect removes a run's task runs with it, and its logs soon after. It removes neither the runs
    that it called nor its artifacts.
    """
    called = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=run_ids))
    while children := await client.read_flow_runs(flow_run_filter=called, limit=_PAGE_SIZE):
        await _remove(client, [child.id for child in children], removed)
    removed["artifacts"] += await _remove_artifacts(client, run_ids)
    removed["runs"] += await _remove_runs(client, run_ids)


async def _remove_artifacts(client: PrefectClient, run_ids: Sequence[UUID]) -> int:
    removed = 0
    of_runs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=list(run_ids)))
    while artifacts := await client.read_artifacts(artifact_filter=of_runs, limit=_PAGE_SIZE):
        for artifact in artifacts:
            with suppress(ObjectNotFound):  # somebody was faster
                await client.delete_artifact(artifact.id)
                removed += 1
    return removed


async def _remove_runs(client: PrefectClient, run_ids: Sequence[UUID]) -> int:
    removed = 0
    for run_id in run_ids:
        with suppress(ObjectNotFound):  # somebody was faster
            await client.delete_flow_run(run_id)
            removed += 1
    return removed

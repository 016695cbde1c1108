"""Keeping Prefect's tables small. Jobs and files of ours are never touched."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from prefect import flow
from pydantic import Field

from anime.runs.connections import open_connections
from anime.settings import get_settings
from tasks.cleanup import prune_deliveries, prune_runs, prune_sent_prompts, prune_slots


@flow(name="cleanup")
async def cleanup(keep_days: Annotated[float, Field(ge=0)] | None = None) -> dict[str, int]:
    """Remove old runs with their logs and artifacts, lapsed slots at ComfyUI and old webhooks.

    Args:
        keep_days: How many days a run is kept after its end; ANIME_KEEP_RUNS_DAYS if unset.
    """
    settings = get_settings()
    days = settings.keep_runs_days if keep_days is None else keep_days
    removed = await prune_runs(datetime.now(UTC) - timedelta(days=days))
    async with open_connections() as connections:
        removed["slots"] = await prune_slots(connections.database)
        removed["sent prompts"] = await prune_sent_prompts(connections.database)
        removed["deliveries"] = await prune_deliveries(
            connections.database, timedelta(days=settings.keep_webhooks_days)
        )
    return removed

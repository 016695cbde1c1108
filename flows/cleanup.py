"""Keeping Prefect's tables small. Jobs and files of ours are never touched."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from prefect import flow
from pydantic import Field

from anime.settings import get_settings
from flows.house import open_house
from tasks.upkeep import prune_places, prune_runs


@flow(name="cleanup")
async def cleanup(keep_days: Annotated[float, Field(ge=0)] | None = None) -> dict[str, int]:
    """Remove old runs with their logs and artifacts, and lapsed places at ComfyUI.

    Args:
        keep_days: Days since a run's end for which it is kept; ANIME_KEEP_RUNS_DAYS if unset.
    """
    days = get_settings().keep_runs_days if keep_days is None else keep_days
    removed = await prune_runs(datetime.now(UTC) - timedelta(days=days))
    async with open_house() as house:
        removed["places"] = await prune_places(house.database)
    return removed

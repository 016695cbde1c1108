"""Removing old thumbnails, quarantined files and rejected takes, after the days of the settings."""

from datetime import datetime

from prefect import flow

from anime.assets.retention import Retention
from anime.core.retention import RetentionReport
from anime.runs.connections import open_connections
from anime.settings import get_settings
from tasks.artifacts import show_retention
from tasks.retention import archive_takes, run_retention


@flow(name="retention")
async def retention(*, dry_run: bool = False) -> RetentionReport:
    """Apply the retention that ANIME_KEEP_…_DAYS set; does nothing while none of them is set.

    Args:
        dry_run: Only show what would be done.
    """
    report = RetentionReport(is_dry_run=dry_run)
    if Retention.from_settings(get_settings()).keep.is_off:
        return report
    async with open_connections() as connections:
        plan = Retention.from_settings(get_settings(), connections.library.root)
        now = datetime.now(connections.blocks.library.zone)
        report = await run_retention(plan, report, now)
        report = await archive_takes(plan, report, now, database=connections.database)
    await show_retention(report)
    return report

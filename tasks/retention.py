"""Retention: what is old in the library is removed or archived."""

from datetime import datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from anime.assets.retention import Retention
from anime.core.retention import RetentionReport
from anime.db.session import Database
from tasks.retries import SHORT_TASK_DELAYS, worth_retrying


# Twice is harmless: what is gone is not found again, and what was announced keeps its day.
@task(name="apply retention", cache_policy=NO_CACHE)
async def run_retention(
    retention: Retention, report: RetentionReport, now: datetime
) -> RetentionReport:
    """The report, with what was done with thumbnails and quarantine."""
    await retention.thumbnails(report, now)
    await retention.quarantine(report, now)
    return report


# Twice is harmless: each step finds what is done, see anime/assets/archive.py.
@task(
    name="archive rejected takes",
    cache_policy=NO_CACHE,
    retries=len(SHORT_TASK_DELAYS),
    retry_delay_seconds=SHORT_TASK_DELAYS,
    retry_condition_fn=worth_retrying,
)
async def archive_takes(
    retention: Retention, report: RetentionReport, now: datetime, *, database: Database
) -> RetentionReport:
    """The report, with what was done with rejected takes."""
    updated = report.model_copy(deep=True)  # a retry begins with what the first try was given
    await retention.takes(updated, now, database)
    return updated

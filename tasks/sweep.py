"""Sweeping a folder into the library, and showing the result in Prefect."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import runtime, task
from prefect.artifacts import acreate_image_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from anime.assets.importer.report import SweepReport
from anime.assets.importer.run import SweepRequest, sweep_folder
from anime.assets.store import AssetStore
from anime.assets.thumbnails import draw_thumbnail
from anime.core.paths import thumbnail_path
from anime.core.sweep_plan import ImportOutcome
from anime.db.repositories import FileRepository
from anime.db.session import Database
from anime.errors import UnusableFile
from anime.schemas import FileRecord
from tasks.artifacts import ProgressBar, shown_at
from tasks.retries import TASK_DELAYS, best_effort, worth_retrying

INTERVAL = timedelta(minutes=15)  # of the schedule in prefect.yaml
_ROWS = 200  # of the table
_PICTURES = 60  # on the contact sheet


def is_late(interval: timedelta = INTERVAL) -> bool:
    """Whether this run was due so long ago that the next one is due, too.

    After a night without a worker one run is enough. Runs that people start are never late.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or not run.auto_scheduled or run.expected_start_time is None:
        return False
    return datetime.now(UTC) - run.expected_start_time > interval


# Twice is harmless: what is in the library already is skipped, the rest is imported.
@task(
    name="sweep folder",
    cache_policy=NO_CACHE,
    retries=len(TASK_DELAYS),
    retry_delay_seconds=TASK_DELAYS,
    retry_condition_fn=worth_retrying,
)
async def sweep_into_library(
    request: SweepRequest, database: Database, library: AssetStore
) -> SweepReport:
    """What was found and done; nothing, as it says, if another sweep is under way.

    Raises:
        ConfigurationError: the folder cannot be read.
        StorageError: the library cannot take a file; those imported before stay.
        DatabaseUnavailable: PostgreSQL went away.
    """

    async def report_progress(done: int, total: int) -> None:
        bar.move(100 * done // max(total, 1))

    async with ProgressBar(_run_id(), "Files swept") as bar:
        report = await sweep_folder(request, database, library, watch=report_progress)
    if not report.is_another_running:
        get_run_logger().info(report.summary)
    return report


# Twice is harmless: it reads, and a thumbnail replaces itself.
@task(name="read new pictures", cache_policy=NO_CACHE)
@best_effort(takes_long=True)
async def new_pictures(
    report: SweepReport, database: Database, library: AssetStore
) -> list[tuple[str, FileRecord]]:
    """Caption and row of the first new pictures, each of which has a thumbnail."""
    new = [each for each in report.files if each.outcome is ImportOutcome.ORGANISED]
    async with database.session_scope() as session:
        files = FileRepository(session)
        found = [
            (each.path, await files.get(each.file_id))
            for each in new[:_PICTURES]
            if each.file_id is not None
        ]
    return [pair for pair in found if await _has_thumbnail(pair[1], library)]


async def _has_thumbnail(file: FileRecord, library: AssetStore) -> bool:
    """Whether there is a thumbnail, drawn now if need be; films and sounds have none."""
    if file.file_type != "image" or not file.sha256:
        return False
    target = library.root / thumbnail_path(file.sha256)
    try:
        if not await library.in_thread(target.exists):
            picture = library.root / file.file_path
            await draw_thumbnail(picture, target, in_thread=library.in_thread)
    except (OSError, UnusableFile) as fault:
        get_run_logger().warning("No thumbnail of %s: %s", file.filename, fault)
        return False
    return True


# Twice is harmless: artifacts of one key are versions of each other.
@task(name="show sweep", cache_policy=NO_CACHE)
@best_effort()
async def show_sweep(report: SweepReport, sheet: str | None, browser_url: str) -> None:
    """Put the contact sheet and a table of what went where on the page of the current run."""
    key = _run_id().hex[:12]
    if sheet is not None:
        await acreate_image_artifact(
            image_url=shown_at(f"/api/anime/sheets/{sheet}", browser_url),
            key=f"sheet-{key}",
            description="New pictures",
        )
    await acreate_table_artifact(
        table=_rows_of(report), key=f"sweep-{key}", description=report.summary
    )


def _rows_of(report: SweepReport) -> list[dict[str, str]]:
    shown: Sequence[ImportOutcome] = [
        each for each in ImportOutcome if each is not ImportOutcome.KNOWN
    ]
    shown_files = [file for file in report.files if file.outcome in shown]
    return [
        {
            "file": file.path,
            "is": file.outcome.value,
            "owner": file.owner,
            "by": file.owner_by,
            "where": file.where,
        }
        for file in shown_files[:_ROWS]
    ]


def name_of_sheet() -> str:
    """The file name of the run's contact sheet: each run has its own."""
    return f"sweep-{_run_id().hex[:12]}.png"


def _run_id() -> UUID:
    """The current run's id; all zeros outside of a run."""
    return UUID(str(runtime.flow_run.id)) if runtime.flow_run.id else UUID(int=0)

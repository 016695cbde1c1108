"""`anime rebuild`: rows made anew from what the files carry."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.terminal import counting, give_json, give_table, tell

if TYPE_CHECKING:
    from anime.inventory.rebuild import RebuildReport
    from anime.settings import Settings


def rebuild(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the rows that files of the library lack: files, jobs and projects."""
    from anime.settings import load_settings

    report = asyncio.run(_rebuild(load_settings(), is_dry_run=dry_run))
    if json:
        give_json(asdict(report))
        return
    give_table(
        ("rows", "would be written" if dry_run else "written"),
        [
            ("files", f"{report.files_added:,}"),
            ("files found elsewhere", f"{report.files_relinked:,}"),
            ("jobs", f"{report.jobs_added:,}"),
            ("projects", f"{report.projects_added:,}"),
        ],
    )
    tell(f"{report.files_seen:,} files seen, {report.files_known:,} of them had rows.")
    for path, why in report.unfit.items():
        tell(f"{path}: {why}")
    if report.files_unfit > len(report.unfit):
        tell(f"… and {report.files_unfit - len(report.unfit):,} more that get no row.")


async def _rebuild(settings: "Settings", *, is_dry_run: bool) -> "RebuildReport":
    from anime.addresses import database_address
    from anime.db.session import Database
    from anime.inventory.rebuild import rebuild as rebuild_rows

    async with Database(database_address(settings)) as database:
        with counting("files seen") as progress:
            return await rebuild_rows(
                database,
                settings.library,
                zone=settings.zone,
                is_dry_run=is_dry_run,
                progress=progress,
            )

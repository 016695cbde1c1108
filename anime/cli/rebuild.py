"""`anime rebuild`: restores rows from what the files carry."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.terminal import counter, print_json, print_note, print_table

if TYPE_CHECKING:
    from anime.assets.rebuild import RebuildReport
    from anime.settings import Settings


def rebuild(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Insert the rows that the library's files lack: files, jobs and projects."""
    from anime.settings import load_settings

    report = asyncio.run(_rebuild(load_settings(), is_dry_run=dry_run))
    if json:
        print_json(asdict(report))
        return
    print_table(
        ("rows", "would be written" if dry_run else "written"),
        [
            ("files", f"{report.files_added:,}"),
            ("files found elsewhere", f"{report.files_relinked:,}"),
            ("jobs", f"{report.jobs_added:,}"),
            ("projects", f"{report.projects_added:,}"),
        ],
    )
    print_note(f"{report.files_seen:,} files seen, {report.files_known:,} of them had rows.")
    for path, why in report.unfit.items():
        print_note(f"{path}: {why}")
    if report.files_unfit > len(report.unfit):
        print_note(f"… and {report.files_unfit - len(report.unfit):,} more that get no row.")


async def _rebuild(settings: "Settings", *, is_dry_run: bool) -> "RebuildReport":
    from anime.assets.rebuild import rebuild as rebuild_rows
    from anime.db.session import Database
    from anime.settings.addresses import database_address

    async with Database(database_address(settings)) as database:
        with counter("files seen") as progress:
            return await rebuild_rows(
                database,
                settings.library,
                zone=settings.zone,
                archive=settings.archive_dir,
                is_dry_run=is_dry_run,
                progress=progress,
            )

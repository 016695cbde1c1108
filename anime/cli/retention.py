"""`anime retention`: shows or removes what is old in the library."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.terminal import print_json, print_result, print_table

if TYPE_CHECKING:
    from anime.core.retention import RetentionReport, RetentionTally
    from anime.settings import Settings

_OFF = "Set ANIME_KEEP_THUMBNAILS_DAYS, ANIME_KEEP_QUARANTINE_DAYS or ANIME_KEEP_REJECTED_DAYS."


def retention(
    dry_run: Annotated[
        bool, typer.Option("--dry-run/--apply", help="Only show what would be done, or do it.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show old thumbnails, quarantined files and rejected takes; --apply disposes of them."""
    from anime.settings import load_settings

    settings = load_settings()
    report = asyncio.run(_apply_retention(settings, is_dry_run=dry_run))
    if json:
        print_json(report.model_dump(mode="json"))
        return
    print_table(("what", "files", "MB", "what becomes of it"), rows_of(report))
    for line in report.takes:
        print_result(f"{line.path} → {line.target or line.reason}")


async def _apply_retention(settings: "Settings", *, is_dry_run: bool) -> "RetentionReport":
    from datetime import datetime

    from anime.assets.retention import Retention
    from anime.core.retention import RetentionReport
    from anime.db.session import Database
    from anime.errors import ConfigurationError
    from anime.settings.addresses import database_address

    rules = Retention.from_settings(settings)
    if rules.keep.is_off:
        raise ConfigurationError("Retention is off.", _OFF)
    report, now = RetentionReport(is_dry_run=is_dry_run), datetime.now(settings.zone)
    await rules.thumbnails(report, now)
    await rules.quarantine(report, now)
    if rules.keep.rejected:
        async with Database(database_address(settings)) as database:
            await rules.takes(report, now, database)
    return report


def rows_of(report: "RetentionReport") -> list[tuple[str, ...]]:
    """A row for each kind of old file, and for each day of quarantine."""
    removed = "would be removed" if report.is_dry_run else "removed"
    archived = "would be archived" if report.is_dry_run else "archived"
    rows = [_row("thumbnails", report.thumbnails, removed)]
    rows += [_row(f"quarantine {day}", tally, removed) for day, tally in report.removed.items()]
    rows += [
        _row(f"quarantine {day}", tally, "announced: removed by a run tomorrow or later")
        for day, tally in report.announced.items()
    ]
    rows.append(_row("rejected takes", report.archived, archived))
    if report.left:
        rows.append(("rejected takes", f"{report.left:,}", "", "left, each for a reason"))
    return rows


def _row(what: str, tally: "RetentionTally", fate: str) -> tuple[str, ...]:
    return what, f"{tally.files:,}", f"{tally.size_bytes / 2**20:,.1f}", fate

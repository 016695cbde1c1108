"""`anime sweep`: bring what lies in ComfyUI's output folder into the library, here and now."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.terminal import as_json, give, give_json, give_table, tell
from anime.core.sweep_plan import Mode, Outcome

if TYPE_CHECKING:
    from anime.settings import Settings
    from anime.sweep.report import SweepReport
    from anime.sweep.run import SweepOrder

_SHOWN = 10_000  # files; the counts are of all


def sweep(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="ComfyUI's output, or ANIME_SWEEP_DIR, if left out.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
    mode: Annotated[
        Mode | None, typer.Option(help="How files come in; ANIME_SWEEP_MODE (link) if left out.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="New files at most.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring new pictures, films and sounds of a folder into the library, each to its owner."""
    from anime.errors import ConfigurationError
    from anime.settings import load_settings
    from anime.sweep.run import SweepOrder

    settings = load_settings()
    wanted = folder or settings.swept_folder
    if wanted is None:
        raise ConfigurationError(
            "No folder to sweep is known: ANIME_COMFYUI_OUTPUT_DIR is not set.",
            "Set it to ComfyUI's output folder, or name a folder: anime sweep FOLDER.",
        )
    order = SweepOrder(
        folder=wanted.expanduser().absolute(),
        zone=settings.zone,
        mode=mode or settings.sweep_mode,
        dry_run=dry_run,
        limit=limit,
        settle_seconds=settings.sweep_settle_seconds,
        show=_SHOWN,
    )
    report = asyncio.run(_sweep(settings, order))
    if report is None:
        tell("Another sweep is at work: nothing was done here.")
    elif json:
        give_json(as_json([report])[0])
    else:
        _show(report)


async def _sweep(settings: "Settings", order: "SweepOrder") -> "SweepReport | None":
    from anime.addresses import database_address
    from anime.db.session import Database
    from anime.library import Library
    from anime.sweep.run import sweep_folder

    library = Library(settings.library, may_create=settings.library_dir is None)
    async with Database(database_address(settings)) as database:
        return await sweep_folder(order, database, library)


def _show(report: "SweepReport") -> None:
    told = [file for file in report.files if file.outcome is not Outcome.KNOWN]
    if told:
        give_table(
            ("file", "is", "owner", "by", "where"),
            [(file.path, file.outcome, file.owner, file.owner_by, file.where) for file in told],
        )
    if sum(report.counts.values()) > len(report.files):
        tell(f"The first {len(report.files):,} are listed.")
    give(report.summary)

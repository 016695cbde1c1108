"""`anime sweep`: imports new files of ComfyUI's output folder, in this process."""

import asyncio
import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.terminal import print_json, print_note, print_result, print_table
from anime.core.sweep_plan import ImportOutcome, Mode

if TYPE_CHECKING:
    from anime.assets.importer.report import SweepReport
    from anime.assets.importer.run import SweepRequest
    from anime.settings import Settings

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
        Mode | None,
        typer.Option(help="How to import files; ANIME_SWEEP_MODE (link) if left out."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="New files at most.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Import new pictures, films and sounds of a folder into the library, each to its owner."""
    from anime.assets.importer.run import SweepRequest
    from anime.errors import ConfigurationError
    from anime.settings import load_settings

    settings = load_settings()
    wanted = folder or settings.swept_folder
    if wanted is None:
        raise ConfigurationError(
            "No folder to sweep is known: ANIME_COMFYUI_OUTPUT_DIR is not set.",
            "Set it to ComfyUI's output folder, or name a folder: anime sweep FOLDER.",
        )
    request = SweepRequest.of(
        settings, wanted, mode=mode, dry_run=dry_run, limit=limit, show=_SHOWN
    )
    report = asyncio.run(_sweep(settings, request))
    if report.is_another_running:
        print_note("Another sweep is running: nothing was done here.")
    if json:
        print_json(report.model_dump(mode="json"))
    elif not report.is_another_running:
        _show(report)


async def _sweep(settings: "Settings", request: "SweepRequest") -> "SweepReport":
    from anime.assets.importer.run import sweep_folder
    from anime.assets.store import AssetStore
    from anime.db.session import Database
    from anime.settings.addresses import database_address

    gc.freeze()  # what is imported lasts: to look through it takes as long as known files do
    async with Database(database_address(settings)) as database:
        return await sweep_folder(request, database, AssetStore.of(settings))


def _show(report: "SweepReport") -> None:
    shown = [file for file in report.files if file.outcome is not ImportOutcome.KNOWN]
    if shown:
        print_table(
            ("file", "is", "owner", "by", "where"),
            [(file.path, file.outcome, file.owner, file.owner_by, file.where) for file in shown],
        )
    if sum(report.counts.values()) > len(report.files):
        print_note(f"The first {len(report.files):,} are listed.")
    print_result(report.summary)

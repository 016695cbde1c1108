"""Importing ComfyUI's output folder into the library, on schedule and on demand."""

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from anime.assets.importer.run import SweepRequest
from anime.core.sweep_plan import Mode
from anime.settings import get_settings
from blocks.studio_blocks import StudioBlocks, load_blocks
from tasks.sheets import draw_contact_sheet
from tasks.sweep import is_late, name_of_sheet, new_pictures, show_sweep, sweep_into_library

NO_FOLDER = "Nothing was swept: ANIME_COMFYUI_OUTPUT_DIR is not set, ComfyUI's output folder."
LATE = "Nothing was swept: the next scheduled sweep is due already."
NOT_ALONE = "Nothing was swept: another sweep is at work."


@flow(name="sweep")
async def sweep(
    *,
    folder: Path | None = None,
    dry_run: bool = False,
    mode: Mode | None = None,
    limit: Annotated[int, Field(ge=1)] | None = None,
) -> State[None]:
    """Import new pictures, films and sounds of a folder into the library, each to its owner.

    Args:
        folder: The folder to sweep, with all below it; ANIME_COMFYUI_OUTPUT_DIR if unset.
        dry_run: Show what would be done, and do nothing.
        mode: link, copy or move; ANIME_SWEEP_MODE if unset.
        limit: New files at most; the next sweep goes on.
    """
    blocks = await load_blocks()
    parameters = sweep_request_of(blocks, folder, dry_run=dry_run, mode=mode, limit=limit)
    if parameters is None or is_late():
        return Completed(message=NO_FOLDER if parameters is None else LATE)
    library = blocks.library.client()
    async with blocks.database.client() as database:
        report = await sweep_into_library(parameters, database, library)
        if report.is_another_running:
            return Completed(message=NOT_ALONE)
        pictures = await new_pictures(report, database, library)
        sheet = await draw_contact_sheet(library.root, name_of_sheet(), pictures or [])
        await show_sweep(report, sheet, blocks.library.browser_url)
    return Completed(message=report.summary)


def sweep_request_of(
    blocks: StudioBlocks,
    folder: Path | None,
    *,
    dry_run: bool,
    mode: Mode | None,
    limit: int | None,
) -> SweepRequest | None:
    """What is to be swept; None when no folder is known."""
    settings = get_settings()
    wanted = folder or settings.sweep_dir or blocks.comfyui.output_dir
    if wanted is None:
        return None
    return SweepRequest.of(
        settings, wanted, mode=mode, dry_run=dry_run, limit=limit, zone=blocks.library.zone
    )

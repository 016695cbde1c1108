"""`anime sheet`: draws a contact sheet of files of the library."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli import files_options as opt
from anime.cli.jobs import parse_job_id
from anime.cli.request_parsing import parse_options
from anime.cli.terminal import print_json, print_lines
from anime.core.dates import begin_of, end_of
from anime.errors import NotFound

if TYPE_CHECKING:
    from anime.assets.contact_sheet.request import SheetRequest
    from anime.settings import Settings


def sheet(
    project: opt.Project = None,
    character: opt.Character = None,
    job: opt.Job = None,
    kind: opt.Kind = None,
    since: opt.Since = None,
    until: opt.Until = None,
    text: opt.Text = None,
    seed: opt.Seed = None,
    model: opt.Model = None,
    state: opt.State = None,
    shot: opt.Shot = None,
    review: opt.Review = None,
    limit: Annotated[int, typer.Option(help="Files at most, newest first.")] = 200,
    columns: Annotated[
        int | None, typer.Option(help="Pictures in a row; chosen by the sheet's layout if unset.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png|.pdf", help="In the library's .sheets if unset."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Draw a contact sheet of the files that match, and print the paths of its pages."""
    from anime.assets.contact_sheet.request import SheetRequest
    from anime.settings import load_settings

    settings = load_settings()
    request = parse_options(
        SheetRequest,
        "sheet",
        project=project,
        character=character,
        job_id=parse_job_id(job) if job else None,
        kind=kind,
        since=begin_of(since, settings.zone) if since else None,
        until=end_of(until, settings.zone) if until else None,
        text=text,
        seed=seed,
        model=model,
        state=state,
        shot=shot,
        review=review,
        limit=limit,
        columns=columns,
    )
    pages = asyncio.run(_draw(request, output or _default_output(settings), settings))
    if json:
        print_json([str(page) for page in pages])
    else:
        print_lines(str(page) for page in pages)


def _default_output(settings: "Settings") -> Path:
    """A path in the library, named for the time."""
    from anime.core.sheet_pages import SHEETS_FOLDER

    return (
        settings.library
        / SHEETS_FOLDER
        / f"sheet-{datetime.now(settings.zone):%Y%m%d-%H%M%S-%f}.png"
    )


async def _draw(request: "SheetRequest", output: Path, settings: "Settings") -> list[Path]:
    from anime.assets.contact_sheet.make import SheetStyle, make_sheet
    from anime.assets.contact_sheet.request import matching
    from anime.db.session import Database
    from anime.settings.addresses import database_address

    target = output.expanduser().absolute()
    style = SheetStyle(request.columns, settings.caption_font)
    async with Database(database_address(settings)) as database:
        pages = await make_sheet(
            matching(request, database), target, library=settings.library, style=style
        )
    if not pages:
        raise NotFound(
            "No file fits, so there is no sheet.",
            "`anime files` lists all files.",
        )
    return pages

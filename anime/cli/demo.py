"""`anime demo`: the whole system once, from an empty machine to a contact sheet."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING

from anime.cli.terminal import print_note, print_result, print_table
from anime.errors import AnimeError
from anime.schemas import FileRecord, GenerationRequest, GenerationType

if TYPE_CHECKING:
    from anime.schemas import JobSnapshot
    from anime.settings import Settings

_PROJECT = "Demo"
REQUESTS = {
    "still     ": GenerationRequest(
        prompt="a girl on a rooftop at dusk", character="Mira", project=_PROJECT, seed=7
    ),
    "two takes ": GenerationRequest(
        prompt="snow falling on a quiet forest at night", project=_PROJECT, seed=21, batch_size=2
    ),
    "animation ": GenerationRequest(
        prompt="cherry blossoms over a harbour town at dawn",
        type=GenerationType.VIDEO,
        project=_PROJECT,
        seed=3,
    ),
}


def demo() -> None:
    """Start everything, render four frames, show where they are, and stop."""
    from anime.settings import load_settings

    asyncio.run(_run_demo(load_settings()))


async def _run_demo(settings: "Settings") -> None:
    async with _stack_settings(settings) as found:
        print_note("\nRendering three requests …")
        files = await _render_all(found)
        sheet = await asyncio.to_thread(_draw_sheet, files, found.library / "demo-sheet.png")
        _show(files, sheet, found)
    print_note("The stack has stopped; all data is kept. `make up` starts it again.")


@asynccontextmanager
async def _stack_settings(settings: "Settings") -> AsyncIterator["Settings"]:
    """The settings of the running stack, or of one that is started for the demo."""
    from anime.cli.parts_display import PartsDisplay
    from anime.settings import load_settings
    from anime.settings.stack_record import read_record
    from anime.stack.ports import without_taken_ports
    from anime.stack.stack import running_stack

    if read_record(settings.home):
        print_note("Using the running stack.")
        yield settings
        return
    print_note(f"Starting everything, with its data in {settings.home} …")
    with closing(PartsDisplay()) as display:
        async with running_stack(without_taken_ports(settings), report=display.show):
            display.close()
            yield load_settings(home=settings.home)


async def _render_all(settings: "Settings") -> list[FileRecord]:
    """The files of all requests, rendered at the same time."""
    from anime.cli.display import open_job_displays
    from anime.cli.outages import Outages
    from anime.cli.watch_job import watch_job
    from anime.db.repositories import FileRepository
    from anime.jobs.service import connect_job_service
    from anime.settings.addresses import redis_address

    redis_url = redis_address(settings)
    async with connect_job_service(settings) as service:
        database = service.database
        jobs = [await service.submit_and_dispatch(request) for request in REQUESTS.values()]
        outages = Outages("The renders go on")
        with open_job_displays(list(REQUESTS)) as displays:
            ended = await asyncio.gather(
                *(
                    watch_job(job.id, database, redis_url, display, outages)
                    for job, display in zip(jobs, displays, strict=True)
                )
            )
        _raise_for_failures(ended)
        async with database.session_scope() as session:
            return [file for job in jobs for file in await FileRepository(session).of_job(job.id)]


def _raise_for_failures(jobs: Sequence["JobSnapshot"]) -> None:
    for job in jobs:
        if job.error:
            raise AnimeError(f"{job.prompt!r} was not rendered: {job.error}")


def _draw_sheet(files: Sequence[FileRecord], target: Path) -> Path:
    from anime.assets.contact_sheet.fonts import CaptionFonts
    from anime.assets.contact_sheet.page import SheetPicture, draw_page
    from anime.assets.contact_sheet.writer import replace_file
    from anime.core.sheet_layout import lay_out

    captions = [f"seed {file.metadata['seed']} · {file.metadata['prompt']}" for file in files]
    sheet = lay_out(captions)
    shown = [SheetPicture((Path(file.file_path),)) for file in files]
    replace_file(draw_page(sheet, shown, CaptionFonts(sheet.caption_px)), target)
    return target


def _show(files: Sequence[FileRecord], sheet: Path, settings: "Settings") -> None:
    """Print where everything is."""
    print_table(
        ("row", "kind", "size", "seed", "path"),
        [
            (
                str(file.id),
                file.file_type,
                f"{file.width}×{file.height}",
                str(file.metadata["seed"]),
                file.file_path,
            )
            for file in files
        ],
    )
    print_result(f"\nContact sheet  {sheet}")
    print_result(f"Prefect UI     {(settings.prefect_api_url or '').removesuffix('/api')}")
    print_result(f"Pictures       {settings.library}")

"""Drawing contact sheets into the library."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from anime.assets.contact_sheet.fonts import CAPTION_PX, CaptionFonts
from anime.assets.contact_sheet.make import SheetStyle, make_sheet
from anime.assets.contact_sheet.page import SheetEntry, draw_page
from anime.assets.contact_sheet.request import SheetRequest, matching
from anime.assets.contact_sheet.writer import replace_file
from anime.core.paths import media_type_of, thumbnail_path
from anime.core.sheet_pages import SHEETS_FOLDER
from anime.db.session import Database
from anime.schemas import FileRecord
from anime.settings import get_settings
from tasks.retries import best_effort
from tasks.steps import step

MAX_PICTURES = 400


# Twice is harmless: the same sheet replaces itself.
@step("draw contact sheet")
@best_effort(takes_long=True)
async def draw_contact_sheet(
    library: Path, name: str, pictures: Sequence[tuple[str, FileRecord]]
) -> str | None:
    """The name of a sheet in the library, a caption below each picture; None without pictures.

    Only the first MAX_PICTURES are shown; sounds and films are left out.
    """
    shown = [
        SheetEntry((library / thumbnail_path(file.sha256),), caption)
        for caption, file in pictures
        if file.sha256 and media_type_of(file.filename).startswith("image/")
    ][:MAX_PICTURES]
    if not shown:
        return None
    fonts = CaptionFonts(CAPTION_PX, get_settings().caption_font)
    page = await asyncio.to_thread(draw_page, shown, fonts)
    await asyncio.to_thread(replace_file, page, library / SHEETS_FOLDER / name)
    return name


# Twice is harmless: the same sheet replaces itself.
@task(name="draw sheet of files", cache_policy=NO_CACHE)
async def draw_sheet_of_files(
    request: SheetRequest, name: str, *, database: Database, library: Path
) -> list[str]:
    """The names of the sheet's pages in the library; none if no file matches the request.

    Raises:
        StorageError: the library cannot take them.
    """
    style = SheetStyle(request.columns, get_settings().caption_font, replaces=True)
    target = library / SHEETS_FOLDER / f"{name}.{request.format}"
    pages = await make_sheet(matching(request, database), target, library=library, style=style)
    return [page.name for page in pages]

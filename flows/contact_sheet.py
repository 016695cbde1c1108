"""The files that match a search, on one contact sheet."""

from typing import Any

from prefect import flow

from anime.assets.contact_sheet.request import SheetRequest
from anime.runs.connections import open_connections
from anime.runs.flow_form import form_of
from anime.runs.generation import id_of_run
from tasks.artifacts import show_sheet
from tasks.sheets import draw_sheet_of_files


@flow(name="contact_sheet")
@form_of(SheetRequest)
async def contact_sheet(**parameters: Any) -> list[str]:  # the request's fields, validated below
    """Draw a contact sheet of the files that match, newest first; return its pages' names."""
    asked = SheetRequest.model_validate(parameters)
    name = f"sheet-{id_of_run().hex[:12]}"
    async with open_connections() as connections:
        library = connections.library.root
        pages = await draw_sheet_of_files(
            asked, name, database=connections.database, library=library
        )
        await show_sheet(pages, connections.blocks.library.browser_url)
    return pages

"""The files that fit a search, on one sheet."""

from typing import Any

from prefect import flow

from anime.sheets.order import SheetOrder
from flows.children import id_of_run
from flows.form import takes_fields_of
from flows.house import open_house
from tasks.artifacts import show_sheet
from tasks.sheets import draw_sheet_of


@flow(name="contact_sheet")
@takes_fields_of(SheetOrder)
async def contact_sheet(**order: Any) -> list[str]:  # the order's fields, validated below
    """Draw a contact sheet of the files that fit, newest first; the names of its pages."""
    asked = SheetOrder.model_validate(order)
    name = f"sheet-{id_of_run().hex[:12]}"
    async with open_house() as house:
        library = house.library.root
        pages = await draw_sheet_of(asked, name, database=house.database, library=library)
        await show_sheet(pages, house.studio.library.browser_url)
    return pages

"""Contact sheets, for pages to show."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response, status
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from anime.api.app_state import StateDependency
from anime.api.error_documentation import problems
from anime.api.file_responses import send_file
from anime.api.middleware import JsonRoute
from anime.api.routes_files import documented_responses, signature_parameters
from anime.assets.contact_sheet.make import SheetStyle, make_sheet
from anime.core.sheet_pages import SHEETS_FOLDER
from anime.db.repositories import FileRepository
from anime.errors import NotFound
from anime.schemas import FileRecord

MAX_FILES = 500
router = APIRouter(tags=["files"], route_class=JsonRoute)


class SheetOrder(BaseModel):
    """Which files go onto a contact sheet."""

    model_config = ConfigDict(extra="forbid")

    file_ids: list[Annotated[int, Field(ge=1, le=2**31 - 1)]] = Field(
        min_length=1, max_length=MAX_FILES, description="In this order."
    )
    columns: int | None = Field(
        default=None, ge=1, le=20, description="Pictures side by side; as it looks best if unset."
    )


class DrawnSheet(BaseModel):
    """A contact sheet of several files."""

    pages: list[str] = Field(description="Address of each page.")
    missing: list[int] = Field(description="Ids of files that have no row.")


SheetName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,120}\.(png|pdf)$")]


@router.head("/sheets/{name}", include_in_schema=False)
@router.get(
    "/sheets/{name}",
    response_class=FileResponse,
    responses=documented_responses("image/png", "application/pdf"),
    dependencies=[Depends(signature_parameters)],
)
async def sheet(name: SheetName, request: Request, state: StateDependency) -> Response:
    """A contact sheet."""
    found = await state.library.find(FilePath(name), within=FilePath(SHEETS_FOLDER))
    if found is None:
        raise NotFound(f"There is no contact sheet {name}.", "It was deleted; draw it again.")
    kind = "application/pdf" if found.path.suffix == ".pdf" else "image/png"
    return send_file(found, request, media_type=kind, filename=name)


@router.post("/sheets", status_code=status.HTTP_201_CREATED, responses=problems(404))
async def draw_sheet(order: SheetOrder, state: StateDependency) -> DrawnSheet:
    """Draw a contact sheet of these files, in pages of PNG."""
    async with state.database.session_scope() as session:
        rows = await FileRepository(session).some(order.file_ids)
    missing = [each for each in order.file_ids if each not in rows]
    files = [rows[each] for each in order.file_ids if each in rows]
    if not files:
        raise NotFound("None of these files has a row.", "`anime files` lists the newest.")
    library, now = state.settings.library, datetime.now(state.settings.zone)
    target = library / SHEETS_FOLDER / f"sheet-{now:%Y%m%d-%H%M%S-%f}.png"
    style = SheetStyle(order.columns, state.settings.caption_font)
    pages = await make_sheet(_in_turn(files), target, library=library, style=style)
    return DrawnSheet(pages=[f"/api/anime/sheets/{page.name}" for page in pages], missing=missing)


async def _in_turn(files: list[FileRecord]) -> AsyncIterator[FileRecord]:
    for file in files:
        yield file

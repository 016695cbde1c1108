"""Contact sheets, for Prefect's pages to show."""

from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import FileResponse

from anime.api.app_state import StateDependency
from anime.api.file_responses import send_file
from anime.api.routes_files import documented_responses, signature_parameters
from anime.core.sheet_pages import SHEETS_FOLDER
from anime.errors import NotFound

router = APIRouter(tags=["files"])


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

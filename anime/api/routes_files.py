"""Files of the library, as browsers load them."""

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response, status
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse

from anime.api.state import Studio, StudioDependency
from anime.core.paths import media_type_of, thumbnail_path
from anime.db.repositories import FileRepository
from anime.errors import NotFound
from anime.schemas import FileRecord

router = APIRouter(tags=["files"])

FileId = Annotated[int, PathParameter(ge=1, le=2**31 - 1)]  # PostgreSQL's integer
PICTURE_HEADERS = {
    # Prefect's pages, on another port, show these files with <img>.
    "Cross-Origin-Resource-Policy": "cross-origin",
    # Whatever a file holds, it is a picture or nothing: no script of it ever runs here.
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
    # A row's file does not change, but a re-made thumbnail may: ask, and get 304.
    "Cache-Control": "private, no-cache",
}


@router.get("/files/{file_id}")
async def file_by_id(file_id: FileId, studio: StudioDependency) -> FileRecord:
    """What is known of one file."""
    return await _row(file_id, studio)


@router.get("/files/{file_id}/content", response_class=FileResponse)
async def content(file_id: FileId, request: Request, studio: StudioDependency) -> Response:
    """The file itself."""
    row = await _row(file_id, studio)
    return _send(await _inside(Path(row.file_path), row, studio), row, request, variant="")


@router.get("/files/{file_id}/thumbnail", response_class=FileResponse)
async def thumbnail(file_id: FileId, request: Request, studio: StudioDependency) -> Response:
    """A small picture of the file; the file itself where there is none."""
    row = await _row(file_id, studio)
    if row.sha256:
        small = studio.settings.library / thumbnail_path(row.sha256)
        if await asyncio.to_thread(small.is_file):
            return _send(await _inside(small, row, studio), row, request, variant="-small")
    return _send(await _inside(Path(row.file_path), row, studio), row, request, variant="")


async def _row(file_id: int, studio: Studio) -> FileRecord:
    async with studio.database.session_scope() as session:
        return await FileRepository(session).get(file_id)


async def _inside(path: Path, row: FileRecord, studio: Studio) -> Path:
    """The path with every link followed, which must still lie in the library.

    Raises:
        NotFound: it is gone, or the row points elsewhere.
    """
    library = studio.settings.library
    try:
        real = await asyncio.to_thread((library / path).resolve, strict=True)
    except OSError:
        real = None
    if real is None or not real.is_relative_to(library.resolve()) or not real.is_file():
        raise NotFound(
            f"File {row.id} ({row.filename}) is not in the library.",
            "It was moved or deleted; render it again, or bring it back from a backup.",
        )
    return real


def _send(path: Path, row: FileRecord, request: Request, *, variant: str) -> Response:
    """The file, or only that it has not changed."""
    headers = dict(PICTURE_HEADERS)
    if row.sha256:
        headers["ETag"] = f'"{row.sha256}{variant}"'
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    kind = media_type_of(path.name)
    return FileResponse(
        path,
        media_type=kind,
        filename=Path(row.filename).stem + path.suffix,
        content_disposition_type="inline",
        headers=headers,
    )

"""Several files at once: what a download of them has, and the download."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from anime.api.app_state import AppState, StateDependency
from anime.api.error_documentation import problems
from anime.api.zip_stream import ZipEntry, zip_of
from anime.core.id_ranges import numbers_in
from anime.db.repositories import FileRepository
from anime.errors import NotFound

MAX_FILES = 2000
router = APIRouter(tags=["files"])
FileIds = Annotated[
    str,
    Query(
        min_length=1,
        max_length=20_000,
        description=f"Ids of at most {MAX_FILES} files: numbers and ranges such as 3,7-12.",
    ),
]


class MissingFile(BaseModel):
    """A file that is asked for and not there."""

    file_id: int
    reason: str


class ZipContents(BaseModel):
    """What a download of several files has."""

    files: int = Field(description="How many of them are there.")
    size_bytes: int = Field(description="Bytes of these.")
    missing: list[MissingFile] = Field(description="Those that are not there.")


@router.get("/files/zip/contents")
async def zip_contents(ids: FileIds, state: StateDependency) -> ZipContents:
    """How large a download would be, and which files are gone."""
    entries = await _entries(ids, state)
    found = [each.found for each in entries.values() if each.found is not None]
    return ZipContents(
        files=len(found),
        size_bytes=sum(each.status.st_size for each in found),
        missing=[
            MissingFile(file_id=file_id, reason=each.missing)
            for file_id, each in entries.items()
            if each.found is None
        ],
    )


@router.get(
    "/files/zip",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/zip": {}}, "description": "The files in one ZIP."},
        **problems(404),
    },
)
async def download_zip(ids: FileIds, state: StateDependency) -> Response:
    """The files in one ZIP. Those that are gone stand in its `missing.txt`."""
    entries = list((await _entries(ids, state)).values())
    if not any(each.found for each in entries):
        raise NotFound("None of these files is in the library.", "Choose others.")
    return StreamingResponse(
        zip_of(entries, state.library),
        media_type="application/zip",
        headers={"Content-Disposition": 'attachment; filename="anime-files.zip"'},
    )


async def _entries(ids: str, state: AppState) -> dict[int, ZipEntry]:
    """What is known of each of the files, in the order asked for.

    Raises:
        InvalidRequest: these are no ids, or too many.
    """
    wanted = numbers_in(ids, at_most=MAX_FILES)
    async with state.database.autocommit() as session:
        rows = await FileRepository(session).places(wanted)
    entries = {}
    for file_id in wanted:
        row = rows.get(file_id)
        if row is None:
            entries[file_id] = ZipEntry(f"{file_id}", "", missing="there is no such file")
            continue
        found = await state.library.find(Path(row.file_path)) if row.file_path else None
        name = Path(row.filename or row.file_path).name
        why = "" if found else "it is not in the library: it was moved or deleted"
        entries[file_id] = ZipEntry(f"{file_id} {name}", name, found, why)
    return entries

"""Files of the library, as browsers load them."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse

from anime.api.app_state import AppState, StateDependency
from anime.api.error_documentation import problems
from anime.api.file_responses import send_file, send_kept
from anime.assets.folder_reader import ANSWER_SECONDS, FoundFile
from anime.core.paths import UNKNOWN_TYPE, media_type_of
from anime.db.repositories import FileRepository
from anime.db.repositories.files import FilePlace
from anime.errors import NotFound
from anime.schemas import FileRecord

router = APIRouter(tags=["files"])

FileId = Annotated[int, PathParameter(ge=1, le=2**31 - 1)]  # PostgreSQL's integer


def documented_responses(
    *media_types: str,
) -> dict[int | str, dict[str, Any]]:  # as FastAPI types it
    """The `responses` of a route that sends files of these types."""
    content: dict[str, dict[str, str]] = {media_type: {} for media_type in media_types}
    return {
        200: {"content": content, "description": "The file."},
        206: {
            "content": content | {"multipart/byteranges": {}},
            "description": "The part or parts of it that Range asks for.",
        },
        304: {"description": "It has not changed since."},
        **problems(404, 416),
    }


# The types of anime.core.paths: a thumbnail may be the file itself.
LIBRARY_FILE_RESPONSES = documented_responses("image/*", "video/*", "audio/*", UNKNOWN_TYPE)


async def signature_parameters(
    expires: Annotated[
        int | None, Query(description="End of a signed address, in seconds since the UTC epoch.")
    ] = None,
    signature: Annotated[
        str | None,
        Query(max_length=64, description="Signature of a signed address, instead of a token."),
    ] = None,
) -> None:
    """The query of a signed address. `TokenCheck` has checked it before any route."""


@router.get("/files/{file_id}", responses=problems(404))
async def file_by_id(file_id: FileId, state: StateDependency) -> FileRecord:
    """One file, with all that is known of it."""
    return await _row(file_id, state)


@router.head("/files/{file_id}/content", include_in_schema=False)
@router.get(
    "/files/{file_id}/content",
    response_class=FileResponse,
    responses=LIBRARY_FILE_RESPONSES,
    dependencies=[Depends(signature_parameters)],
)
async def content(file_id: FileId, request: Request, state: StateDependency) -> Response:
    """The file itself, or the part of it that Range asks for."""
    row = await _row(file_id, state)
    file = await _inside(Path(row.file_path), row, state)
    return _send(file, row, request, etag=row.sha256)


@router.head("/files/{file_id}/thumbnail", include_in_schema=False)
@router.get(
    "/files/{file_id}/thumbnail",
    response_class=FileResponse,
    responses=LIBRARY_FILE_RESPONSES,
    dependencies=[Depends(signature_parameters)],
)
async def thumbnail(file_id: FileId, request: Request, state: StateDependency) -> Response:
    """A small picture of the file; the file itself where none can be drawn."""
    return await _small(file_id, request, state)


@router.head("/files/{file_id}/proxy", include_in_schema=False)
@router.get(
    "/files/{file_id}/proxy",
    response_class=FileResponse,
    responses=LIBRARY_FILE_RESPONSES,
    dependencies=[Depends(signature_parameters)],
)
async def proxy(file_id: FileId, request: Request, state: StateDependency) -> Response:
    """A picture of the file for a screen, at most 1,600 pixels wide and high; else the file."""
    return await _small(file_id, request, state, is_large=True)


async def _small(
    file_id: int, request: Request, state: AppState, *, is_large: bool = False
) -> Response:
    """The thumbnail or the proxy, which browsers may keep for an hour; else the file itself."""
    async with state.database.autocommit() as session:
        row = await FileRepository(session).place(file_id)
    path, sha256 = Path(row.file_path), row.sha256
    small = await state.thumbnails.kept(path, sha256, is_large=is_large) if sha256 else None
    if small is None:
        file = await _inside(path, row, state)
        drawn = await state.thumbnails.find(file.path, sha256, is_large=is_large)
        if drawn is None:
            return _send(file, row, request, etag=sha256)
        small = await state.library.run(drawn.read_bytes, seconds=ANSWER_SECONDS)
        sha256 = sha256 or drawn.stem.removesuffix("-proxy")
    if row.colours is None and sha256 and not is_large:
        state.thumbnails.add_colours(file_id, sha256)
    return send_kept(small, request, etag=f"{sha256}-{'large' if is_large else 'small'}")


async def _row(file_id: int, state: AppState) -> FileRecord:
    async with state.database.session_scope() as session:
        return await FileRepository(session).get(file_id)


async def _inside(path: Path, row: FileRecord | FilePlace, state: AppState) -> FoundFile:
    """The file, which must still lie in the library.

    Raises:
        NotFound: it is gone, or the row points elsewhere.
        StorageUnavailable: the library does not answer.
    """
    found = await state.library.find(path)
    if found is None:
        raise NotFound(
            f"File {row.id} ({row.filename}) is not in the library.",
            "It was moved or deleted: render it again, or restore it from a backup.",
        )
    return found


def _send(
    file: FoundFile,
    row: FileRecord | FilePlace,
    request: Request,
    *,
    etag: str | None,
) -> Response:
    return send_file(
        file,
        request,
        media_type=media_type_of(file.path.name),
        filename=Path(row.filename).stem + file.path.suffix,
        etag=etag,
    )

"""Pictures that people hand in, for workflows that begin with one."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response, status
from fastapi.responses import FileResponse

from anime.api.app_state import StateDependency
from anime.api.error_documentation import problems
from anime.api.file_responses import send_file
from anime.api.routes_files import documented_responses
from anime.assets.input_pictures import InputPicture, store_picture
from anime.core.paths import INPUTS_FOLDER, media_type_of
from anime.core.references import MAX_REFERENCE_BYTES
from anime.errors import NotFound
from anime.schemas import Name

UPLOADS = {"/inputs/upload": MAX_REFERENCE_BYTES}  # routes whose body is a file
router = APIRouter(prefix="/inputs", tags=["generation"])

PictureName = Annotated[
    str, Path(pattern=r"^[0-9a-f]{64}\.[a-z]{3,4}$", description="Hash and suffix: its name.")
]


@router.post(
    "/upload",
    status_code=status.HTTP_201_CREATED,
    responses=problems(503),
    openapi_extra={"requestBody": {"required": True, "content": {"image/*": {}}}},
)
async def upload_input_picture(
    request: Request,
    state: StateDependency,
    name: Annotated[Name, Query(description="What messages call the picture.")] = "The picture",
) -> InputPicture:
    """Keep the picture that is the body, of 32 MB at most; requests name it in `inputs`."""
    return await store_picture(state.store, request.stream(), name=name)


@router.get(
    "/{picture}/content",
    response_class=FileResponse,
    responses=documented_responses("image/*"),
)
async def input_content(picture: PictureName, request: Request, state: StateDependency) -> Response:
    """The picture itself, or the part of it that Range asks for."""
    inputs = state.library.root / INPUTS_FOLDER
    file = await state.library.find(inputs / picture)
    if file is None:
        raise NotFound(f"There is no input picture {picture}.", "Upload it again.")
    return send_file(
        file,
        request,
        media_type=media_type_of(file.path.name),
        filename=file.path.name,
        etag=picture.partition(".")[0],
    )

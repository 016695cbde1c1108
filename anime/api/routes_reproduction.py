"""Files rendered again from their recorded graphs, and how files differ."""

from dataclasses import replace
from functools import partial
from typing import Annotated
from uuid import NAMESPACE_URL, uuid5

from fastapi import APIRouter, Query, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field

from anime.api.app_state import AppState, StateDependency
from anime.api.error_documentation import problems
from anime.api.file_responses import PICTURE_HEADERS
from anime.api.middleware import JsonRoute
from anime.api.routes_generation import IdempotencyKey
from anime.assets.folder_reader import READ_SECONDS
from anime.core.comparison import FileComparison
from anime.errors import NotFound
from anime.jobs.reproduction import (
    MadeFile,
    ReproductionRequest,
    compare_files,
    draw_comparison,
    file_named,
    reproduction_of,
)
from anime.schemas import Accepted

_KEYS = uuid5(NAMESPACE_URL, "urn:anime:reproductions")
router = APIRouter(tags=["files"], route_class=JsonRoute)
FileNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]


class DiffParameters(BaseModel):
    """Which two files."""

    model_config = ConfigDict(extra="forbid")

    first: FileNumber = Field(description="Id of one file.")
    second: FileNumber = Field(description="Id of the other one.")


@router.post("/reproduce", status_code=status.HTTP_202_ACCEPTED, responses=problems(404, 409, 429))
async def reproduce(
    asked: ReproductionRequest,
    state: StateDependency,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Accepted:
    """Render a file again from its recorded graph; `/diff` says how far the result is the same."""
    file = await file_named(state.database, asked)
    job_id = uuid5(_KEYS, idempotency_key) if idempotency_key else None
    again = await reproduction_of(state.database, state.store, file, job_id=job_id)
    job = await state.jobs.submit(again, job_id=job_id)
    status_url = request.app.url_path_for("generation_status", job_id=str(job.id))
    response.headers["Location"] = status_url
    return Accepted(job_id=job.id, status=job.status, status_url=status_url)


@router.get("/diff", responses=problems(404))
async def diff(
    parameters: Annotated[DiffParameters, Query()], state: StateDependency
) -> FileComparison:
    """How two files differ: settings, words of the prompts, pictures they use, pixels."""
    first, second = await _both(parameters, state)
    return await state.library.run(partial(compare_files, first, second), seconds=READ_SECONDS)


@router.get(
    "/diff/picture",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **problems(404)},
)
async def diff_picture(
    parameters: Annotated[DiffParameters, Query()], state: StateDependency
) -> Response:
    """Where two pictures differ, made as bright as it can be: black is no difference."""
    first, second = await _both(parameters, state)
    png = await state.library.run(partial(draw_comparison, first, second), seconds=READ_SECONDS)
    return Response(png, media_type="image/png", headers=PICTURE_HEADERS)


async def _both(parameters: DiffParameters, state: AppState) -> tuple[MadeFile, MadeFile]:
    """Both files, which must lie in the library."""
    files = []
    for number in (parameters.first, parameters.second):
        file = await file_named(state.database, ReproductionRequest(file_id=number))
        found = await state.library.find(file.path)
        if found is None:
            raise NotFound(
                f"File {number} is not in the library.", "It was moved or deleted: restore it."
            )
        files.append(replace(file, path=found.path))
    return files[0], files[1]

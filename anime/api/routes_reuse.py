"""Settings to be used again: of jobs, of files of the library, and of any file that is uploaded."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from anime.api.app_state import StateDependency
from anime.api.error_documentation import problems
from anime.api.routes_files import FileId
from anime.api.routes_generation import job_id_in
from anime.core.references import MAX_REFERENCE_BYTES
from anime.core.reused_requests import ReusedRequest
from anime.jobs.reuse import request_in_upload, request_of_file, request_of_job
from anime.schemas import Name

UPLOADS = {"/recipes/upload": MAX_REFERENCE_BYTES}  # routes whose body is a file
router = APIRouter(tags=["generation"])


@router.get("/jobs/{job_id}/request", responses=problems(404))
async def job_request(job_id: str, state: StateDependency) -> ReusedRequest:
    """What a job was asked for, to be asked for again, as it is or changed."""
    return await request_of_job(state.database, job_id_in(job_id))


@router.get("/files/{file_id}/request", responses=problems(404))
async def file_request(file_id: FileId, state: StateDependency) -> ReusedRequest:
    """What a file's job was asked for; of other files, what they say of their making."""
    return await request_of_file(state.database, file_id)


@router.post(
    "/recipes/upload",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {}, "video/*": {}, "audio/*": {}},
        }
    },
)
async def read_recipe(
    request: Request,
    state: StateDependency,
    name: Annotated[Name, Query(description="What messages call the file.")] = "The file",
) -> ReusedRequest:
    """What the file that is the body, of 32 MB at most, says of its making. It is not kept."""
    return await request_in_upload(state.database, request.stream(), name=name)

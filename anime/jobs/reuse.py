"""The settings of a job, of a file of the library, or of any other file, to be used again."""

import asyncio
import tempfile
from collections.abc import AsyncIterable, Mapping
from pathlib import Path
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncSession

from anime.assets.input_pictures import limited
from anime.assets.inspection.whole_file import describe_upload
from anime.core.paths import RECORDED_PREFIX
from anime.core.png_metadata import read_stamp
from anime.core.reused_requests import ReusedRequest, of_job, of_recipe
from anime.db.repositories import FileRepository, JobRepository
from anime.db.session import Database
from anime.errors import NotFound
from anime.schemas import FileRecord


async def request_of_job(database: Database, job_id: UUID) -> ReusedRequest:
    """What the job was asked for; of a recorded graph, what its file says.

    Raises:
        NotFound: there is no such job.
        InvalidRequest: it was written by a version that knew other fields.
    """
    async with database.autocommit() as session:
        found = await _of_job(job_id, session)
        if found is None:
            files = await FileRepository(session).of_job(job_id)
            found = of_recipe(_made(files[0])) if files else of_recipe({})
        return found.model_copy(update={"job_id": job_id})


async def request_of_file(database: Database, file_id: int) -> ReusedRequest:
    """What the file's job was asked for, or else what the file says of its making.

    Raises:
        NotFound: there is no such file.
        InvalidRequest: its job was written by a version that knew other fields.
    """
    async with database.autocommit() as session:
        file = await FileRepository(session).get(file_id)
        return await _of_known_job(file.job_id, session) or of_recipe(_made(file))


async def request_in_upload(
    database: Database, chunks: AsyncIterable[bytes], *, name: str
) -> ReusedRequest:
    """What a file says of its making that is not kept. `name` is for messages.

    Raises:
        UnusableFile: it is damaged, too large, or no media.
    """
    with tempfile.TemporaryDirectory(prefix="anime-upload-") as folder:
        path = Path(folder) / "file"
        with path.open("wb") as stream:
            async for chunk in limited(chunks, name):
                await asyncio.to_thread(stream.write, chunk)
        found = await describe_upload(path, name=name)
    stamp = read_stamp(found.facts.texts)
    if stamp is not None:
        async with database.autocommit() as session:
            if (known := await _of_known_job(stamp.job_id, session)) is not None:
                return known
    return of_recipe({**found.made, "kind": found.facts.kind.file_type})


async def _of_known_job(job_id: UUID | None, session: AsyncSession) -> ReusedRequest | None:
    if job_id is None:
        return None
    try:
        return await _of_job(job_id, session)
    except NotFound:  # of another studio, or of a database that was lost
        return None


async def _of_job(job_id: UUID, session: AsyncSession) -> ReusedRequest | None:
    """The job's request; None if its workflow is a recorded graph, which nobody can change."""
    jobs = JobRepository(session)
    job, request = await jobs.get(job_id), await jobs.request_of(job_id)
    if request.workflow_name.startswith(RECORDED_PREFIX):
        return None
    return of_job(job_id, request, seed=job.seed)


def _made(file: FileRecord) -> Mapping[str, JsonValue]:
    """What the file's row says, with the size that was asked for if it was scaled since."""
    said = {"width": file.width, "height": file.height, **file.metadata, "kind": file.file_type}
    for side in ("width", "height"):
        said[side] = file.metadata.get(f"canvas_{side}") or said[side]
    if str(said.get("workflow", "")).startswith(RECORDED_PREFIX):
        del said["workflow"]
    return said

"""What a person sees of a run in the Prefect UI."""

import logging
from collections.abc import Sequence
from uuid import UUID

import httpx
from prefect import runtime
from prefect.artifacts import (
    acreate_image_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from anime.schemas import FileRecord, GenerationRequest

_log = logging.getLogger(__name__)
_UNSHOWN = (httpx.HTTPError, PrefectHTTPStatusError)  # a page without a bar fails no generation


class ProgressBar:
    """The progress artifact of one run; without an id there is none to move."""

    def __init__(self, artifact_id: UUID | None) -> None:
        self._id = artifact_id
        self._shown = 0

    async def move(self, percent: int) -> None:
        """Show that much, if it is news."""
        if self._id is None or percent == self._shown:
            return
        try:
            await aupdate_progress_artifact(self._id, progress=float(percent))
            self._shown = percent
        except _UNSHOWN as fault:
            _log.warning("The progress bar in Prefect did not move: %s", fault)


async def open_progress_bar(job_id: UUID) -> ProgressBar:
    """A bar at 0 %, on the page of the current run."""
    try:
        artifact = await acreate_progress_artifact(
            progress=0.0,
            key=f"progress-{_short(job_id)}",
            description="Sampler steps over all nodes",
        )
    except _UNSHOWN as fault:
        _log.warning("There is no progress bar in Prefect: %s", fault)
        return ProgressBar(None)
    return ProgressBar(artifact)


async def tag_run(request: GenerationRequest) -> None:
    """Tag the current flow run with what one filters by: project, character, shot, kind."""
    named = {"project": request.project, "character": request.character, "shot": request.shot}
    tags = {f"{key}:{value}" for key, value in named.items() if value} | {str(request.type)}
    run_id = runtime.flow_run.id
    if run_id is None:
        return
    try:
        async with get_client() as client:
            await client.update_flow_run(
                UUID(str(run_id)), tags=tags | set(runtime.flow_run.tags or [])
            )
    except _UNSHOWN as fault:
        _log.warning("The run has no tags in Prefect: %s", fault)


async def show_files(job_id: UUID, files: Sequence[FileRecord], browser_url: str) -> None:
    """Put each picture, and a table of all, on the page of the current run."""
    for file in files:
        await acreate_image_artifact(
            image_url=f"{browser_url}/api/anime/files/{file.id}/content",
            key=f"picture-{file.id}",
            description=f"{file.filename}, {file.width}×{file.height}",
        )
    await acreate_table_artifact(
        table=[
            {
                "file": file.filename,
                "size": f"{file.width}×{file.height}",
                "bytes": file.file_size,
                "seed": str(file.metadata.get("seed", "")),
                "path": file.file_path,
            }
            for file in files
        ],
        key=f"files-{_short(job_id)}",
        description="What this run made",
    )


def _short(job_id: UUID) -> str:
    """The part of the id that people read out; artifacts of one key are versions of each other."""
    return job_id.hex[:12]

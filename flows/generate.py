"""One prompt → files in the library, rows in PostgreSQL."""

from typing import Any

from prefect import flow

from anime.runs.cancellation_hook import ends_as_its_job, stop_job
from anime.runs.execution import execute_job
from anime.runs.flow_form import form_of
from anime.runs.preflight import run_preflight
from anime.runs.render import render_files
from anime.schemas import GenerationRequest
from tasks.artifacts import show_files, show_pictures
from tasks.files import make_thumbnails
from tasks.records import files_of, record


@flow(name="generate", on_cancellation=[stop_job])
@ends_as_its_job
@form_of(GenerationRequest, job_id="Job to go on with; left out, the run is a new job.")
async def generate(**parameters: Any) -> list[str]:  # the request's fields, validated below
    """Render one prompt with ComfyUI and keep its files.

    Running it again for the same job is the recovery: each step finds what is done and goes on.
    """
    async with execute_job(parameters) as job:
        if job.has_ended:
            return [file.file_path for file in await files_of(job.database, job.job_id)]
        blocks = job.blocks
        preflight = await run_preflight(job)
        result, outputs = await render_files(job, preflight)
        thumbnails = await make_thumbnails(job.library.root, outputs.placed)
        files = await record(
            job.database, job.lease, result, outputs, thumbnails=thumbnails, reporter=job.reporter
        )
        await job.reporter.completed([file.file_path for file in files], outputs.unkept)
    await show_pictures(files, blocks.library.browser_url)
    if not job.connections.is_shared:
        await show_files(job.job_id, files, outputs.unkept)
    return [file.file_path for file in files]

"""One prompt → files in the library, rows in PostgreSQL."""

from typing import Any

from prefect import flow

from anime.schemas import GenerationRequest
from flows.cancellation import ends_as_its_job, stop_job
from flows.form import takes_fields_of
from flows.job_run import job_of_this_run
from flows.plan import prepare
from flows.render import render
from tasks.artifacts import show_files, show_pictures
from tasks.files import organise
from tasks.images import make_thumbnails
from tasks.records import files_of, record
from tasks.vram import check_vram


@flow(name="generate", on_cancellation=[stop_job])
@ends_as_its_job
@takes_fields_of(GenerationRequest, job_id="Job to go on with; left out, the run is a new job.")
async def generate(**order: Any) -> list[str]:  # the request's fields, validated below
    """Render one prompt with ComfyUI and keep what it makes.

    Running it again for the same job is the recovery: each step finds what is done and goes on.
    """
    async with job_of_this_run(order) as job:
        if job.lease is None:
            return [file.file_path for file in await files_of(job.database, job.job_id)]
        studio = job.studio
        plan = await prepare(job)
        await check_vram(job.comfy, studio.comfyui, plan.need_mb, reporter=job.reporter)
        take = await render(job, plan)
        placed = await organise(
            job.comfy,
            job.library,
            take,
            output_dir=studio.comfyui.output_dir,
            zone=studio.library.zone,
            reporter=job.reporter,
        )
        thumbnails = await make_thumbnails(job.library.root, placed)
        files = await record(
            job.database, job.held, take, placed, thumbnails=thumbnails, reporter=job.reporter
        )
        await job.reporter.completed([file.file_path for file in files])
    await show_pictures(files, studio.library.browser_url)
    if not job.house.is_shared:
        await show_files(job.job_id, files)
    return [file.file_path for file in files]

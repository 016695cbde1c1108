"""One prompt → files in the library, rows in PostgreSQL."""

from typing import Any

from prefect import flow

from anime.runs.cancellation_hook import ends_as_its_job, stop_job
from anime.runs.flow_form import form_of
from anime.runs.generation import id_of_run, run_generation
from anime.schemas import GenerationRequest
from tasks.artifacts import show_files, show_pictures


@flow(name="generate", on_cancellation=[stop_job])
@ends_as_its_job
@form_of(GenerationRequest, job_id="Job to go on with; left out, the run is a new job.")
async def generate(**parameters: Any) -> list[str]:  # the request's fields, validated below
    """Render one prompt with ComfyUI and keep its files.

    Running it again for the same job is the recovery: each step finds what is done and goes on. A
    run that names no job, such as one that somebody starts in Prefect, is a job under its own id.
    """
    run_id = id_of_run()
    job_id = parameters.pop("job_id", None) or run_id
    request = GenerationRequest.model_validate(parameters)
    made = await run_generation(request, job_id=job_id, run_id=run_id)
    await show_pictures(made.files, made.browser_url)
    await show_files(made.job_id, made.files, made.unkept)
    return made.paths

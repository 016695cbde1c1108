"""Many generations in one run: rendered side by side, shown on one contact sheet."""

from typing import Any

from prefect import flow, runtime

from anime.core.batches import BatchRequest
from anime.core.field_errors import checked
from anime.runs.batch_children import cancel_children, render_all
from anime.runs.batch_outcome import name_of_sheet, paths_of, pictures_of, raise_unless_complete
from anime.runs.connections import open_connections
from anime.runs.flow_form import form_of
from anime.runs.generation import id_of_run
from tasks.artifacts import show_batch
from tasks.batches import create_batch_jobs, read_outcomes
from tasks.sheets import draw_contact_sheet


def name_of_run() -> str:
    """The name of the batch."""
    return str(runtime.flow_run.parameters.get("name", "batch"))


# Prefect would walk through ten thousand requests, to check what is checked below.
@flow(
    name="batch",
    flow_run_name=name_of_run,
    on_cancellation=[cancel_children],
    validate_parameters=False,
)
@form_of(BatchRequest)
async def batch(**parameters: Any) -> list[str]:  # the request's fields, validated below
    """Render many generations with ComfyUI, each as a job of its own, and keep their files.

    One that fails does not stop the others. Running the batch again renders what is missing.
    """
    asked = checked(BatchRequest, parameters, "Correct it, and start the batch again.")
    name, run_id = asked.name, id_of_run()
    async with open_connections(is_shared=True) as connections:
        jobs = await create_batch_jobs(connections.database, asked, run_id)
        del asked  # which may be 25 MB
        await render_all(jobs, connections, run_id)
        outcomes = await read_outcomes(connections.database, jobs)
        sheet = await draw_contact_sheet(
            connections.library.root, name_of_sheet(name, run_id), pictures_of(outcomes)
        )
        await show_batch(outcomes, sheet, connections.blocks.library.browser_url)
    raise_unless_complete(outcomes, len(jobs))
    return paths_of(outcomes)

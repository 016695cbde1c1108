"""Many generations in one run: rendered side by side, shown on one sheet."""

from typing import Any

from prefect import flow, runtime

from anime.core.batches import BatchRequest
from flows.children import cancel_children, id_of_run, render_all
from flows.form import takes_fields_of
from flows.house import open_house
from flows.outcomes import name_of_sheet, paths_of, pictures_of, raise_unless_complete
from tasks.artifacts import show_batch
from tasks.batches import read_outcomes, write_down_batch
from tasks.sheets import draw_contact_sheet


def name_of_run() -> str:
    """The name of the batch."""
    return str(runtime.flow_run.parameters.get("name", "batch"))


@flow(name="batch", flow_run_name=name_of_run, on_cancellation=[cancel_children])
@takes_fields_of(BatchRequest)
async def batch(**order: Any) -> list[str]:  # the request's fields, validated below
    """Render many generations with ComfyUI, each a job of its own, and keep what they make.

    One that fails does not stop the others. Running the batch again renders what is missing.
    """
    asked = BatchRequest.model_validate(order)
    run_id = id_of_run()
    async with open_house(is_shared=True) as house:
        jobs = await write_down_batch(house.database, asked, run_id)
        await render_all(jobs, house)
        outcomes = await read_outcomes(house.database, jobs)
        sheet = await draw_contact_sheet(
            house.library.root, name_of_sheet(asked, run_id), pictures_of(outcomes)
        )
        await show_batch(outcomes, sheet, house.studio.library.browser_url)
    raise_unless_complete(outcomes)
    return paths_of(outcomes)

"""A workflow of ComfyUI → one of the studio's own."""

from typing import Any

from prefect import flow

from anime.core.workflow_records import ImportedWorkflow, NewWorkflow
from anime.runs.flow_form import form_of
from anime.settings import get_settings
from anime.settings.addresses import job_server
from tasks.workflows import read_node_classes, write_workflow


@flow(name="import-workflow")
@form_of(NewWorkflow)
async def import_workflow(**parameters: Any) -> ImportedWorkflow:  # the model's fields
    """Import a workflow that ComfyUI's editor saved or exported, with its inputs found."""
    settings = get_settings()
    classes = await read_node_classes(job_server(settings))
    return await write_workflow(NewWorkflow.model_validate(parameters), classes, settings)

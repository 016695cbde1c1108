"""Importing a workflow: converted, its inputs found, its two files written."""

from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from anime.assets.store import RESTART_SECONDS
from anime.assets.workflow_catalogue import in_workflows
from anime.assets.workflow_import import import_new_workflow
from anime.comfyui.object_info import ServerClasses, load_object_info
from anime.core.workflow_records import ImportedWorkflow, NewWorkflow
from anime.settings import Settings
from tasks.retries import SHORT_TASK_DELAYS, worth_retrying

_SERVER_SECONDS = 60.0  # for an answer of some megabytes


# Twice is harmless: it reads.
@task(
    name="read node classes",
    cache_policy=NO_CACHE,
    retries=len(SHORT_TASK_DELAYS),
    retry_delay_seconds=SHORT_TASK_DELAYS,
    retry_condition_fn=worth_retrying,
)
async def read_node_classes(address: str) -> ServerClasses:
    """The node classes of the server that workflows are imported for.

    Raises:
        ComfyUIUnreachable, ComfyUIError: it does not answer, or is no ComfyUI.
    """
    return await load_object_info(address, timeout_seconds=_SERVER_SECONDS)


# Not retried: what is refused once is refused again.
@task(name="import workflow", cache_policy=NO_CACHE)
async def write_workflow(
    new: NewWorkflow, classes: ServerClasses, settings: Settings
) -> ImportedWorkflow:
    """What became of the import; the run's log says what is left out, lost and missing.

    Raises:
        InvalidWorkflow: it is no workflow, cannot be converted, or prompt or output are in doubt.
        AlreadyExists: the name is taken.
        ConfigurationError: the studio's folder cannot take it.
    """
    write = partial(import_new_workflow, new, classes, settings)
    imported = await in_workflows(settings, write, seconds=RESTART_SECONDS)
    log = get_run_logger()
    for each in imported.inputs:
        log.info("%s: %s (%s)", each.name, ", ".join(each.places), each.signal or "as before")
    for line in imported.remarks():
        log.warning("%s", line)
    return imported

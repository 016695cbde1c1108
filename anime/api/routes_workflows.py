"""Workflows: which there are, what each takes, and importing one."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response, status

from anime.api.app_state import AppState, StateDependency
from anime.api.error_documentation import problems
from anime.api.middleware import JsonRoute
from anime.assets.folder_reader import READ_SECONDS
from anime.assets.workflow_catalogue import (
    find_workflow,
    in_workflows,
    workflow_record,
    workflow_summaries,
)
from anime.assets.workflow_import import import_new_workflow
from anime.comfyui.object_info import RecentClasses, ServerClasses
from anime.core.workflow_records import (
    ImportedWorkflow,
    NewWorkflow,
    WorkflowList,
    WorkflowOffers,
    WorkflowRecord,
)
from anime.errors import ComfyUIUnreachable
from anime.jobs.offers import read_offers
from anime.schemas import WorkflowName
from anime.settings import Settings
from anime.settings.addresses import not_known

router = APIRouter(prefix="/workflows", tags=["workflows"], route_class=JsonRoute)
_SERVER_SECONDS = 30.0  # for an answer of some megabytes

NameInPath = Annotated[WorkflowName, Path(description="Name of the workflow.")]


def classes_of_first_server(settings: Settings) -> RecentClasses | None:
    """The node classes that imports are converted for; None if no ComfyUI is known."""
    urls = settings.comfyui_urls
    return RecentClasses(urls[0], timeout_seconds=_SERVER_SECONDS) if urls else None


@router.get("")
async def list_workflows(state: StateDependency) -> WorkflowList:
    """All workflows by name, the studio's own, and those that are shipped."""
    items = await in_workflows(state.settings, partial(workflow_summaries, state.settings))
    return WorkflowList(items=items)


@router.get("/{name}", responses=problems(404))
async def workflow_by_name(name: NameInPath, state: StateDependency) -> WorkflowRecord:
    """One workflow, with a JSON schema of what a request may say for it."""
    settings = state.settings
    return await in_workflows(
        settings, lambda: workflow_record(find_workflow(name, settings), settings)
    )


@router.get("/{name}/offers", responses=problems(404))
async def workflow_offers(name: NameInPath, state: StateDependency) -> WorkflowOffers:
    """What the servers offer for the workflow's inputs now: samplers, models, LoRAs, ranges."""
    template = await in_workflows(state.settings, partial(find_workflow, name, state.settings))
    return await read_offers(template, state.database, state.settings)


@router.post("", status_code=status.HTTP_201_CREATED, responses=problems(409, 502))
async def import_workflow(
    new: NewWorkflow, state: StateDependency, request: Request, response: Response
) -> ImportedWorkflow:
    """Import a workflow that ComfyUI's editor saved or exported; all processes see it at once.

    What is certain is bound; what is in doubt is left out and named. An import whose prompt or
    output is in doubt is refused until `choices` say what is meant.
    """
    classes = await _server_classes(state)
    settings = state.settings
    write = partial(import_new_workflow, new, classes, settings)
    imported = await in_workflows(settings, write, seconds=READ_SECONDS)
    response.headers["Location"] = request.app.url_path_for("workflow_by_name", name=new.name)
    return imported


async def _server_classes(state: AppState) -> ServerClasses:
    if state.server_classes is None:
        raise ComfyUIUnreachable(*not_known(state.settings, "ComfyUI server", "ANIME_COMFYUI_URL"))
    return await state.server_classes.get()

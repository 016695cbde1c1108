"""Preflight: library and server checked, pictures uploaded, model found, graph checked."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pydantic import JsonValue

from anime.assets.store import AssetStore
from anime.comfyui.client import ComfyUIClient
from anime.core.graph_validation import check_graph, listed
from anime.core.graphs import Graph
from anime.core.job_status import Stage
from anime.core.node_classes import NodeClassPolicy, node_classes
from anime.core.paths import INPUTS_FOLDER
from anime.core.workflow_build import Template, build, choose_model
from anime.errors import ComfyUIUnreachable, InvalidRequest, PromptRejected
from anime.retry_policies import COMFYUI_CHECK
from anime.schemas import GenerationRequest
from blocks.comfyui import ComfyUIServer
from tasks.progress import Reporter
from tasks.retries import TASK_DELAYS, worth_retrying


@dataclass(frozen=True)
class PreparedTemplate:
    """A template that one server can run, for requests of one kind.

    `model` replaces the template's own, if set; `uploaded` are the inputs whose pictures were
    uploaded, with the pictures' names on the server.
    """

    template: Template
    model: str | None
    uploaded: dict[str, JsonValue]


# Not retried: it waits for the server itself, and only a person can make a folder writable.
@task(name="check services", cache_policy=NO_CACHE)
async def check_services(
    library: AssetStore, comfy: ComfyUIClient, server: ComfyUIServer, *, reporter: Reporter
) -> str:
    """The version of ComfyUI, once it answers and the library has passed its check.

    Raises:
        StorageError: the library is missing, not writable or full.
        ComfyUIUnreachable: the server did not answer for as long as the block allows.
    """
    await library.check()
    give_up_at = time.monotonic() + server.unreachable_timeout_seconds
    while True:
        try:
            return (await comfy.system_stats()).comfyui_version
        except ComfyUIUnreachable as fault:
            if time.monotonic() >= give_up_at:
                raise
            await reporter.enter(Stage.CHECKING_VRAM, f"Waiting for ComfyUI: {fault.what}")
            await COMFYUI_CHECK.wait()


# Twice is harmless: it reads, and an uploaded picture is named by its content.
@task(
    name="prepare graph",
    cache_policy=NO_CACHE,
    retries=len(TASK_DELAYS),
    retry_delay_seconds=TASK_DELAYS,
    retry_condition_fn=worth_retrying,
)
async def prepare_template(
    comfy: ComfyUIClient,
    template: Template,
    request: GenerationRequest,
    *,
    library: Path,
    default_model: str | None,
    node_class_policy: NodeClassPolicy,
) -> PreparedTemplate:
    """The template, prepared for this server, which has every node, model and sampler for it.

    Args:
        comfy: The server.
        template: The workflow that the request names.
        request: What is to be rendered.
        library: The folder that has the input pictures.
        default_model: Model to use if the request names none and the server lacks the template's.
        node_class_policy: Which node classes graphs may use.

    Raises:
        InvalidRequest: the template cannot take the request, a picture is missing, or a node
            class is not allowed.
        PromptRejected: the server lacks something; the message names it and what it has.
    """
    pictures = await asyncio.to_thread(_pictures_of, request, library)
    uploaded = _renamed(request.inputs, await _upload(comfy, pictures))
    request = request.model_copy(update={"inputs": request.inputs | uploaded})
    model = await _find_model(comfy, template, request, default_model)
    graph = build(
        template, request, seed=request.seed or 0, filename_prefix="", default_model=model
    )
    await _check(comfy, graph, node_class_policy)
    return PreparedTemplate(template, model, uploaded)


def _pictures_of(request: GenerationRequest, library: Path) -> dict[str, Path]:
    """The input pictures in the library, by the values that name them."""
    folder = (library / INPUTS_FOLDER).resolve()
    pictures: dict[str, Path] = {}
    for name, value in request.inputs.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each.startswith(f"{INPUTS_FOLDER}/"):
                path = (library / each).resolve()
                if not path.is_relative_to(folder) or not path.is_file():
                    raise InvalidRequest(
                        f"Input {name}: {each} is no picture in {folder}.",
                        "Give it again, as with `anime generate --image FILE`.",
                    )
                pictures[each] = path
    return pictures


async def _upload(comfy: ComfyUIClient, pictures: dict[str, Path]) -> dict[str, str]:
    """Upload the pictures; return their names on the server, by the same values."""
    return {
        value: await comfy.upload_image(path.name, await asyncio.to_thread(path.read_bytes))
        for value, path in pictures.items()
    }


def _renamed(inputs: dict[str, JsonValue], names: dict[str, str]) -> dict[str, JsonValue]:
    """The inputs that have a picture, with the names of their pictures on the server."""

    def renamed(value: JsonValue) -> JsonValue:
        if isinstance(value, list):
            return [renamed(each) for each in value]
        return names.get(value, value) if isinstance(value, str) else value

    uploaded = {name: renamed(value) for name, value in inputs.items()}
    return {name: value for name, value in uploaded.items() if value != inputs[name]}


async def _find_model(
    comfy: ComfyUIClient, template: Template, request: GenerationRequest, default: str | None
) -> str | None:
    """The model that replaces the template's own; None to keep that.

    A template is made on one machine and rendered on another: see `choose_model`.
    """
    bound = template.inputs.get("model")
    if bound is None:
        return None
    loader = str(template.graph[template.node_id(bound)]["class_type"])
    known = (await comfy.object_info({loader})).get(loader)
    choices = known.inputs[bound.input].choices if known and bound.input in known.inputs else ()
    model = choose_model(template, request, [str(choice) for choice in choices], default)
    if model is not None:
        get_run_logger().info("Using model %s: the server lacks the template's", model)
    return model


async def _check(comfy: ComfyUIClient, graph: Graph, policy: NodeClassPolicy) -> None:
    classes = node_classes(graph).keys()
    nodes = await comfy.object_info(classes)
    gone = classes - nodes.keys()
    replaced = await comfy.replaced_classes(gone) if gone else {}
    policy.check(graph, successors={old: info.name for old, info in replaced.items()})
    problems = await asyncio.to_thread(check_graph, graph, nodes | replaced)
    if problems:
        raise PromptRejected(
            f"{comfy.base_url} cannot run this: {listed(problems)}",
            "Change the request, or install what is missing on the server.",
            problems=tuple(map(str, problems)),
        )

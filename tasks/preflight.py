"""Preflight: library and servers checked, model found, graph checked, pictures uploaded."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prefect.logging import get_run_logger
from pydantic import JsonValue

from anime.assets.store import AssetStore, reading_faults
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.protocol import CHECK_SERVER
from anime.core.graph_validation import check_graph, listed
from anime.core.graphs import Graph
from anime.core.job_status import Stage
from anime.core.node_classes import NodeClassPolicy, node_classes
from anime.core.paths import INPUTS_FOLDER
from anime.core.workflow_build import Template, build, choose_model
from anime.errors import ComfyUIUnreachable, InvalidRequest, PromptRejected
from anime.retry_policies import COMFYUI_CHECK, TASK
from anime.schemas import GenerationRequest
from blocks.comfyui import ComfyUIServer
from tasks.progress import Reporter

_MB = 1024 * 1024
_ANSWER_SECONDS = 5.0  # of one of several servers: the others render meanwhile


@dataclass(frozen=True)
class PreparedTemplate:
    """A template that one server can run, for requests of one kind.

    `model` replaces the template's own, if set; `pictures` are the input pictures in the library,
    by the values that name them.
    """

    template: Template
    model: str | None
    pictures: dict[str, Path]


@dataclass(frozen=True)
class ServerCheck:
    """What a server has answered; `vram_total_mb` is None if nobody says it.

    `device` is the one that it renders on, as its fingerprint has it; empty if it names none.
    """

    version: str
    vram_total_mb: int | None
    device: str = ""


# Not retried: it waits for the servers itself, and only a person can make a folder writable.
async def check_services(
    library: AssetStore | None,
    servers: Mapping[str, ComfyUIClient],
    block: ComfyUIServer,
    *,
    reporter: Reporter,
) -> dict[str, ServerCheck | None]:
    """What each server answers, None if it does not, once one answers and the library is there.

    Args:
        library: The library; None if it was checked just now.
        servers: The servers, by address.
        block: How long to wait for them.
        reporter: Gets what is waited for.

    Raises:
        StorageError: the library is missing, not writable or full.
        ComfyUIUnreachable: no server answered for as long as the block allows.
    """
    if library is not None:
        await library.check()
    if not servers:
        return {}
    give_up_at = time.monotonic() + block.unreachable_timeout_seconds
    answer_seconds = _ANSWER_SECONDS if len(servers) > 1 else None
    while True:
        looks = [_look_at(comfy, answer_seconds) for comfy in servers.values()]
        found = dict(zip(servers, await asyncio.gather(*looks), strict=True))
        faults = [each for each in found.values() if isinstance(each, ComfyUIUnreachable)]
        if len(faults) < len(found):
            return {
                url: each if isinstance(each, ServerCheck) else None for url, each in found.items()
            }
        if time.monotonic() >= give_up_at:
            raise faults[0]
        await reporter.enter(Stage.CHECKING_VRAM, f"Waiting for ComfyUI: {faults[0].what}")
        await COMFYUI_CHECK.wait()


async def _look_at(
    comfy: ComfyUIClient, answer_seconds: float | None
) -> ServerCheck | ComfyUIUnreachable:
    """What the server says of itself; of several, one that is slow to answer is passed over."""
    try:
        async with asyncio.timeout(answer_seconds):
            stats = await comfy.system_stats()
    except TimeoutError:
        what = f"{comfy.name} did not answer within {answer_seconds:g} s."
        return ComfyUIUnreachable(what, CHECK_SERVER)
    except ComfyUIUnreachable as fault:
        return fault
    device = stats.devices[0] if stats.devices else None
    has_vram = device is not None and device.type != "cpu" and device.vram_total > 0
    total = device.vram_total // _MB if device is not None and has_vram else None
    return ServerCheck(stats.comfyui_version, total, device.described if device else "")


# Twice is harmless: it reads.
async def prepare_template(
    comfy: ComfyUIClient,
    template: Template,
    request: GenerationRequest,
    *,
    library: AssetStore,
    default_model: str | None,
    node_class_policy: NodeClassPolicy,
) -> PreparedTemplate:
    """The template, prepared for this server, which has every node, model and sampler for it.

    Its pictures are uploaded when the server is chosen, and are taken to be there.

    Args:
        comfy: The server.
        template: The workflow that the request names.
        request: What is to be rendered.
        library: The store that has the input pictures.
        default_model: Model to use if the request names none and the server lacks the template's.
        node_class_policy: Which node classes graphs may use.

    Raises:
        InvalidRequest: the template cannot take the request, a picture is missing, or a node
            class is not allowed.
        PromptRejected: the server lacks something; the message names it and what it has.
    """
    # Twice is harmless: it looks where files are.
    pictures: dict[str, Path] = await TASK.call(
        lambda: library.in_thread(_pictures_of, request, library.root)
    )
    names = {value: path.name for value, path in pictures.items()}
    request = with_uploaded(request, names)

    async def checked(*, is_fresh: bool) -> PreparedTemplate:
        model = await _find_model(comfy, template, request, default_model, is_fresh=is_fresh)
        graph = build(
            template, request, seed=request.seed or 0, filename_prefix="", default_model=model
        )
        arriving = frozenset(names.values())
        await _check(comfy, graph, node_class_policy, arriving=arriving, is_fresh=is_fresh)
        return PreparedTemplate(template, model, pictures)

    if comfy.facts.remembers_nodes:
        with suppress(InvalidRequest):  # what is missing may have come since
            return await checked(is_fresh=False)
    return await checked(is_fresh=True)


# Twice is harmless: a picture is named by its content.
async def upload_pictures(
    comfy: ComfyUIClient, library: AssetStore, pictures: Mapping[str, Path]
) -> dict[str, str]:
    """The pictures' names on the server, by the same values, once they are there.

    Raises:
        ComfyUIUnreachable: the server does not answer.
        StorageUnavailable: a picture cannot be read now.
    """

    async def upload() -> dict[str, str]:
        return {
            value: await comfy.upload_image(path.name, await library.in_thread(_content_of, path))
            for value, path in pictures.items()
        }

    return await TASK.call(upload)


def with_uploaded(request: GenerationRequest, names: Mapping[str, str]) -> GenerationRequest:
    """The request with the pictures' names on the server for the values that name them here."""
    return request.model_copy(update={"inputs": request.inputs | _renamed(request.inputs, names)})


def _pictures_of(request: GenerationRequest, library: Path) -> dict[str, Path]:
    """The input pictures in the library, by the values that name them."""
    folder = (library / INPUTS_FOLDER).resolve()
    pictures: dict[str, Path] = {}
    for name, value in request.inputs.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and each.startswith(f"{INPUTS_FOLDER}/"):
                path = (library / each).resolve()
                with reading_faults(path):
                    is_there = path.is_relative_to(folder) and path.is_file()
                if not is_there:
                    raise InvalidRequest(
                        f"Input {name}: {each} is no picture in {folder}.",
                        "Give it again, as with `anime generate --image FILE`.",
                    )
                pictures[each] = path
    return pictures


def _content_of(picture: Path) -> bytes:
    with reading_faults(picture):
        return picture.read_bytes()


def _renamed(inputs: dict[str, JsonValue], names: Mapping[str, str]) -> dict[str, JsonValue]:
    """The inputs that have a picture, with the names of their pictures on the server."""

    def renamed(value: JsonValue) -> JsonValue:
        if isinstance(value, list):
            return [renamed(each) for each in value]
        return names.get(value, value) if isinstance(value, str) else value

    uploaded = {name: renamed(value) for name, value in inputs.items()}
    return {name: value for name, value in uploaded.items() if value != inputs[name]}


async def _find_model(
    comfy: ComfyUIClient,
    template: Template,
    request: GenerationRequest,
    default: str | None,
    *,
    is_fresh: bool,
) -> str | None:
    """The model that replaces the template's own; None to keep that.

    A template is made on one machine and rendered on another: see `choose_model`.
    """
    bound = template.inputs.get("model")
    if bound is None:
        return None
    loader = str(template.graph[template.node_id(bound)]["class_type"])
    known = (await comfy.object_info({loader}, is_fresh=is_fresh)).get(loader)
    choices = known.inputs[bound.input].choices if known and bound.input in known.inputs else ()
    model = choose_model(template, request, [str(choice) for choice in choices], default)
    if not is_fresh and model is not None:
        # The template's own may have come since.
        return await _find_model(comfy, template, request, default, is_fresh=True)
    if model is not None:
        get_run_logger().info("Using model %s: the server lacks the template's", model)
    return model


async def _check(
    comfy: ComfyUIClient,
    graph: Graph,
    policy: NodeClassPolicy,
    *,
    arriving: frozenset[str],
    is_fresh: bool,
) -> None:
    """Refuse what the server cannot run; `arriving` are files that it will have been given."""
    classes = node_classes(graph).keys()
    nodes = await comfy.object_info(classes, is_fresh=is_fresh)
    gone = classes - nodes.keys()
    replaced = await comfy.replaced_classes(gone) if gone else {}
    policy.check(graph, successors={old: info.name for old, info in replaced.items()})
    takes = {  # of these classes, the choices are files
        node["class_type"]
        for node in graph.values()
        if any(isinstance(each, str) and each in arriving for each in node["inputs"].values())
    }
    infos = {
        name: info.with_choices(arriving) if name in takes else info
        for name, info in (nodes | replaced).items()
    }
    problems = await asyncio.to_thread(check_graph, graph, infos)
    if problems:
        raise PromptRejected(
            f"{comfy.base_url} cannot run this: {listed(problems)}",
            "Change the request, or install what is missing on the server.",
            problems=tuple(map(str, problems)),
        )

"""What a run asks of ComfyUI: reach it, look at the graph, submit, wait for the end."""

import asyncio
import time
from pathlib import Path
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pydantic import JsonValue

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.failures import failure_of
from anime.comfyui.models import (
    Event,
    HistoryEntry,
    NodeProgressed,
    NodesCached,
    ProgressStates,
)
from anime.core.graph_check import check_graph
from anime.core.graphs import Graph
from anime.core.ids import client_id_of
from anime.core.job_status import Stage
from anime.core.progress import ProgressMeter
from anime.core.run_state import Absent, Finished
from anime.core.workflows import Template, choose_model
from anime.errors import ComfyUIUnreachable, PromptRejected
from anime.schemas import GenerationRequest
from blocks.comfyui import ComfyUIServer
from tasks.progress import Reporter
from tasks.rules import BRIEF, PATIENT, worth_retrying

_KNOCK_SECONDS = 1.0


# Not retried: it is itself the wait.
@task(name="reach ComfyUI", cache_policy=NO_CACHE)
async def reach(comfy: ComfyUIClient, server: ComfyUIServer, *, reporter: Reporter) -> str:
    """The version of the server, once it answers.

    Raises:
        ComfyUIUnreachable: it did not answer for as long as the block allows.
    """
    give_up_at = time.monotonic() + server.unreachable_timeout_seconds
    while True:
        try:
            return (await comfy.system_stats()).comfyui_version
        except ComfyUIUnreachable as fault:
            if time.monotonic() >= give_up_at:
                raise
            await reporter.enter(Stage.CHECKING_VRAM, f"Waiting for ComfyUI: {fault.what}")
            await asyncio.sleep(_KNOCK_SECONDS)


# Twice is harmless: it only reads.
@task(
    name="check graph",
    cache_policy=NO_CACHE,
    retries=len(BRIEF),
    retry_delay_seconds=BRIEF,
    retry_condition_fn=worth_retrying,
)
async def check_against_server(comfy: ComfyUIClient, graph: Graph) -> None:
    """Make sure that the server has every node, model and sampler the graph names.

    Raises:
        PromptRejected: it lacks some; the message names them and what it has.
    """
    nodes = await comfy.object_info({str(node["class_type"]) for node in graph.values()})
    problems = tuple(str(problem) for problem in check_graph(graph, nodes))
    if problems:
        raise PromptRejected(
            f"{comfy.base_url} cannot run this: {' '.join(problems)}",
            "Change the request, or install what is missing on the server.",
            problems=problems,
        )


# Twice is harmless: it only reads.
@task(
    name="find checkpoint",
    cache_policy=NO_CACHE,
    retries=len(BRIEF),
    retry_delay_seconds=BRIEF,
    retry_condition_fn=worth_retrying,
)
async def find_checkpoint(
    comfy: ComfyUIClient, template: Template, request: GenerationRequest, default: str | None
) -> str | None:
    """The checkpoint to take in place of the template's own; None to keep that.

    A template is made on one machine and rendered on another: where the request names no model
    and the server lacks the template's, the studio's default or the first one there is taken.
    """
    bound = template.inputs.get("model")
    if bound is None:
        return None
    loader = str(template.graph[template.node_id(bound.node)]["class_type"])
    known = (await comfy.object_info({loader})).get(loader)
    choices = known.inputs[bound.input].choices if known and bound.input in known.inputs else ()
    model = choose_model(template, request, [str(choice) for choice in choices], default)
    if model is not None:
        get_run_logger().info("Taking checkpoint %s: the template's is not on the server", model)
    return model


# Twice is harmless: the name is the content's hash, and ComfyUI answers the name it has.
@task(
    name="upload inputs",
    cache_policy=NO_CACHE,
    retries=len(PATIENT),
    retry_delay_seconds=PATIENT,
    retry_condition_fn=worth_retrying,
)
async def upload_inputs(comfy: ComfyUIClient, pictures: dict[str, Path]) -> dict[str, str]:
    """The names under which the server now knows these pictures, by input."""
    return {
        name: await comfy.upload_image(path.name, await asyncio.to_thread(path.read_bytes))
        for name, path in pictures.items()
    }


# Twice is harmless: it looks for the prompt id in queue and history before it sends.
@task(
    name="submit",
    cache_policy=NO_CACHE,
    retries=len(PATIENT),
    retry_delay_seconds=PATIENT,
    retry_condition_fn=worth_retrying,
)
async def submit(
    comfy: ComfyUIClient,
    graph: Graph,
    *,
    prompt_id: UUID,
    pnginfo: dict[str, JsonValue],
    reporter: Reporter,
) -> None:
    """Put the graph in ComfyUI's queue under our own id, if it is not there already.

    Raises:
        PromptRejected: ComfyUI's validation said no.
        ComfyUIUnreachable: nobody answers, or the outcome is unknown.
    """
    await reporter.enter(Stage.SUBMITTING, "Handing the prompt to ComfyUI")
    if not isinstance(await comfy.find(prompt_id), Absent):
        get_run_logger().info("ComfyUI knows prompt %s already", prompt_id)
        return
    await comfy.submit(
        graph, prompt_id=prompt_id, client_id=client_id_of(prompt_id), extra_pnginfo=pnginfo
    )


# Not retried: it rides out a server that is away by itself, and a lost prompt needs a new id.
@task(name="poll completion", cache_policy=NO_CACHE)
async def poll_completion(
    comfy: ComfyUIClient,
    server: ComfyUIServer,
    graph: Graph,
    *,
    prompt_id: UUID,
    reporter: Reporter,
) -> HistoryEntry:
    """What ComfyUI's history says of the prompt, once it has ended well.

    Raises:
        PromptLost: the server has forgotten the prompt.
        RenderStalled: no progress for too long; the prompt was cancelled.
        NodeFailed, OutOfVram, PromptInterrupted: the prompt has ended badly.
        ComfyUIUnreachable: the server stayed away for too long.
    """
    meter = ProgressMeter.of(graph)
    await reporter.enter(Stage.RENDERING, "In ComfyUI's queue")
    async for event in comfy.follow(
        prompt_id,
        client_id_of(prompt_id),
        poll_seconds=server.poll_seconds,
        stall_timeout_seconds=server.stall_timeout_seconds,
        unreachable_timeout_seconds=server.unreachable_timeout_seconds,
    ):
        if isinstance(event, Finished):
            if not event.entry.succeeded:
                raise failure_of(event.entry, graph)
            return event.entry
        meter = _measured(meter, event)
        await reporter.rendering(meter)
    raise AssertionError("follow() ends with Finished or an error")


def _measured(meter: ProgressMeter, event: Event) -> ProgressMeter:
    """The meter after one event."""
    match event:
        case NodesCached():
            return meter.cached(event.nodes)
        case NodeProgressed():
            return meter.update(event.node, event.value, event.max)
        case ProgressStates():
            for node, state in event.nodes.items():
                meter = meter.update(
                    node, state.value, state.max, finished=state.state == "finished"
                )
    return meter

"""A run's calls of ComfyUI: submit a prompt, and follow it to its end."""

from uuid import UUID

from opentelemetry import trace
from prefect import runtime
from prefect.logging import get_run_logger
from pydantic import JsonValue

from anime.comfyui.client import ComfyUIClient
from anime.comfyui.event_listener import EventListener
from anime.comfyui.failures import blocked_node, failure_of
from anime.comfyui.models import (
    Event,
    ExecutionFailed,
    HistoryEntry,
    NodeProgressed,
    NodesCached,
    PreviewFrame,
    ProgressStates,
)
from anime.comfyui.node_spans import with_node_spans
from anime.core.graphs import Graph
from anime.core.job_status import Stage
from anime.core.progress_meter import IN_QUEUE, ProgressMeter
from anime.core.prompt_state import Absent, Finished
from anime.errors import OutOfVram
from blocks.comfyui import ComfyUIServer
from tasks.progress import Reporter
from tasks.retries import TASK_DELAYS
from tasks.steps import step


# Twice is harmless: before it sends again, it looks for the prompt id in queue and history.
@step("submit", TASK_DELAYS)
async def submit(
    comfy: ComfyUIClient,
    graph: Graph,
    *,
    prompt_id: UUID,
    client_id: str,
    pnginfo: dict[str, JsonValue],
    reporter: Reporter,
    is_new: bool = False,
) -> None:
    """Put the graph in ComfyUI's queue under our own id, if it is not there already.

    `is_new`: by the job's row, nobody has sent that prompt, so it is looked for in retries alone.

    Raises:
        PromptRejected: ComfyUI's validation refused it.
        ComfyUIUnreachable: nobody answers, or the outcome is unknown.
    """
    await reporter.enter(Stage.SUBMITTING, "Submitting the prompt to ComfyUI")
    was_sent = not is_new or runtime.task_run.run_count > 1
    if was_sent and not isinstance(await comfy.find(prompt_id), Absent):
        get_run_logger().info("ComfyUI knows prompt %s already", prompt_id)
        return
    await comfy.submit(
        graph,
        prompt_id=prompt_id,
        client_id=client_id,
        extra_pnginfo=pnginfo,
        wants_previews=await reporter.wants_previews(),
    )


# Not retried: it waits for a server that is away by itself, and a lost prompt needs a new id.
@step("poll completion")
async def poll_completion(
    comfy: ComfyUIClient,
    server: ComfyUIServer,
    graph: Graph,
    *,
    prompt_id: UUID,
    listener: EventListener,
    has_heard_all: bool = False,
    refused_seconds: float | None = None,
    reporter: Reporter,
) -> HistoryEntry:
    """The prompt's entry in ComfyUI's history, once it has succeeded.

    What was blocked in it, which only an event tells, is among what is not kept.

    Args:
        comfy: The server that has it.
        server: Its block says how long to wait.
        graph: The graph that was sent.
        prompt_id: The prompt's id.
        listener: Listens to the server's events of the prompt.
        has_heard_all: It was up before the prompt was sent.
        refused_seconds: How long to wait while nobody listens at the server's port; left out,
            as long as for any other server that does not answer.
        reporter: Gets its progress.

    Raises:
        PromptLost: the server has forgotten the prompt.
        RenderStalled: no progress for too long; the prompt was cancelled.
        NodeFailed, OutOfVram, PromptInterrupted: the prompt has failed.
        ServerIdle: the server's worker has died; the prompt was removed there.
        ComfyUIUnreachable, ComfyUIRefused: the server was away for too long.
    """
    meter = ProgressMeter.of(graph)
    blocked: tuple[str, ...] = ()
    await reporter.enter(Stage.RENDERING, IN_QUEUE)
    about = {"comfyui.prompt.id": str(prompt_id), "comfyui.server": comfy.name}
    trace.get_current_span().set_attributes(about)
    events = comfy.follow(
        prompt_id,
        listener,
        has_heard_all=has_heard_all,
        poll_seconds=server.poll_seconds,
        stall_timeout_seconds=server.stall_timeout_seconds,
        silence_timeout_seconds=server.silence_timeout_seconds,
        unreachable_timeout_seconds=server.unreachable_timeout_seconds,
        refused_timeout_seconds=refused_seconds,
    )
    async for event in with_node_spans(events, graph):
        if isinstance(event, Finished):
            if event.entry.succeeded:
                unkept = (*event.entry.unkept, *blocked)
                return event.entry.model_copy(update={"unkept": unkept})
            failure = failure_of(event.entry, graph)
            if isinstance(failure, OutOfVram):
                comfy.facts.freed = None  # perhaps others hold it now: the next check finds out
            raise failure
        if isinstance(event, ExecutionFailed) and not event.ends_prompt:
            blocked = (*blocked, blocked_node(event, graph))
        if isinstance(event, PreviewFrame):
            await reporter.previewing(event)
            continue
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
                    node,
                    state.value,
                    state.max,
                    finished=state.state == "finished",
                    shown_as=state.display_node_id,
                )
    return meter

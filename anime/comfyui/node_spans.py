"""A span for each node that ComfyUI runs, by the events of the prompt."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from opentelemetry import trace
from opentelemetry.trace import Span, StatusCode

from anime.comfyui.models import (
    Event,
    ExecutionFailed,
    HistoryEntry,
    NodeExecuting,
    NodeProgressed,
    NodesCached,
)
from anime.core.graphs import Graph
from anime.core.prompt_state import Finished
from anime.net.tracing import tracer

PromptEvents = AsyncGenerator[Event | Finished[HistoryEntry], None]


def with_node_spans(
    events: PromptEvents, graph: Graph
) -> AsyncIterator[Event | Finished[HistoryEntry]]:
    """The same events; the time of each node that they tell of becomes a span, if there are any."""
    return _traced(events, graph) if trace.get_current_span().is_recording() else events


async def _traced(events: PromptEvents, graph: Graph) -> PromptEvents:
    spans = _NodeSpans(graph)
    try:
        async with aclosing(events):
            async for event in events:
                spans.note(event)
                yield event
    finally:
        spans.end()


class _NodeSpans:
    """The span of the node that runs now, beneath that of the prompt."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._prompt = trace.get_current_span()
        self._node: Span | None = None

    def note(self, event: Event | Finished[HistoryEntry]) -> None:
        """Begin or end a span if the event says that a node began or failed, or that all ended."""
        match event:
            case NodesCached():
                self._prompt.set_attribute("comfyui.nodes.cached", len(event.nodes))
            case NodeExecuting(node=None) | Finished():
                self.end()
            case NodeExecuting(node=str(node)):
                self.end()
                name = str(self._graph.get(node, {}).get("class_type", node))
                about = {"comfyui.node.id": node, "comfyui.node.class": name}
                within = trace.set_span_in_context(self._prompt)
                self._node = tracer.start_span(name, within, attributes=about)
            case NodeProgressed() if self._node is not None:
                self._node.set_attribute("comfyui.node.steps", event.value)
            case ExecutionFailed() if self._node is not None:
                self._node.set_status(StatusCode.ERROR)
                self._node.set_attribute("error.type", event.exception_type)

    def end(self) -> None:
        """End the span of the node, if one runs."""
        if self._node is not None:
            self._node.end()
            self._node = None

"""Which renders cost alike: those of one workflow with one model, in one size and as many steps."""

from dataclasses import dataclass

from anime.core.graph_facts import loaded_models
from anime.core.graphs import Graph
from anime.core.progress_meter import ProgressMeter

_LENGTHS = ("length", "num_frames", "frame_count", "frames")  # inputs that count frames


@dataclass(frozen=True, slots=True)
class RenderKind:
    """Renders that cost alike. `model`: all that is loaded by name, LoRAs left out.

    `size` is WIDTHxHEIGHTxFRAMES, with the pictures of a batch as frames; `steps` are those of all
    samplers.
    """

    workflow: str
    model: str
    size: str
    steps: int = 0


def render_kind(workflow: str, graph: Graph) -> RenderKind:
    """The kind of that graph's renders.

    >>> render_kind("w", {"1": {"class_type": "X", "inputs": {"ckpt_name": "a", "width": 64}}})
    RenderKind(workflow='w', model='a', size='64x0x1', steps=0)
    """
    model = " + ".join(sorted(loaded_models(graph)))
    sides = (_most(graph, "width"), _most(graph, "height"))
    frames = max(1, _most(graph, "batch_size")) * max(1, _most(graph, *_LENGTHS))
    samplers = (node for node in ProgressMeter.of(graph).nodes.values() if node.samples)
    steps = sum(node.units for node in samplers)
    return RenderKind(workflow, model, "x".join(map(str, (*sides, frames))), steps)


def _most(graph: Graph, *names: str) -> int:
    """The greatest whole number that a node has for an input of these names; 0 if none has."""
    values = (node["inputs"].get(name) for node in graph.values() for name in names)
    return max((each for each in values if type(each) is int), default=0)

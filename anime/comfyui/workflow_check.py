"""Whether a server can run workflows as they are: node classes, models, values."""

from collections.abc import Sequence
from copy import deepcopy

from pydantic import JsonValue

from anime.comfyui.client import ComfyUIClient
from anime.core.bindings import InputKind
from anime.core.graph_validation import GraphProblem, check_graph
from anime.core.graphs import Graph
from anime.core.workflow_build import Template

_UNCHECKED: list[JsonValue] = []  # as the value of an input: a list counts as a link
_FROM_REQUESTS = frozenset({InputKind.IMAGE, InputKind.IMAGES})


async def problems_at(
    comfyui: ComfyUIClient, templates: Sequence[Template]
) -> dict[str, tuple[GraphProblem, ...]]:
    """What keeps the server from running each workflow, by name; empty for one that it can run.

    What every request gives is left out, and so is a checkpoint, for which a job takes another.

    Raises:
        ComfyUIUnreachable, ComfyUIError: the server does not answer as ComfyUI does.
    """
    classes = {node["class_type"] for each in templates for node in each.graph.values()}
    infos = await comfyui.object_info(classes)
    infos |= await comfyui.replaced_classes(classes - infos.keys())
    return {each.name: check_graph(_without_given(each), infos) for each in templates}


def _without_given(template: Template) -> Graph:
    """The graph without the values that requests bring."""
    graph = deepcopy(template.graph)
    for name, bound in template.inputs.items():
        is_checkpoint = name == "model" and bound.input == "ckpt_name"
        if bound.kind in _FROM_REQUESTS or bound.required or is_checkpoint:
            for target in bound.targets:
                graph[template.node_id(target)]["inputs"][target.input] = _UNCHECKED
    return graph

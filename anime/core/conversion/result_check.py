"""Whether the links of a converted graph hold: where they lead, and whether the types fit."""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from anime.core.conversion.bridging import is_compatible
from anime.core.conversion.definitions import (
    ANY_TYPE,
    MATCH_TYPE,
    InputDefinition,
    NodeDefinitions,
)
from anime.core.conversion.findings import NodeFinding
from anime.core.graphs import Graph, is_link, title_of


def check_links(graph: Graph, definitions: NodeDefinitions) -> Iterator[NodeFinding]:
    """Each link that the server cannot follow or will not take, in the order of the nodes."""
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            if is_link(value) and (fault := _fault_of(graph, definitions, node, name)):
                yield NodeFinding(node_id, node["class_type"], title_of(node), fault)


def cycle_in(graph: Graph) -> list[NodeFinding]:
    """The nodes of a cycle of links, if there is one: no server can run them."""
    before = {
        node_id: [value[0] for value in node["inputs"].values() if is_link(value)]
        for node_id, node in graph.items()
    }
    try:
        TopologicalSorter(before).prepare()
    except CycleError as fault:
        cycle = ((node_id, graph[node_id]) for node_id in dict.fromkeys(fault.args[1]))
        return [
            NodeFinding(node_id, node["class_type"], title_of(node), "it feeds itself.")
            for node_id, node in cycle
        ]
    return []


def _fault_of(
    graph: Graph, definitions: NodeDefinitions, node: Mapping[str, Any], name: str
) -> str | None:
    origin_id, slot = node["inputs"][name]
    origin = graph.get(origin_id)
    if origin is None:
        return f"{name} is linked to the node {origin_id}, which is not there."
    outputs = definitions[origin["class_type"]].output_types
    if not 0 <= slot < len(outputs):
        return f"{name} is linked to output {slot} of {title_of(dict(origin))}, which has none."
    wanted = _type_of_input(definitions, node, name)
    given = ANY_TYPE if outputs[slot] == MATCH_TYPE else outputs[slot]
    if is_compatible(given, wanted):
        return None
    return f"{name} takes {wanted}, and is linked to {given} of {title_of(dict(origin))}."


def _type_of_input(definitions: NodeDefinitions, node: Mapping[str, Any], name: str) -> str:
    """The type that an input takes; any, if the server does not say so definitely."""
    at: InputDefinition | None = None
    inputs = definitions[node["class_type"]].inputs_by_name
    names = name.split(".")
    for place, part in enumerate(names):
        at = inputs.get(part)
        if at is None:
            return ANY_TYPE
        if at.item:
            at = at.item
            break
        choice = str(node["inputs"].get(".".join(names[: place + 1])))
        inputs = {each.name: each for each in at.inputs_by_choice.get(choice, ())}
    return ANY_TYPE if at is None or at.kind.startswith("COMFY_") else at.kind

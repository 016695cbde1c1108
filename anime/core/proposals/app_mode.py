"""What the editor's App mode shows of a workflow: `extra.linearData`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anime.core.graphs import Graph
from anime.core.proposals.findings import Place


@dataclass(frozen=True, slots=True)
class AppMode:
    """The inputs and outputs that its author chose for others to see, in their order."""

    inputs: tuple[Place, ...] = ()
    outputs: tuple[str, ...] = ()


def app_mode_of(workflow: Mapping[str, Any] | None, graph: Graph) -> AppMode:
    """What App mode shows, as far as it is in the graph.

    The ids there may be without those of the subgraphs around the node.
    """
    extra = (workflow or {}).get("extra")
    linear = extra.get("linearData") if isinstance(extra, dict) else None
    if not isinstance(linear, dict):
        return AppMode()
    inputs = [
        Place(node_id, pair[1])
        for pair in _listed(linear.get("inputs"))
        if isinstance(pair, list) and len(pair) > 1 and isinstance(pair[1], str)
        for node_id in _ids_in(graph, str(pair[0]))
        if pair[1] in graph[node_id]["inputs"]
    ]
    outputs = [
        node_id for each in _listed(linear.get("outputs")) for node_id in _ids_in(graph, str(each))
    ]
    return AppMode(tuple(dict.fromkeys(inputs)), tuple(dict.fromkeys(outputs)))


def _ids_in(graph: Graph, node_id: str) -> list[str]:
    if node_id in graph:
        return [node_id]
    inner = [each for each in graph if each.rpartition(":")[2] == node_id]
    return inner if len(inner) == 1 else []


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

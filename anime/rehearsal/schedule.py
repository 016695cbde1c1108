"""Which nodes a prompt needs, in which order, and the cache keys of their results."""

import hashlib
import json
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence

from anime.core.graphs import Graph, is_link


def sources_of(graph: Graph, node_id: str, but: Container[str] = ()) -> list[str]:
    """The nodes that a node's links come from, in the order of its inputs, but for some inputs."""
    inputs = graph[node_id]["inputs"].items()
    links = (value for name, value in inputs if is_link(value) and name not in but)
    return [source for source, _slot in links if source in graph]


def reachable_nodes(graph: Graph, outputs: Iterable[str]) -> list[str]:
    """The outputs and all nodes that they need, in the order of the graph."""
    found: set[str] = set()
    waiting = list(outputs)
    while waiting:
        node_id = waiting.pop()
        if node_id not in found:
            found.add(node_id)
            waiting += sources_of(graph, node_id)
    return [node_id for node_id in graph if node_id in found]


def execution_order(
    needs: Mapping[str, Sequence[str]], outputs: Collection[str], cached: Container[str]
) -> Iterator[str]:
    """The nodes to run, each after what it needs; of those that are ready, the one nearest to an
    output goes first, so that pictures are saved as early as possible.

    A node whose needs grow while it runs comes once more, after them.
    """
    waiting, done = _discovered(needs, outputs, cached), set[str]()
    while waiting:
        blocked = set(waiting)
        ready = [node for node in waiting if blocked.isdisjoint(needs[node])]
        nearest = min(ready, key=lambda node: _steps_to_output(needs, node, outputs, waiting))
        waiting.remove(nearest)
        known = len(needs[nearest])
        yield nearest
        if len(needs[nearest]) == known:
            done.add(nearest)
        else:
            found = _discovered(needs, [nearest], cached)
            waiting += [node for node in found if node not in done and node not in waiting]


def _discovered(
    needs: Mapping[str, Sequence[str]], outputs: Iterable[str], cached: Container[str]
) -> list[str]:
    """The nodes that must run, in the order in which a search from the outputs finds them."""
    found: dict[str, None] = {}
    for output in outputs:
        waiting = [output]
        while waiting:
            node_id = waiting.pop()
            if node_id not in found:
                found[node_id] = None
                waiting += [source for source in needs[node_id] if source not in cached]
    return list(found)


def _steps_to_output(
    needs: Mapping[str, Sequence[str]],
    node: str,
    outputs: Collection[str],
    waiting: Collection[str],
) -> int:
    """0 for an output, 1 for a source of one, 2 for a source of that, 3 for all others."""
    layer = {other for other in waiting if other in outputs}
    for steps in range(3):
        if node in layer:
            return steps
        layer = {source for member in layer for source in needs[member]}
    return 3


def signatures(
    graph: Graph, node_ids: Iterable[str], content_of: Callable[[str], str]
) -> dict[str, str]:
    """The cache key of each node: a hash of its class and inputs and all before it, not its id.

    `content_of` returns what else a node depends on: for LoadImage, the hash of its file.
    """
    known: dict[str, str] = {}

    def signature(node_id: str) -> str:
        if node_id not in known:
            node = graph[node_id]
            inputs = {
                name: [signature(value[0]), value[1]]
                if is_link(value) and value[0] in graph
                else [value]
                for name, value in sorted(node["inputs"].items())
            }
            text = json.dumps([node["class_type"], inputs, content_of(node_id)])
            known[node_id] = hashlib.sha256(text.encode()).hexdigest()
        return known[node_id]

    return {node_id: signature(node_id) for node_id in node_ids}

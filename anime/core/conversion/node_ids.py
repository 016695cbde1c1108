"""Ids that are unique in the whole file: an inner node's id is part of what the server is sent.

The editor gives a node of a subgraph another id where its own is taken at the top level or by an
earlier subgraph: one more than the highest so far.
"""

from collections.abc import Iterable, Mapping

from anime.core.conversion.editor_format import EditorNode, EditorWorkflow, Subgraph


def with_unique_ids(workflow: EditorWorkflow) -> EditorWorkflow:
    """The same workflow, no node id in two of its graphs."""
    numbers = _Numbers(workflow)
    renamed = {subgraph.id: numbers.take(subgraph.nodes) for subgraph in workflow.subgraphs}
    if not any(renamed.values()):
        return workflow
    return workflow.model_copy(
        update={
            "nodes": _with_promotions(workflow.nodes, renamed),
            "subgraphs": tuple(_renamed(each, renamed) for each in workflow.subgraphs),
        }
    )


class _Numbers:
    """The ids that are taken, and the next free one."""

    def __init__(self, workflow: EditorWorkflow) -> None:
        self._taken = {node.id for node in workflow.nodes}
        self._highest = workflow.last_node_id
        for node_id in self._taken:
            self._see(node_id)

    def take(self, nodes: Iterable[EditorNode]) -> dict[str, str]:
        """Take the ids of a subgraph's nodes; new ones by old ones where they had to change."""
        changed = {}
        for node in nodes:
            if node.id in self._taken:
                self._highest += 1
                changed[node.id] = str(self._highest)
            else:
                self._see(node.id)
            self._taken.add(changed.get(node.id, node.id))
        return changed

    def _see(self, node_id: str) -> None:
        if node_id.isascii() and node_id.isdigit():
            self._highest = max(self._highest, int(node_id))


def _renamed(subgraph: Subgraph, renamed: Mapping[str, Mapping[str, str]]) -> Subgraph:
    new = renamed[subgraph.id]
    nodes = (node.model_copy(update={"id": new.get(node.id, node.id)}) for node in subgraph.nodes)
    return subgraph.model_copy(
        update={
            "nodes": _with_promotions(nodes, renamed),
            "links": tuple(link.renamed(new) for link in subgraph.links),
        }
    )


def _with_promotions(
    nodes: Iterable[EditorNode], renamed: Mapping[str, Mapping[str, str]]
) -> tuple[EditorNode, ...]:
    """The nodes; what an instance says of inner nodes follows their new ids."""
    return tuple(
        node.model_copy(
            update={
                "properties": node.properties
                | {
                    "proxyWidgets": [
                        [new.get(inner, inner), name] for inner, name in node.promoted_widgets
                    ]
                }
            }
        )
        if (new := renamed.get(node.type)) and node.promoted_widgets
        else node
        for node in nodes
    )

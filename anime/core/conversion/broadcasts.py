"""Inputs that cg-use-everywhere feeds without a link: the file lists them beside its links."""

from typing import Any

from anime.core.conversion.editor_format import (
    SUBGRAPH_INPUTS,
    EditorGraph,
    EditorInput,
    EditorLink,
    EditorNode,
    EditorWorkflow,
)

BROADCASTERS = frozenset(
    {
        *("Anything Everywhere", "Anything Everywhere?", "Anything Everywhere3"),
        *("Prompts Everywhere", "Seed Everywhere"),
    }
)


def with_broadcasts(workflow: EditorWorkflow) -> EditorWorkflow:
    """The workflow with a link for each of these inputs that has none."""
    subgraphs = (each.model_copy(update=_linked(each)) for each in workflow.subgraphs)
    return workflow.model_copy(update=_linked(workflow) | {"subgraphs": tuple(subgraphs)})


def _linked(graph: EditorGraph) -> dict[str, Any]:
    origins = {SUBGRAPH_INPUTS, *(node.id for node in graph.nodes)}
    feeds = {
        (each.downstream, each.downstream_slot): each
        for each in graph.extra.ue_links or ()
        if each.upstream in origins
    }
    links = list(graph.links)

    def fed(node: EditorNode, place: int, slot: EditorInput) -> EditorInput:
        feed = feeds.get((node.id, place))
        if feed is None or slot.link is not None:
            return slot
        link = EditorLink(
            id=f"everywhere {len(links)}",
            origin_id=feed.upstream,
            origin_slot=feed.upstream_slot,
            target_id=node.id,
            target_slot=place,
        )
        links.append(link)
        return slot.model_copy(update={"link": link.id})

    nodes = tuple(
        node.model_copy(
            update={"inputs": tuple(fed(node, *each) for each in enumerate(node.inputs))}
        )
        for node in graph.nodes
    )
    return {"nodes": nodes, "links": tuple(links)} if feeds else {}

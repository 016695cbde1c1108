"""Whether the subgraphs of a workflow can be expanded: some are made to grow without end."""

from collections.abc import Mapping

from anime.core.conversion.editor_format import EditorGraph, EditorWorkflow, Subgraph
from anime.errors import InvalidWorkflow

MOST_NODES = 20_000  # once all subgraphs are expanded
MOST_LEVELS = 100  # of subgraphs in subgraphs
_FLATTEN = "Unpack some of the subgraphs in ComfyUI's editor, and save it again."


def check_size(workflow: EditorWorkflow) -> None:
    """Make sure that the subgraphs can be expanded.

    Raises:
        InvalidWorkflow: one contains itself, they are nested too deeply, or make too many nodes.
    """
    sizes: dict[str, tuple[int, int]] = {}
    total, _ = _size_of(workflow, workflow.subgraphs_by_id, sizes, ())
    for subgraph in workflow.subgraphs:
        _size_of(subgraph, workflow.subgraphs_by_id, sizes, (subgraph.id,))
    if total > MOST_NODES:
        raise InvalidWorkflow(
            f"The workflow has {total:,} nodes with those of its subgraphs; {MOST_NODES:,} are the"
            " most.",
            "Split it.",
        )


def _size_of(
    graph: EditorGraph,
    subgraphs: Mapping[str, Subgraph],
    sizes: dict[str, tuple[int, int]],
    path: tuple[str, ...],
) -> tuple[int, int]:
    """Nodes and levels of a graph, its subgraphs expanded."""
    total, levels = 0, 0
    for node in graph.nodes:
        inner = subgraphs.get(node.type)
        if inner is None:
            total += 1
            continue
        if inner.id in path:
            raise InvalidWorkflow(f'The subgraph "{inner.name[:60]}" contains itself.', _FLATTEN)
        if len(path) >= MOST_LEVELS:
            raise InvalidWorkflow(
                f"Subgraphs are nested in more than {MOST_LEVELS} levels.", _FLATTEN
            )
        if inner.id not in sizes:
            sizes[inner.id] = _size_of(inner, subgraphs, sizes, (*path, inner.id))
        total += sizes[inner.id][0]
        levels = max(levels, 1 + sizes[inner.id][1])
    if len(path) + levels > MOST_LEVELS:
        raise InvalidWorkflow(f"Subgraphs are nested in more than {MOST_LEVELS} levels.", _FLATTEN)
    return total, levels

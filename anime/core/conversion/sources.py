"""What people have: the editor's format, the API format, either of them in a wrapper or a picture.

A file that has both gives the API graph: that is what ran.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anime.core.conversion.convert import convert
from anime.core.conversion.definitions import NodeDefinitions
from anime.core.conversion.findings import Conversion, NodeFinding
from anime.core.conversion.model_files import missing_models
from anime.core.conversion.result_check import check_links, cycle_in
from anime.core.graphs import Graph, is_link, title_of
from anime.core.strict_json import RepeatedKey, load_json
from anime.errors import InvalidWorkflow, WorkflowNotConvertible

_TODO = "Give a workflow that ComfyUI's editor saved or exported, or a file that ComfyUI made."
_GRAPH_KEYS = ("prompt", "output")  # of a body of POST /prompt; of what the editor exports
_MOST_KEY_CHARS = 60


@dataclass(frozen=True, slots=True)
class WorkflowSource:
    """A workflow as somebody has it: an API graph, or in the editor's format."""

    graph: Graph | None
    workflow: Mapping[str, Any] | None = None


def workflow_in_json(text: str) -> WorkflowSource:
    """The workflow in a text.

    Raises:
        InvalidWorkflow: it is no JSON, has a key twice or NaN, or holds no workflow.
    """
    return _only(list(_sources_in(_parsed(text))))


def workflow_in_texts(texts: Mapping[str, str]) -> WorkflowSource:
    """The workflow in the texts that a picture, film or sound carries.

    Raises:
        InvalidWorkflow: there is none, it cannot be read, or there are two different graphs.
    """
    found: list[WorkflowSource] = []
    for key in ("prompt", "workflow"):
        if texts.get(key, "").lstrip().startswith("{"):
            found += _sources_in(_parsed(texts[key]))
    return _only(found)


def convert_source(source: WorkflowSource, definitions: NodeDefinitions) -> Conversion:
    """The graph for a server with these classes; one in API format stays as it is.

    Raises:
        WorkflowNotConvertible: some of its nodes cannot be run there; `refusals` names each.
        InvalidWorkflow: the workflow contradicts itself.
    """
    if source.graph is None:
        return convert(source.workflow or {}, definitions)
    graph = source.graph
    refusals = list(_refused(graph, definitions)) or cycle_in(graph)
    if refusals:
        raise WorkflowNotConvertible(tuple(refusals))
    return Conversion(
        graph=graph,
        warnings=tuple(check_links(graph, definitions)),
        missing_models=missing_models(graph, definitions, ()),
    )


def _refused(graph: Graph, definitions: NodeDefinitions) -> Iterator[NodeFinding]:
    """The nodes that no such server runs."""
    for node_id, node in graph.items():
        faults = [
            f"{name} is linked to the node {value[0][:_MOST_KEY_CHARS]}, which is not there."
            for name, value in node["inputs"].items()
            if is_link(value) and value[0] not in graph
        ]
        if node["class_type"] not in definitions:
            faults.insert(0, "the server has no such node class.")
        if faults:
            yield NodeFinding(node_id, node["class_type"], title_of(node), " ".join(faults))


def _parsed(text: str) -> object:
    try:
        return load_json(text, parse_constant=float)
    except RepeatedKey as fault:
        raise InvalidWorkflow(f"In it, {fault}.", "Remove one of the two.") from None
    except json.JSONDecodeError as fault:
        raise InvalidWorkflow(f"It is no JSON: line {fault.lineno}: {fault.msg}.", _TODO) from None
    except RecursionError:
        raise InvalidWorkflow("It is nested too deeply to be a workflow.", _TODO) from None
    except ValueError:  # a number of thousands of digits
        raise InvalidWorkflow("It has a number that nobody can read.", _TODO) from None


def _sources_in(value: object) -> Iterator[WorkflowSource]:
    """The API graphs, then the editor's workflows, in a value and in what it may wrap."""
    if not isinstance(value, dict):
        return
    parts = [value, *(value.get(key) for key in (*_GRAPH_KEYS, "workflow"))]
    for part in parts:
        if _is_graph(part):
            yield WorkflowSource(_graph_of(part))
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("nodes"), list):
            _refuse_nan(part)
            yield WorkflowSource(None, part)


def _only(sources: list[WorkflowSource]) -> WorkflowSource:
    """The one that counts: an API graph wins, and there must not be two."""
    graphs = [source for source in sources if source.graph is not None]
    if any(source.graph != graphs[0].graph for source in graphs):
        raise InvalidWorkflow(
            "It holds two different graphs in API format.",
            "Say which one is meant: give that alone, as a file of its own.",
        )
    if not sources:
        raise InvalidWorkflow("It holds no workflow.", _TODO)
    return (graphs or sources)[0]


def _is_graph(value: object) -> bool:
    """Whether it means to be a graph in API format."""
    return isinstance(value, dict) and any(
        isinstance(node, dict) and "class_type" in node for node in value.values()
    )


def _graph_of(value: Any) -> Graph:
    """The graph with what ComfyUI reads of each node, and no more.

    Raises:
        InvalidWorkflow: a node has no class or no inputs, or a value is NaN.
    """
    graph: Graph = {}
    for node_id, node in value.items():
        is_node = (
            isinstance(node, dict)
            and isinstance(node.get("class_type"), str)
            and isinstance(node.get("inputs"), dict)
        )
        if not is_node:
            raise InvalidWorkflow(
                f"The node {node_id[:_MOST_KEY_CHARS]} of the graph has no class or no inputs.",
                "Export it again with 'Export (API)'.",
            )
        graph[node_id] = {"inputs": node["inputs"], "class_type": node["class_type"]}
        if isinstance(node.get("_meta"), dict):
            graph[node_id]["_meta"] = node["_meta"]
    _refuse_nan(graph)
    return graph


def _refuse_nan(value: Mapping[str, Any]) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        raise InvalidWorkflow(
            "It holds NaN or Infinity, for which JSON has no word.",
            "Open it in ComfyUI's editor, give the value anew, and save it.",
        ) from None

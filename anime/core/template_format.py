"""Reads a workflow's two files into a Template, or says what is wrong with them."""

import difflib
import json
import tomllib
from collections.abc import Sequence

from pydantic import ValidationError

from anime.core.bindings import Binding, Target
from anime.core.graphs import Graph, Node, is_link, title_of
from anime.core.strict_json import load_json
from anime.core.workflow_build import Template
from anime.errors import InvalidWorkflow

_EXPORT = "Open it in ComfyUI and export it with 'Save (API Format)' / 'Export (API)'."


def parse_template(name: str, graph_text: str, binding_text: str) -> Template:
    """The template made of NAME.json and NAME.toml.

    Raises:
        InvalidWorkflow: a file is not what it should be, or the two do not fit; says which
            file, which node, and what to do.
    """
    graph = parse_graph(f"{name}.json", graph_text)
    binding = _parse_binding(f"{name}.toml", binding_text)
    _check_targets(name, binding, graph)
    if binding.loras:
        _find_node(name, graph, binding.loras.node, "loras")
    return Template(name, graph, binding)


def parse_graph(file: str, text: str) -> Graph:
    """The API-format graph in a JSON text; `file` names it in errors.

    Raises:
        InvalidWorkflow: not JSON, another format, or a graph with loose ends.
    """
    graph = _load_json(file, text)
    if not isinstance(graph, dict) or not graph:
        raise InvalidWorkflow(f"{file} holds no graph.", _EXPORT)
    if isinstance(graph.get("nodes"), list):
        raise InvalidWorkflow(f"{file} is a graph in the format of ComfyUI's editor.", _EXPORT)
    for node_id, node in graph.items():
        _check_node(file, node_id, node)
    for node_id, node in graph.items():
        _check_links(file, graph, node_id, node)
    if not any("filename_prefix" in node["inputs"] for node in graph.values()):
        raise InvalidWorkflow(
            f"{file} saves nothing: no node has an input filename_prefix.",
            "Add a node that saves, such as SaveImage or SaveAnimatedWEBP.",
        )
    return graph


def _load_json(file: str, text: str) -> object:
    try:
        return load_json(text)
    except json.JSONDecodeError as fault:
        raise InvalidWorkflow(
            f"{file} is not JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}.",
            _EXPORT,
        ) from fault
    except (ValueError, RecursionError) as fault:  # such as a key twice, or a nesting beyond reason
        raise InvalidWorkflow(f"{file} cannot be read as JSON: {fault}.", _EXPORT) from fault


def _check_node(file: str, node_id: str, node: object) -> None:
    if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
        raise InvalidWorkflow(f'Node "{node_id}" of {file} has no class_type.', _EXPORT)
    if not isinstance(node.get("inputs"), dict):
        raise InvalidWorkflow(f"{_name(node_id, node)} of {file} has no inputs.", _EXPORT)
    if not isinstance(node.get("_meta", {}), dict):
        raise InvalidWorkflow(
            f"{_name(node_id, {})} of {file} has a _meta without a title.", _EXPORT
        )


def _check_links(file: str, graph: Graph, node_id: str, node: Node) -> None:
    for name, value in node["inputs"].items():
        if is_link(value) and value[0] not in graph:
            raise InvalidWorkflow(
                f'{_name(node_id, node)} of {file}: {name} is linked to node "{value[0]}",'
                " which is not in the graph.",
                "Connect it in ComfyUI and export the graph again.",
            )


def _parse_binding(file: str, text: str) -> Binding:
    try:
        return Binding.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as fault:
        raise InvalidWorkflow(f"{file} is not TOML: {fault}.", "Correct that line.") from fault
    except ValidationError as fault:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in error['loc']) or 'file'}: "
            f"{error['msg'].removeprefix('Value error, ')}"
            for error in fault.errors(include_url=False)
        )
        raise InvalidWorkflow(
            f"{file} does not bind a workflow: {faults}.", "docs/workflows.md says what it holds."
        ) from fault


def _check_targets(name: str, binding: Binding, graph: Graph) -> None:
    owners: dict[tuple[str, str], str] = {}
    for input_name, bound in binding.inputs.items():
        for target in bound.targets:
            node = _find_node(name, graph, target.node, f"inputs.{input_name}")
            _check_input(name, input_name, target, node)
            place = (target.node, target.input)
            if place in owners:
                raise InvalidWorkflow(
                    f'{name}.toml sets {target.input} of node "{target.node}" twice,'
                    f" by inputs.{owners[place]} and inputs.{input_name}.",
                    "Keep one of them.",
                )
            owners[place] = input_name


def _check_input(name: str, input_name: str, target: Target, node: Node) -> None:
    where = f'{name}.toml, inputs.{input_name}: node "{target.node}" ({node["class_type"]})'
    if target.input not in node["inputs"]:
        raise InvalidWorkflow(
            f'{where} has no input "{target.input}".',
            f"Its inputs in {name}.json are: {_listed(list(node['inputs']))}.",
        )
    if is_link(node["inputs"][target.input]):
        raise InvalidWorkflow(
            f'{where}: "{target.input}" comes from another node.',
            "Bind the input of that node, or disconnect it in ComfyUI.",
        )


def _find_node(name: str, graph: Graph, title: str, table: str) -> Node:
    """The one node with that title."""
    found = [node_id for node_id, node in graph.items() if title_of(node) == title]
    where = f"{name}.toml, {table}:"
    if not found:
        titles = [title_of(node) for node in graph.values()]
        near = difflib.get_close_matches(title, titles, n=1)
        hint = f'Did you mean "{near[0]}"? ' if near else ""
        raise InvalidWorkflow(
            f'{where} no node of {name}.json has the title "{title}".',
            f"{hint}The titles are: {_listed(titles)}.",
        )
    if len(found) > 1:
        raise InvalidWorkflow(
            f'{where} {len(found)} nodes of {name}.json have the title "{title}"'
            f" (ids {', '.join(found)}).",
            "Give each its own title in ComfyUI and export the graph again.",
        )
    return graph[found[0]]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names) or "none"


def _name(node_id: str, node: Node) -> str:
    return f'Node "{title_of(node)}" (id {node_id})' if node else f'Node "{node_id}"'

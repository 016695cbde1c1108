"""Reads a workflow's two files into a Template, or says what is wrong with them."""

import difflib
import json
import tomllib
from collections.abc import Sequence
from copy import deepcopy

from pydantic import ValidationError

from anime.core.bindings import Binding, InputKind
from anime.core.graphs import Graph, Node, is_link, title_of
from anime.core.lora_chains import encoder_of, model_of
from anime.core.strict_json import load_json
from anime.core.targets import NodeReference, Target, matching_nodes
from anime.core.workflow_build import Template, needed_nodes, remove_unused_places
from anime.errors import InvalidWorkflow

_MOST_NAMES = 24  # that an error lists
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
    _check_loras(name, binding, graph)
    _check_output_node(name, binding, graph)
    template = Template(name, graph, binding)
    _check_unused_places(template)
    return template


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
            node_id = _find_node(name, graph, target, f"inputs.{input_name}")
            _check_input(name, input_name, target, graph[node_id])
            place = (node_id, target.input)
            if place in owners:
                raise InvalidWorkflow(
                    f"{name}.toml sets {target.input} of {target} twice,"
                    f" by inputs.{owners[place]} and inputs.{input_name}.",
                    "Keep one of them.",
                )
            owners[place] = input_name


def _check_input(name: str, input_name: str, target: Target, node: Node) -> None:
    where = f"{name}.toml, inputs.{input_name}: {target} ({node['class_type']})"
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


def _check_loras(name: str, binding: Binding, graph: Graph) -> None:
    models = []
    for place in binding.loras:
        _find_node(name, graph, place, "loras")
        if place.clip_source:
            _find_node(name, graph, place.clip_source[0], "loras")
        model = model_of(graph, place)
        if model in models:
            raise InvalidWorkflow(
                f"{name}.toml, loras: output {place.model_slot} of {place} is there twice.",
                "Keep one of them.",
            )
        models.append(model)
        encoder = encoder_of(graph, place) if place.clip_node or place.clip_id else None
        for end in (model, encoder):
            if end and not any(end in node["inputs"].values() for node in graph.values()):
                raise InvalidWorkflow(
                    f"{name}.toml, loras: nothing in {name}.json takes output {end[1]} of node"
                    f" {end[0]}: a LoRA there would change nothing.",
                    "Name the node and the output that the samplers get their model from.",
                )


def _check_output_node(name: str, binding: Binding, graph: Graph) -> None:
    if binding.output_node is None:
        return
    node_id = _find_node(name, graph, binding.output_node, "output_node")
    if "filename_prefix" not in graph[node_id]["inputs"]:
        raise InvalidWorkflow(
            f"{name}.toml, output_node: {binding.output_node} saves nothing: it has no input"
            " filename_prefix.",
            "Name the node that saves the take.",
        )


def _check_unused_places(template: Template) -> None:
    """Try each number of pictures that a list may have, and all lists at their shortest."""
    lists = {
        input_name: bound
        for input_name, bound in template.inputs.items()
        if bound.kind is InputKind.IMAGES
    }
    trials = [
        {input_name: count}
        for input_name, bound in lists.items()
        for count in range(bound.fewest_pictures, bound.most_pictures + 1)
    ]
    if len(lists) > 1:
        trials.append({input_name: bound.fewest_pictures for input_name, bound in lists.items()})
    needed = needed_nodes(template)
    for trial in trials:
        graph = deepcopy(template.graph)
        for input_name, count in trial.items():
            try:
                remove_unused_places(template, graph, input_name, count, needed)
            except ValueError as fault:
                raise InvalidWorkflow(
                    f"{template.name}.toml, inputs.{input_name}: with {count} picture(s),"
                    f' unused = "{lists[input_name].unused}" does not work: {fault}.',
                    "Choose another way, or a higher minimum.",
                ) from fault


def _find_node(name: str, graph: Graph, reference: NodeReference, table: str) -> str:
    """The id of the one node that is meant."""
    found = matching_nodes(graph, reference)
    if len(found) == 1:
        return found[0]
    where = f"{name}.toml, {table}:"
    word, wanted, there = _sought(graph, reference)
    if not found:
        near = difflib.get_close_matches(wanted, there, n=1)
        hint = f'Did you mean "{near[0]}"? ' if near else ""
        raise InvalidWorkflow(
            f'{where} no node of {name}.json has the {word} "{wanted}".',
            f"{hint}The {_PLURALS[word]} are: {_listed(there)}.",
        )
    raise InvalidWorkflow(
        f'{where} {len(found)} nodes of {name}.json have the {word} "{wanted}"'
        f" (ids {_cut(found)}).",
        "Give each its own title in ComfyUI and export the graph again, or name the node by its"
        " id in the graph.",
    )


_PLURALS = {"title": "titles", "id": "ids", "class": "classes"}


def _sought(graph: Graph, reference: NodeReference) -> tuple[str, str, list[str]]:
    """By what a node is sought, the value of that, and the values there are."""
    if reference.id is not None:
        return "id", reference.id, list(graph)
    if reference.node is not None:
        return "title", reference.node, [title_of(node) for node in graph.values()]
    classes = dict.fromkeys(node["class_type"] for node in graph.values())
    return "class", reference.class_type or "", list(classes)


def _listed(names: Sequence[str]) -> str:
    return _cut([f'"{name}"' for name in names]) or "none"


def _cut(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} … and {len(names) - _MOST_NAMES} more"


def _name(node_id: str, node: Node) -> str:
    return f'Node "{title_of(node)}" (id {node_id})' if node else f'Node "{node_id}"'

"""From a workflow of ComfyUI's editor to the API graph that the editor would submit."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import JsonValue

from anime.core.conversion.definitions import AUTOGROW, DYNAMIC_COMBO, NodeDefinitions
from anime.core.conversion.editor_format import (
    BYPASSED,
    NEVER,
    EditorInput,
    EditorNode,
    parse_editor_workflow,
)
from anime.core.conversion.findings import Conversion, NodeFinding
from anime.core.conversion.group_nodes import with_subgraphs
from anime.core.conversion.links import (
    PRIMITIVE,
    REROUTE,
    VIRTUAL,
    InstanceInput,
    LinkCycle,
    LinkFollower,
    Output,
    Primitive,
    input_type,
)
from anime.core.conversion.model_files import missing_models, model_files_of
from anime.core.conversion.node_ids import with_unique_ids
from anime.core.conversion.result_check import check_links, cycle_in
from anime.core.conversion.scopes import Definitions, InstanceScope, Scope, check_size
from anime.core.conversion.text_replacement import (
    replace_placeholders,
    without_braces,
    without_comments,
)
from anime.core.conversion.widgets import CUSTOM_COMBO, WidgetValues, custom_combo_index
from anime.core.graphs import Graph
from anime.errors import WorkflowNotConvertible

_VIEWER = "LOAD_3D"  # what the editor's 3D viewer shows: a picture, a camera
_FROM_BROWSER = frozenset({"WEBCAM", "AUDIO_RECORD"})
_DATE = "%date:"
_OLD_SAMPLER_PREFIX = "sample_"
_SAMPLERS = frozenset({"KSampler", "KSamplerAdvanced"})


def convert(workflow: Mapping[str, Any], definitions: NodeDefinitions) -> Conversion:
    """The graph that ComfyUI's editor exports for a workflow, on a server with these classes.

    Args:
        workflow: What the editor saved.
        definitions: The node classes of the server that is to run it.

    Raises:
        WorkflowNotConvertible: the rules do not cover some of its nodes; `refusals` names each.
        InvalidWorkflow: it is no workflow of a known version, or contradicts itself.
    """
    ungrouped, group_faults = with_subgraphs(parse_editor_workflow(workflow))
    parsed = with_unique_ids(ungrouped)
    check_size(parsed)
    conversion = _Converter(Scope(parsed, Definitions(parsed, definitions)), group_faults)
    graph = conversion.graph()
    if refusals := conversion.refusals or cycle_in(graph):
        raise WorkflowNotConvertible(tuple(refusals))
    return Conversion(
        graph=graph,
        warnings=(*conversion.warnings, *check_links(graph, definitions)),
        missing_models=missing_models(graph, definitions, model_files_of(parsed)),
    )


class NodeRefused(Exception):
    """The rules do not cover a node."""


@dataclass(slots=True)
class _Inputs:
    """The inputs of one node of the result: links win over values."""

    values: dict[str, JsonValue]
    links: dict[str, list[str | int]]
    verbatim: set[str]  # inputs whose text comes from an instance, and is sent as it is


class _Converter:
    """Converts the nodes one by one, and collects what is to be said of them."""

    def __init__(self, top: Scope, group_faults: Mapping[str, str]) -> None:
        self._top = top
        self._group_faults = group_faults
        self._definitions = top.definitions
        self._links = LinkFollower()
        self.warnings: list[NodeFinding] = []
        self.refusals: list[NodeFinding] = []

    def graph(self) -> Graph:
        """The API graph, as far as its nodes can be converted; see `refusals`."""
        graph: Graph = {}
        used: dict[InstanceScope, None] = {}
        for scope, node in self._top.nodes():
            used |= dict.fromkeys(scope.instances_around())
            if node.mode in {NEVER, BYPASSED} or node.type in VIRTUAL:
                self._refuse_promoted_primitive(scope, node)
                continue
            try:
                graph[scope.path_of(node)] = self._converted(scope, node)
            except NodeRefused as fault:
                self.refusals.append(self._finding(scope, node, str(fault)))
            except LinkCycle:
                self.refusals.append(
                    self._finding(scope, node, "a link that feeds it leads back to itself.")
                )
        for inside in used:
            self._judge_instance(inside)
        return graph

    def _converted(self, scope: Scope, node: EditorNode) -> dict[str, Any]:
        values = self._definitions.values_of(node)
        if values is None:
            raise NodeRefused(self._group_faults.get(node.id) or _why_unknown(node))
        _refuse_uncovered(node, values)
        self._warn_of_misfits(scope, node, values)
        inputs = self._inputs(scope, node, values)
        self._replace_text(scope, node, values, inputs)
        for name, each in values.inputs.items():
            if each.widget_kind == _VIEWER:
                self._warn(
                    scope, node, f"{name} is left out: only the editor's 3D viewer has a value."
                )
        sent = {
            name: _encoded(value, values.inputs[name].widget_kind)
            for name, value in inputs.values.items()
            if values.inputs[name].widget_kind != _VIEWER
        }
        return {
            "inputs": sent | inputs.links,
            "class_type": node.type,
            "_meta": {"title": self._title(node)},
        }

    def _judge_instance(self, inside: InstanceScope) -> None:
        """Note whether the values of an instance are on the right inputs."""
        if inside.is_uncertain:
            words = "which of its values belongs to which widget inside is not certain."
            self.refusals.append(self._finding(inside.parent, inside.instance, words))
        elif inside.is_by_name:
            words = "its values are read by name: their list is of another version."
            self._warn(inside.parent, inside.instance, words)

    def _refuse_promoted_primitive(self, scope: Scope, node: EditorNode) -> None:
        if node.type != PRIMITIVE or not isinstance(scope, InstanceScope):
            return
        if any(node_id == node.id for node_id, _ in scope.instance.promoted_widgets):
            self.refusals.append(
                self._finding(scope, node, "its value is promoted, which no rule covers.")
            )

    def _inputs(self, scope: Scope, node: EditorNode, values: WidgetValues) -> _Inputs:
        found = _Inputs(dict(values.values), {}, set())
        for (node_id, name), value in scope.instance_values.by_widget.items():
            if node_id == node.id:
                found.values[name] = value
                found.verbatim.add(name)
        for slot in node.inputs:
            if slot.link is not None:
                self._take_link(scope, node, slot, values, found)
        _refuse_other_choice(values, found)
        if node.type == CUSTOM_COMBO:
            found.values |= custom_combo_index(found.values)
        return found

    def _take_link(
        self,
        scope: Scope,
        node: EditorNode,
        slot: EditorInput,
        values: WidgetValues,
        found: _Inputs,
    ) -> None:
        """Resolve the link of an input: another node's output, a value, or nothing."""
        link = scope.graph.links_by_id.get(slot.link or "")
        before = scope.graph.nodes_by_id.get(link.origin_id) if link else None
        if before and before.type == PRIMITIVE and before.mode not in {NEVER, BYPASSED}:
            if slot.name in values.inputs and before.values:
                found.values[slot.name] = before.values[0]
            return
        wanted = input_type(values, node, slot.name)
        origin = self._links.origin_of(scope, slot.link or "", wanted)
        if isinstance(origin, Output):
            found.links[slot.name] = [origin.scope.path_of(origin.node), origin.slot]
        elif isinstance(origin, InstanceInput):
            held = origin.scope.instance_values.by_input
            if slot.name in values.inputs and origin.name in held:
                found.values[slot.name] = held[origin.name]
                found.verbatim.add(slot.name)
        elif isinstance(origin, Primitive):
            if before and before.type == REROUTE:
                raise NodeRefused(
                    f"{slot.name} takes the value of a PrimitiveNode through a Reroute."
                )
            self.warnings.append(
                self._finding(
                    scope,
                    node,
                    f"{slot.name} keeps its own value: the editor does not bring that of a"
                    " PrimitiveNode into a subgraph.",
                )
            )

    def _replace_text(
        self, scope: Scope, node: EditorNode, values: WidgetValues, inputs: _Inputs
    ) -> None:
        """Change the texts that the editor changes."""
        for name, each in values.inputs.items():
            text = inputs.values.get(name)
            if not isinstance(text, str) or name in inputs.links or name in inputs.verbatim:
                continue
            if each.settings.get("dynamicPrompts"):
                inputs.values[name] = self._prompt(scope, node, name, text)
            elif name == "filename_prefix" and "%" in text:
                inputs.values[name] = self._file_name(scope, node, text)
            elif name == "sampler_name" and node.type in _SAMPLERS:
                inputs.values[name] = text.removeprefix(_OLD_SAMPLER_PREFIX)

    def _prompt(self, scope: Scope, node: EditorNode, name: str, text: str) -> str:
        kept = without_comments(text)
        plain = without_braces(kept)
        if plain is None:
            self._warn(
                scope,
                node,
                f"{name} has braces that the editor replaces by chance; it is sent as written.",
            )
            return kept
        if plain != text:
            self._warn(
                scope, node, f"{name} is sent without its comments and braces, as the editor does."
            )
        return plain

    def _file_name(self, scope: Scope, node: EditorNode, text: str) -> str:
        if _DATE in text:
            self._warn(
                scope,
                node,
                "filename_prefix keeps its %date:…%, for which the editor writes the time of its"
                " export.",
            )
        return replace_placeholders(text, partial(self._named_value, scope))

    def _named_value(self, scope: Scope, named: str, widget: str) -> JsonValue:
        """The value that `%NODE.widget%` stands for; None if there is no such node or widget."""
        nodes = [node for node in self._top.graph.nodes if not scope.is_instance(node)]
        found = [node for node in nodes if _name_for_files(node) == named] or [
            node for node in nodes if self._title(node) == named
        ]
        if not found:
            return None
        values = {repr(self._shown_value(node, widget)) for node in found}
        if len(values) > 1 or isinstance(scope, InstanceScope):
            raise NodeRefused(
                f"filename_prefix names the node {named}, and it is not certain which one that is."
            )
        return self._shown_value(found[0], widget)

    def _shown_value(self, node: EditorNode, widget: str) -> JsonValue:
        values = self._definitions.values_of(node)
        return values.values.get(widget) if values else None

    def _warn_of_misfits(self, scope: Scope, node: EditorNode, values: WidgetValues) -> None:
        if values.corrects_list:
            self._warn(
                scope, node, "its values are read by name: their list is of another version."
            )
        for misfit in values.misfits:
            self._warn(scope, node, f"{misfit}, which the server does not take.")

    def _warn(self, scope: Scope, node: EditorNode, words: str) -> None:
        self.warnings.append(self._finding(scope, node, words))

    def _finding(self, scope: Scope, node: EditorNode, words: str) -> NodeFinding:
        return NodeFinding(
            scope.path_of(node), node.type, self._title(node), words, package=node.package
        )

    def _title(self, node: EditorNode) -> str:
        """The title of the node, as the editor shows it."""
        if node.title:
            return node.title
        classes = self._definitions.classes
        return classes[node.type].display_name if node.type in classes else node.type


def _refuse_uncovered(node: EditorNode, values: WidgetValues) -> None:
    """Make sure that the rules cover each input.

    Raises:
        NodeRefused: they do not.
    """
    for name, each in (values.inputs | values.sockets).items():
        if each.widget_kind == _VIEWER and name == "image":
            raise NodeRefused(
                "its picture is taken by the editor's 3D viewer, which only a browser has."
            )
        if each.widget_kind in _FROM_BROWSER:
            raise NodeRefused(f"{name} is recorded by the browser.")
        if each.kind == AUTOGROW and each.item and each.item.widget_kind:
            raise NodeRefused(f"{name} is a growing list of values, which no rule covers.")
    for slot in node.inputs:
        socket = values.sockets.get(slot.name)
        if slot.widget and socket and not socket.is_forced and socket.kind == slot.type:
            raise NodeRefused(f"{slot.name} has a widget of an unknown kind, {socket.kind}.")
    if values.is_uncertain:
        raise NodeRefused(
            f"{values.wrong_count}: another version of it has saved them, and which belongs to"
            f" which input is not certain ({'; '.join(values.misfits)})."
        )


def _refuse_other_choice(values: WidgetValues, found: _Inputs) -> None:
    """Make sure that nobody makes another choice than the one whose inputs are there.

    Raises:
        NodeRefused: a subgraph's instance or a PrimitiveNode does.
    """
    for name, each in values.inputs.items():
        if each.widget_kind == DYNAMIC_COMBO and found.values.get(name) != values.values.get(name):
            raise NodeRefused(
                f"{name} is chosen elsewhere, and which inputs come with that choice is not"
                " certain."
            )


def _why_unknown(node: EditorNode) -> str:
    if "-" in node.type and len(node.type) == 36:
        return "the subgraph that it stands for is not in the file."
    return "the server has no such node class."


def _encoded(value: JsonValue, kind: str | None) -> JsonValue:
    """A value as it is sent: a list is wrapped, so that it is not taken for a link."""
    if not isinstance(value, list):
        return value
    return {"__type__": kind, "__value__": value} if kind == "CURVE" else {"__value__": value}


def _name_for_files(node: EditorNode) -> str:
    return str(node.properties.get("Node name for S&R") or node.type)

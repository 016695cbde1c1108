"""From a workflow of ComfyUI's editor to the API graph that the editor would submit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from anime.core.conversion.broadcasts import BROADCASTERS, with_broadcasts
from anime.core.conversion.coverage import (
    VIEWER,
    refuse_other_choice,
    refuse_uncovered,
    why_unknown,
)
from anime.core.conversion.definitions import NodeDefinitions
from anime.core.conversion.editor_format import (
    BYPASSED,
    NEVER,
    EditorInput,
    EditorNode,
    parse_editor_workflow,
)
from anime.core.conversion.findings import Conversion, NodeRefused
from anime.core.conversion.group_nodes import with_subgraphs
from anime.core.conversion.links import (
    PRIMITIVE,
    VIRTUAL,
    InstanceInput,
    LinkCycle,
    LinkFollower,
    Output,
    Primitive,
    PromotedWidget,
    input_type,
    lost_slots,
)
from anime.core.conversion.model_files import missing_models, model_files_of
from anime.core.conversion.node_ids import with_unique_ids
from anime.core.conversion.node_texts import NodeTexts
from anime.core.conversion.notes import Notes
from anime.core.conversion.result_check import check_links, cycle_in
from anime.core.conversion.scopes import Definitions, InstanceScope, Scope
from anime.core.conversion.size_check import check_size
from anime.core.conversion.widgets import CUSTOM_COMBO, WidgetValues, custom_combo_index
from anime.core.graphs import Graph
from anime.errors import WorkflowNotConvertible


def convert(workflow: Mapping[str, Any], definitions: NodeDefinitions) -> Conversion:
    """The graph that ComfyUI's editor exports for a workflow, on a server with these classes.

    Args:
        workflow: What the editor saved.
        definitions: The node classes of the server that is to run it.

    Raises:
        WorkflowNotConvertible: the rules do not cover some of its nodes; `refusals` names each.
        InvalidWorkflow: it is no workflow of a known version, or contradicts itself.
    """
    broadcast = with_broadcasts(parse_editor_workflow(workflow))
    ungrouped, group_faults = with_subgraphs(broadcast, definitions)
    parsed = with_unique_ids(ungrouped)
    check_size(parsed)
    notes = Notes()
    top = Scope(parsed, Definitions(parsed, definitions))
    graph = _Converter(top, notes, group_faults).graph()
    if refusals := notes.refusals or cycle_in(graph):
        raise WorkflowNotConvertible(tuple(refusals))
    return Conversion(
        graph=graph,
        warnings=(*notes.warnings, *check_links(graph, definitions)),
        missing_models=missing_models(graph, definitions, model_files_of(parsed)),
    )


@dataclass(slots=True)
class _Inputs:
    """The inputs of one node of the result: links win over values."""

    values: dict[str, JsonValue]
    links: dict[str, list[str | int]]
    verbatim: set[str]  # inputs whose text comes from an instance, and is sent as it is


class _Converter:
    """Converts the nodes one by one."""

    def __init__(self, top: Scope, notes: Notes, group_faults: Mapping[str, str]) -> None:
        self._top = top
        self._notes = notes
        self._group_faults = group_faults
        self._definitions = top.definitions
        self._links = LinkFollower()
        self._texts = NodeTexts(top, notes)

    def graph(self) -> Graph:
        """The API graph, as far as its nodes can be converted."""
        graph: Graph = {}
        used: dict[InstanceScope, None] = {}
        for scope, node in self._top.nodes():
            used |= dict.fromkeys(scope.instances_around())
            if node.mode in {NEVER, BYPASSED} or node.type in VIRTUAL:
                self._judge_promoted_primitive(scope, node)
                continue
            try:
                graph[scope.path_of(node)] = self._converted(scope, node)
            except NodeRefused as fault:
                self._notes.refuse(scope, node, str(fault))
            except LinkCycle:
                self._notes.refuse(scope, node, "a link that feeds it leads back to itself.")
        for inside in used:
            self._judge_instance(inside)
        return graph

    def _converted(self, scope: Scope, node: EditorNode) -> dict[str, Any]:
        values = self._definitions.values_of(node)
        if values is None:
            raise NodeRefused(self._group_faults.get(node.id) or why_unknown(node))
        if node.type in BROADCASTERS and scope.graph.extra.ue_links is None:
            raise NodeRefused("it feeds inputs that have no link, and the file does not say which.")
        refuse_uncovered(node, values)
        self._warn_of_misfits(scope, node, values)
        inputs = self._inputs(scope, node, values)
        kept = inputs.links.keys() | inputs.verbatim
        self._texts.change(scope, node, values, inputs.values, kept=kept)
        kinds = {name: each.widget_kind for name, each in values.inputs.items()}
        for name, kind in kinds.items():
            if kind == VIEWER:
                words = "is empty: only the editor's 3D viewer has a value."
                self._notes.warn(scope, node, f"{name} {words}")
                inputs.values[name] = {}  # the server insists on it, and takes this for no camera
        sent = {name: _encoded(value, kinds.get(name)) for name, value in inputs.values.items()}
        return {
            "inputs": sent | inputs.links,
            "class_type": node.type,
            "_meta": {"title": self._definitions.title_of(node)},
        }

    def _judge_instance(self, inside: InstanceScope) -> None:
        """Note whether the values of an instance are on the right inputs."""
        if inside.is_uncertain:
            words = "which of its values belongs to which widget inside is not certain."
            self._notes.refuse(inside.parent, inside.instance, words)
        elif inside.is_by_name:
            words = "its values are read by name: their list is of another version."
            self._notes.warn(inside.parent, inside.instance, words)

    def _judge_promoted_primitive(self, scope: Scope, node: EditorNode) -> None:
        """Refuse a PrimitiveNode for which the instance holds another value than its own.

        The editor drops the instance's, though it has shown it.
        """
        if node.type != PRIMITIVE or not isinstance(scope, InstanceScope):
            return
        instance = scope.instance
        for widget, held in zip(instance.promoted_widgets, instance.values, strict=False):
            if widget == (node.id, "value") and held not in (None, *node.values[:1]):
                self._notes.refuse(scope, node, "its value is promoted, which no rule covers.")

    def _inputs(self, scope: Scope, node: EditorNode, values: WidgetValues) -> _Inputs:
        found = _Inputs(dict(values.values), {}, set())
        for (node_id, name), value in scope.instance_values.by_widget.items():
            if node_id == node.id:
                found.values[name] = value
                found.verbatim.add(name)
        lost = lost_slots(node, values)
        for slot in node.inputs:
            if slot.link is None:
                continue
            if slot.name in lost:
                words = "is left out: it is linked, and the server knows no such input."
                self._notes.warn(scope, node, f"{slot.name} {words}")
                continue
            self._take_link(scope, node, slot, values, found)
        refuse_other_choice(values, found.values)
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
        if before and before.type == PRIMITIVE:
            if slot.name in values.inputs and before.values:
                found.values[slot.name] = before.values[0]
            return
        wanted = input_type(values, node, slot.name)
        origin = self._links.origin_of(scope, slot.link or "", wanted)
        if isinstance(origin, Output):
            found.links[slot.name] = [origin.scope.path_of(origin.node), origin.slot]
        elif isinstance(origin, InstanceInput):
            held = origin.scope.instance_values.by_input
            if origin.name in held:
                found.values[slot.name] = held[origin.name]
                found.verbatim.add(slot.name)
        elif isinstance(origin, PromotedWidget):
            widgets = origin.scope.instance_values.by_widget
            found.values[slot.name] = widgets[origin.node_id, origin.name]
            found.verbatim.add(slot.name)
        elif isinstance(origin, Primitive):
            words = "the editor brings that of a PrimitiveNode only to what it is linked to itself."
            self._notes.warn(scope, node, f"{slot.name} keeps its own value: {words}")

    def _warn_of_misfits(self, scope: Scope, node: EditorNode, values: WidgetValues) -> None:
        if values.corrects_list:
            self._notes.warn(
                scope, node, "its values are read by name: their list is of another version."
            )
        for misfit in values.misfits:
            self._notes.warn(scope, node, f"{misfit}, which the server does not take.")


def _encoded(value: JsonValue, kind: str | None) -> JsonValue:
    """A value as it is sent: a list is wrapped, so that it is not taken for a link."""
    if not isinstance(value, list):
        return value
    return {"__type__": kind, "__value__": value} if kind == "CURVE" else {"__value__": value}

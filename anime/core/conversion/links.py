"""Where a link comes from, once everything that the server never sees is taken out of the way."""

from dataclasses import dataclass
from typing import TypeAlias

from anime.core.conversion.bridging import bridged_input
from anime.core.conversion.definitions import ANY_TYPE, AUTOGROW, MATCH_TYPE, InputDefinition
from anime.core.conversion.editor_format import (
    BYPASSED,
    GETTER,
    NEVER,
    SETTER,
    SUBGRAPH_INPUTS,
    EditorLink,
    EditorNode,
)
from anime.core.conversion.findings import NodeRefused
from anime.core.conversion.scopes import InstanceScope, Scope
from anime.core.conversion.widgets import WidgetValues

PRIMITIVE = "PrimitiveNode"
_REROUTES = frozenset({"Reroute", "Reroute (rgthree)", SETTER})
_EDITOR_ONLY = frozenset(  # labels, buttons, and what mutes and bypasses other nodes
    f"{name} (rgthree)"
    for name in (
        *("Bookmark", "Fast Actions Button", "Fast Bypasser", "Fast Groups Bypasser"),
        *("Fast Groups Muter", "Fast Muter", "Label", "Mute / Bypass Relay"),
        *("Mute / Bypass Repeater", "Node Collector", "Node Combiner", "Random Unmuter"),
    )
)
VIRTUAL = frozenset({"Note", "MarkdownNote", PRIMITIVE, GETTER}) | _REROUTES | _EDITOR_ONLY
_NOT_THERE = (
    "what one of its links comes from is not in the file, and the editor does not run it either:"
    " link it anew, or remove the link."
)


class LinkCycle(Exception):
    """A link leads back to itself, through nodes that the server never sees."""


@dataclass(frozen=True, slots=True)
class Output:
    """The output of a node that the server runs."""

    scope: Scope
    node: EditorNode
    slot: int


@dataclass(frozen=True, slots=True)
class InstanceInput:
    """An input of an instance that is not linked: it may hold a value. `scope` is the inside."""

    scope: InstanceScope
    name: str


@dataclass(frozen=True, slots=True)
class PromotedWidget:
    """A widget that an instance shows without an input for it, as older editors had them."""

    scope: InstanceScope
    node_id: str
    name: str


class Primitive:
    """A PrimitiveNode, whose value reaches only what it is linked to itself."""


LinkOrigin: TypeAlias = Output | InstanceInput | PromotedWidget | Primitive | None
_Step: TypeAlias = tuple[Scope, str, str]  # a link, by id, and the type that is wanted of it


class LinkFollower:
    """Follows links back to their origin, and remembers those that it has followed."""

    def __init__(self) -> None:
        self._origins: dict[tuple[int, str, str], LinkOrigin] = {}

    def origin_of(self, scope: Scope, link_id: str, wanted: str) -> LinkOrigin:
        """Where the link comes from; None for a link that leads nowhere.

        Raises:
            LinkCycle: it leads back to itself.
            NodeRefused: it is not certain where it comes from, or is not in the file.
        """
        passed: dict[tuple[int, str, str], None] = {}
        step: _Step | LinkOrigin = (scope, link_id, wanted)
        while isinstance(step, tuple):
            scope, link_id, wanted = step
            key = (id(scope), link_id, wanted)
            if key in self._origins:
                step = self._origins[key]
                break
            link = scope.graph.links_by_id.get(link_id)
            if key in passed:
                raise LinkCycle
            passed[key] = None
            node = scope.graph.nodes_by_id.get(link.origin_id) if link else None
            step = _before(scope, link, node, wanted)
        self._origins |= dict.fromkeys(passed, step)
        return step


def _before(
    scope: Scope, link: EditorLink | None, node: EditorNode | None, wanted: str
) -> "_Step | LinkOrigin":
    """The link that is meant by one to something virtual, or the origin."""
    if link and link.origin_id == SUBGRAPH_INPUTS and isinstance(scope, InstanceScope):
        return _outside(scope, link.origin_slot)
    if link is None or node is None:
        raise NodeRefused(_NOT_THERE)
    if link.origin_slot < 0:
        return None
    if node.type == GETTER and node.mode not in {NEVER, BYPASSED}:
        scope, node = scope.setter_of(node)
    if node.mode == NEVER:
        return None
    if node.type in _REROUTES:
        first = next(iter(node.inputs), None)
        return (scope, first.link, wanted) if first and first.link is not None else None
    if node.mode == BYPASSED:
        return _bridge(scope, node, link.origin_slot, wanted)
    if node.type == PRIMITIVE:
        return Primitive()
    if scope.is_instance(node):
        return _inside(scope.inside(node), link.origin_slot, wanted)
    return None if node.type in VIRTUAL else Output(scope, node, link.origin_slot)


def _outside(scope: InstanceScope, slot: int) -> "_Step | LinkOrigin":
    """What feeds an input of a subgraph, seen from inside."""
    if slot >= len(scope.subgraph.inputs):
        raise NodeRefused(_NOT_THERE)
    outer = scope.subgraph.inputs[slot]
    link_id = scope.instance.links_by_name.get(outer.name)
    if link_id is None:
        return InstanceInput(scope, outer.name)
    return scope.parent, link_id, outer.type


def _inside(scope: InstanceScope, slot: int, wanted: str) -> "_Step | None":
    """What feeds an output of a subgraph, seen from outside."""
    outputs = scope.subgraph.links_to_output
    links = outputs[slot] if slot < len(outputs) else ()
    return (scope, links[0].id, wanted) if links else None


def _bridge(
    scope: Scope, node: EditorNode, slot: int, wanted: str
) -> "_Step | PromotedWidget | None":
    """The link that takes the place of a bypassed node's output, or the value.

    Today's editor gives each promoted widget an input, by a link that is not in the file.
    """
    inputs = input_slots(scope, node)
    place = bridged_input(
        [kind for _, kind in inputs], output_types(scope, node), slot=slot, wanted=wanted
    )
    if place is None:
        return None
    name, kind = inputs[place]
    link_id = node.links_by_name.get(name)
    if link_id is not None:
        return scope, link_id, kind
    if isinstance(scope, InstanceScope) and (node.id, name) in scope.instance_values.by_widget:
        return PromotedWidget(scope, node.id, name)
    return None


def input_slots(scope: Scope, node: EditorNode) -> list[tuple[str, str]]:
    """Name and type of each input, in the editor's order."""
    subgraph = scope.definitions.subgraphs.get(node.type)
    if subgraph:
        return [(slot.name, slot.type) for slot in subgraph.inputs]
    values = scope.definitions.values_of(node)
    lost = lost_slots(node, values)
    saved = {slot.name: slot.type for slot in node.inputs if slot.name not in lost}
    if values is None:
        return list(saved.items())
    slots: dict[str, str] = {}
    for name, each in values.slots.items():
        if each.kind == AUTOGROW:
            slots |= {of: kind for of, kind in saved.items() if of.startswith(f"{name}.")}
        elif each.is_linkable or each.widget_kind is None:
            slots[name] = _type_of(each, saved.get(name))
    return list((slots | {name: kind for name, kind in saved.items() if name not in slots}).items())


def lost_slots(node: EditorNode, values: WidgetValues | None) -> frozenset[str]:
    """The slots that the editor drops: of widgets that the server does not know.

    It misses each unknown slot that comes after one that it has dropped.
    """
    if values is None:
        return frozenset()
    known = values.inputs.keys() | values.slots.keys()
    lost: set[str] = set()
    is_dropped = False
    for slot in node.inputs:
        if slot.name not in known:
            is_dropped = bool(slot.widget) and not is_dropped
            lost |= {slot.name} if is_dropped else set()
    return frozenset(lost)


def input_type(values: WidgetValues | None, node: EditorNode, name: str) -> str:
    """The type of an input, from the server's definition where that is definite."""
    saved = next((slot.type for slot in node.inputs if slot.name == name), None)
    each = values.slots.get(name) if values else None
    return _type_of(each, saved) if each else saved or ANY_TYPE


def output_types(scope: Scope, node: EditorNode) -> list[str]:
    """The types of a node's outputs."""
    subgraph = scope.definitions.subgraphs.get(node.type)
    if subgraph:
        return [slot.type for slot in subgraph.outputs]
    saved = [slot.type for slot in node.outputs]
    if node.type not in scope.definitions.classes:
        return saved
    return [
        saved[slot] if kind == MATCH_TYPE and slot < len(saved) else kind
        for slot, kind in enumerate(scope.definitions.classes[node.type].output_types)
    ]


def _type_of(each: InputDefinition, saved: str | None) -> str:
    if each.kind in {MATCH_TYPE, AUTOGROW}:
        return saved or ANY_TYPE
    return each.kind

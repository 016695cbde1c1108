"""Group nodes, which subgraphs have replaced: each becomes a subgraph of its own.

A group node says little of which of its values and slots belong to which inner node. It is
converted where their number, names and types leave one way only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, zip_longest
from typing import Any, NamedTuple

from pydantic import ValidationError

from anime.core.conversion.bridging import is_compatible
from anime.core.conversion.definitions import NodeDefinitions
from anime.core.conversion.editor_format import (
    SUBGRAPH_INPUTS,
    SUBGRAPH_OUTPUTS,
    EditorLink,
    EditorNode,
    EditorWorkflow,
    Subgraph,
    SubgraphSlot,
)
from anime.core.conversion.widgets import widgets_by_place

_PREFIXES = ("workflow>", "workflow/")


class _Ambiguous(Exception):
    """It is not certain what a group node stands for."""


class _InnerLink(NamedTuple):
    origin: int
    origin_slot: int
    target: int
    target_slot: int


@dataclass(frozen=True)
class _Group:
    """A group as the file defines it; nodes are known by their place in it."""

    nodes: tuple[EditorNode, ...]
    links: tuple[_InnerLink, ...]
    shown_outputs: frozenset[tuple[int, int]]  # those that are shown although they are linked
    names: Mapping[tuple[int, str], str]  # of inputs that have another outside: node, name inside

    def free_inputs(self) -> Iterator[tuple[int, int]]:
        """Node and slot of each input that nothing in the group feeds."""
        fed = {(link.target, link.target_slot) for link in self.links}
        for place, node in enumerate(self.nodes):
            for slot in range(len(node.inputs)):
                if (place, slot) not in fed:
                    yield place, slot

    def name_outside(self, place: int, slot: int) -> str:
        """The name of a slot of the group node, or its end."""
        name = self.nodes[place].inputs[slot].name
        return self.names.get((place, name), name)

    def shown_places(self, place: int, classes: NodeDefinitions) -> list[bool]:
        """For each of a node's values, whether the group node has it: not if a link gives it."""
        node = self.nodes[place]
        fed = {
            node.inputs[link.target_slot].name
            for link in self.links
            if link.target == place and link.target_slot < len(node.inputs)
        }
        widgets = widgets_by_place(node, classes[node.type]) if node.type in classes else []
        if fed.isdisjoint(widgets):
            return [True] * len(node.values)
        return [name not in fed for name in widgets]

    def free_outputs(self) -> Iterator[tuple[int, int]]:
        """Node and slot of each output that is shown outside."""
        used = {(link.origin, link.origin_slot) for link in self.links} - self.shown_outputs
        for place, node in enumerate(self.nodes):
            for slot in range(len(node.outputs)):
                if (place, slot) not in used:
                    yield place, slot


def with_subgraphs(
    workflow: EditorWorkflow, classes: NodeDefinitions
) -> tuple[EditorWorkflow, dict[str, str]]:
    """The workflow with a subgraph for each group node, and why some remain, by node id.

    The editor gives fresh ids to the inner nodes first, then to the group node itself.
    """
    if not any(node.type.startswith(_PREFIXES) for node in workflow.nodes):
        return workflow, {}
    numbers = count(1 + max([workflow.last_node_id, *_numeric_ids(workflow)]))
    faults: dict[str, str] = {}
    renamed: dict[str, EditorNode] = {}
    subgraphs: list[Subgraph] = []
    for node in workflow.nodes:
        if not node.type.startswith(_PREFIXES):
            continue
        try:
            subgraph = _subgraph_of(node, _group_of(node, workflow.group_nodes), numbers, classes)
        except _Ambiguous as fault:
            faults[node.id] = f"it is a group node: {fault}"
            continue
        subgraphs.append(subgraph)
        update = {"id": str(next(numbers)), "type": subgraph.id, "widgets_values": None}
        renamed[node.id] = node.model_copy(update=update)
    return _replaced(workflow, renamed, subgraphs), faults


def _numeric_ids(workflow: EditorWorkflow) -> list[int]:
    ids = (node.id for graph in workflow.graphs() for node in graph.nodes)
    return [int(each) for each in ids if each.isascii() and each.isdigit()]


def _replaced(
    workflow: EditorWorkflow, renamed: Mapping[str, EditorNode], subgraphs: Sequence[Subgraph]
) -> EditorWorkflow:
    ids = {old: node.id for old, node in renamed.items()}
    return workflow.model_copy(
        update={
            "nodes": tuple(renamed.get(node.id, node) for node in workflow.nodes),
            "links": tuple(link.renamed(ids) for link in workflow.links),
            "subgraphs": (*workflow.subgraphs, *subgraphs),
        }
    )


def _group_of(node: EditorNode, groups: Mapping[str, Any]) -> _Group:
    name = node.type.removeprefix(_PREFIXES[0]).removeprefix(_PREFIXES[1])
    saved = groups.get(name)
    if not isinstance(saved, dict):
        raise _Ambiguous("the file does not say what is in it.")
    try:
        nodes = tuple(
            EditorNode.model_validate({**inner, "id": str(place)})
            for place, inner in enumerate(saved.get("nodes") or ())
        )
        links = tuple(
            _InnerLink(*map(int, link[:4]))
            for link in saved.get("links") or ()
            if link[0] is not None  # it came from outside
        )
        names = {
            (int(place), name): str(how["name"])
            for place, each in (saved.get("config") or {}).items()
            for name, how in (each.get("input") or {}).items()
            if "name" in how
        }
        shown = frozenset(
            (_place_of(each[0]), int(each[1])) for each in saved.get("external") or ()
        )
    except (ValidationError, TypeError, ValueError, LookupError, AttributeError):
        raise _Ambiguous("what the file says of it cannot be read.") from None
    if any(inner.type.startswith(_PREFIXES) for inner in nodes):
        raise _Ambiguous("another group node is in it.")
    return _Group(nodes, links, shown, names)


def _place_of(shown: Any) -> int:
    """The place of a node whose output is shown: older editors saved the node itself."""
    return int(shown["index"] if isinstance(shown, dict) else shown)


def _subgraph_of(
    node: EditorNode, group: _Group, numbers: Iterator[int], classes: NodeDefinitions
) -> Subgraph:
    """The subgraph that a group node stands for, its values in the inner nodes."""
    inputs, outputs = list(group.free_inputs()), list(group.free_outputs())
    if len(inputs) != len(node.inputs):  # widgets inside that have no slot outside
        inputs = [(at, slot) for at, slot in inputs if not group.nodes[at].inputs[slot].widget]
    _refuse_other_slots(node, group, inputs, outputs)
    values = _values_of(node, group, classes)
    ids = [str(next(numbers)) for _ in group.nodes]
    ends = [(_at(ids, origin), slot, _at(ids, to), at) for origin, slot, to, at in group.links]
    ends += [(SUBGRAPH_INPUTS, at, ids[inner], slot) for at, (inner, slot) in enumerate(inputs)]
    ends += [(ids[inner], slot, SUBGRAPH_OUTPUTS, at) for at, (inner, slot) in enumerate(outputs)]
    links = [
        EditorLink(
            id=str(number),
            origin_id=origin_id,
            origin_slot=origin_slot,
            target_id=target_id,
            target_slot=target_slot,
        )
        for number, (origin_id, origin_slot, target_id, target_slot) in enumerate(ends, 1)
    ]
    nodes = tuple(
        _linked(inner, ids[place], values[place], links) for place, inner in enumerate(group.nodes)
    )
    return Subgraph(
        id=f"{node.type}#{node.id}",
        name=node.type,
        nodes=nodes,
        links=tuple(links),
        inputs=tuple(SubgraphSlot(name=slot.name, type=slot.type) for slot in node.inputs),
        outputs=tuple(SubgraphSlot(name=slot.name, type=slot.type) for slot in node.outputs),
    )


def _refuse_other_slots(
    node: EditorNode,
    group: _Group,
    inputs: Sequence[tuple[int, int]],
    outputs: Sequence[tuple[int, int]],
) -> None:
    """Make sure that the slots of the group node are the free ones of its inner nodes."""
    inner_outputs = [group.nodes[place].outputs[slot] for place, slot in outputs]
    same_inputs = len(inputs) == len(node.inputs) and all(
        outer.name.endswith(group.name_outside(*inner))
        and is_compatible(outer.type, group.nodes[inner[0]].inputs[inner[1]].type)
        for outer, inner in zip(node.inputs, inputs, strict=True)
    )
    same_outputs = [slot.type for slot in inner_outputs] == [slot.type for slot in node.outputs]
    if not (same_inputs and same_outputs):
        raise _Ambiguous("which slot belongs to which inner node is not certain.")


def _values_of(node: EditorNode, group: _Group, classes: NodeDefinitions) -> list[list[Any]]:
    """The group node's values, shared out to the inner nodes in their order."""
    values = list(node.values)
    if not values:
        return [list(inner.values) for inner in group.nodes]
    shown = [group.shown_places(place, classes) for place in range(len(group.nodes))]
    if len(values) != sum(map(sum, shown)):
        raise _Ambiguous("which value belongs to which inner node is not certain.")
    return [
        [
            values.pop(0) if is_shown else own
            for is_shown, own in zip_longest(places, inner.values[: len(places)])
        ]
        for places, inner in zip(shown, group.nodes, strict=True)
    ]


def _linked(
    inner: EditorNode, node_id: str, values: list[Any], links: Sequence[EditorLink]
) -> EditorNode:
    """An inner node with its id in the subgraph, its values, and the links that it has there."""
    by_slot = {link.target_slot: link.id for link in links if link.target_id == node_id}
    slots = tuple(
        slot.model_copy(update={"link": by_slot.get(place)})
        for place, slot in enumerate(inner.inputs)
    )
    return inner.model_copy(update={"id": node_id, "inputs": slots, "widgets_values": values})


def _at(ids: Sequence[str], place: int) -> str:
    if not 0 <= place < len(ids):
        raise _Ambiguous("a link in it leads nowhere.")
    return ids[place]

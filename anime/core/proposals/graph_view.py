"""A graph as the proposals read it: which nodes feed which, and where a value comes from."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from pydantic import JsonValue

from anime.core.conversion.definitions import InputDefinition, NodeDefinition, NodeDefinitions
from anime.core.graphs import Graph, is_link
from anime.core.proposals.findings import Place

SWITCH = "ComfySwitchNode"
MATH = "ComfyMathExpression"
_PASSES_ON = ("value", "source", "seed", "string", "text", "prompt", "boolean", "int", "float")
_MOST_STEPS = 100
_MOST_SWITCHES = 20  # each set by the one before


class GraphView:
    """A graph with its node classes, seen from the node whose file is the take.

    Of a switch whose position is a value of the graph, only the branch that counts is seen.
    """

    def __init__(self, graph: Graph, definitions: NodeDefinitions) -> None:
        self.graph = graph
        self.definitions = definitions
        self._branches: dict[str, str | None] = {}
        self._depth = 0

    def class_of(self, node_id: str) -> str:
        """The node's class."""
        return str(self.graph[node_id]["class_type"])

    def definition(self, node_id: str) -> NodeDefinition:
        """What the server says of the node's class."""
        return self.definitions[self.class_of(node_id)]

    def values(self, node_id: str) -> Mapping[str, JsonValue]:
        """The node's inputs, links among them."""
        values: Mapping[str, JsonValue] = self.graph[node_id]["inputs"]
        return values

    def value(self, place: Place) -> JsonValue:
        """The value at a place."""
        return self.values(place.node_id)[place.input]

    def input_of(self, place: Place) -> InputDefinition | None:
        """What the class says of that input; None if it says nothing."""
        return self._inputs(place.node_id).get(place.input)

    def kind_of(self, place: Place) -> str:
        """The kind of that input; empty if the class does not say."""
        found = self.input_of(place)
        return str(found.settings.get("widgetType") or found.kind) if found else ""

    def output_type(self, node_id: str, slot: int) -> str:
        """The type of an output; that of a switch is the type of what flows into it."""
        for _ in range(_MOST_STEPS):
            types = self.definition(node_id).output_types
            kind = types[slot] if 0 <= slot < len(types) else ""
            before = [(origin, at) for name, origin, at in self.links(node_id) if name != "switch"]
            if not kind.startswith("COMFY_") or not before:
                return kind
            node_id, slot = before[0]
        return ""

    def samples(self, node_id: str) -> bool:
        """Whether the node draws, or guides what does: what its model and texts are for."""
        return bool({"LATENT", "GUIDER"} & set(self.definition(node_id).output_types))

    def links(self, node_id: str) -> list[tuple[str, str, int]]:
        """Input, node and output slot of each link that comes in, in the order of the class.

        Of a switch it is the branch that counts.
        """
        values = self.values(node_id)
        names = [name for name, value in values.items() if is_link(value)]
        if self.class_of(node_id) == SWITCH and (branch := self.branch(node_id)):
            names = [name for name in names if name in {branch, "switch"}]
        order = list(self._inputs(node_id))
        names.sort(
            key=lambda name: order.index(name) if name in order else len(order) + _number(name)
        )
        found: list[tuple[str, str, int]] = []
        for name in names:
            origin = values[name]
            if is_link(origin) and isinstance(origin, list) and origin[0] in self.graph:
                found.append((name, str(origin[0]), int(str(origin[1]))))
        return found

    def branch(self, node_id: str) -> str | None:
        """The input of a switch that counts; the other one where that is empty."""
        if node_id not in self._branches:
            self._branches[node_id] = None  # for a switch that asks for itself
            self._branches[node_id] = self._find_branch(node_id)
        return self._branches[node_id]

    def upstream(self, node_id: str) -> list[str]:
        """The node and all that feed it, each after what feeds it, in the order of inputs."""
        found: dict[str, None] = {}
        entered: set[str] = set()
        waiting = [(node_id, False)]
        while waiting:
            each, is_done = waiting.pop()
            if is_done:
                found[each] = None
            elif each not in entered:
                entered.add(each)
                waiting.append((each, True))
                before = [origin for _, origin, _ in self.links(each)]
                waiting += [(origin, False) for origin in reversed(before)]
        return list(found)

    def source(self, place: Place) -> Place | None:
        """Where the value of an input is set: its own place, or that of a node before it.

        Primitives, switches and texts are followed; None where something else gives the value.
        """
        at = self.followed(place)
        return at if at and not is_link(self.value(at)) else None

    def followed(self, place: Place) -> Place | None:
        """The place that a value comes from, as far as nodes only hand it on.

        There it is set, or linked to a node that makes it; None if there is no such input.
        """
        for _ in range(_MOST_STEPS):
            if place.input not in self.values(place.node_id):
                return None
            origin = self.origin(place)
            passed = self._passed_on(origin) if origin else None
            if origin is None or passed is None:
                return place
            place = Place(origin, passed)
        return None

    def origin(self, place: Place) -> str | None:
        """The node whose output an input takes; None if it takes none."""
        value = self.values(place.node_id).get(place.input)
        if isinstance(value, list) and is_link(value) and value[0] in self.graph:
            return str(value[0])
        return None

    def _find_branch(self, node_id: str) -> str | None:
        if self._depth >= _MOST_SWITCHES:
            return None
        self._depth += 1
        place = self.source(Place(node_id, "switch"))
        self._depth -= 1
        is_on = self.value(place) if place else None
        if not isinstance(is_on, bool):
            return None
        wanted, other = ("on_true", "on_false") if is_on else ("on_false", "on_true")
        return wanted if wanted in self.values(node_id) else other

    def consumers(self, node_id: str) -> Iterator[tuple[str, str, int]]:
        """Node, input and slot of each link that leaves the node."""
        yield from self._consumers.get(node_id, ())

    @cached_property
    def _consumers(self) -> dict[str, list[tuple[str, str, int]]]:
        found: dict[str, list[tuple[str, str, int]]] = {}
        for node_id in self.graph:
            for name, origin, slot in self.links(node_id):
                found.setdefault(origin, []).append((node_id, name, slot))
        return found

    def _passed_on(self, node_id: str) -> str | None:
        """The input whose value such a node hands on; None if it makes a value of its own."""
        values = self.values(node_id)
        if self.class_of(node_id) == SWITCH:
            return self.branch(node_id)
        if self.class_of(node_id) == MATH:
            names = [name for name in values if name.startswith("values.")]
            is_same = str(values.get("expression", "")).strip() == "a"
            return names[0] if len(names) == 1 and is_same else None
        names = [name for name in _PASSES_ON if name in values]
        return names[0] if names and len(self._widgets(node_id)) <= len(names) else None

    def _widgets(self, node_id: str) -> list[str]:
        """The inputs of a node that take a value."""
        inputs = self._inputs(node_id)
        return [
            name
            for name, value in self.values(node_id).items()
            if not is_link(value) or (name in inputs and inputs[name].widget_kind)
        ]

    def _inputs(self, node_id: str) -> dict[str, InputDefinition]:
        """The inputs by their names in the graph, dynamic ones with their prefixes."""
        if node_id not in self._inputs_by_node:
            self._inputs_by_node[node_id] = dict(
                _expanded(self.definition(node_id).inputs, self.values(node_id), "")
            )
        return self._inputs_by_node[node_id]

    @cached_property
    def _inputs_by_node(self) -> dict[str, dict[str, InputDefinition]]:
        return {}


def last_part(name: str) -> str:
    """The name of an input without what it belongs to.

    >>> last_part("model.prompt")
    'prompt'
    """
    return name.rpartition(".")[2]


def _expanded(
    inputs: tuple[InputDefinition, ...], values: Mapping[str, JsonValue], prefix: str
) -> Iterator[tuple[str, InputDefinition]]:
    for each in inputs:
        name = f"{prefix}{each.name}"
        if each.inputs_by_choice:
            yield name, each
            chosen = each.inputs_by_choice.get(str(values.get(name)), ())
            yield from _expanded(chosen, values, f"{name}.")
        elif each.item:
            grown = [key for key in values if key.startswith(f"{name}.")]
            yield from ((key, each.item) for key in sorted(grown, key=_number))
        else:
            yield name, each


def _number(name: str) -> int:
    """The number at the end of a name, by which inputs that grow are ordered."""
    digits = re.search(r"(\d+)$", name)
    return int(digits[1][:9]) if digits else 0

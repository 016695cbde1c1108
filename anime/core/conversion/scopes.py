"""The top level and each use of a subgraph, with the values that instances hold inside."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from pydantic import JsonValue

from anime.core.conversion.definitions import InputDefinition, NodeDefinitions
from anime.core.conversion.editor_format import (
    BYPASSED,
    NEVER,
    EditorGraph,
    EditorLink,
    EditorNode,
    EditorWorkflow,
    Subgraph,
)
from anime.core.conversion.findings import NodeRefused
from anime.core.conversion.widgets import WidgetValues, suits, widget_values

_ITSELF = "-1"  # in place of an inner node: the widget is that of an input of the subgraph
_Leads: TypeAlias = dict[str, list[tuple[str, str]]]  # by input: id of an inner node, and widget


class Definitions:
    """What is known of the nodes of one file: subgraphs of its own, classes of the server."""

    def __init__(self, workflow: EditorWorkflow, classes: NodeDefinitions) -> None:
        self.subgraphs: Mapping[str, Subgraph] = workflow.subgraphs_by_id
        self.classes = classes
        # With the nodes, so that no id of an object is used twice.
        self._values: dict[int, tuple[EditorNode, WidgetValues]] = {}

    def title_of(self, node: EditorNode) -> str:
        """The title of a node, as the editor shows it."""
        if node.title:
            return node.title
        return self.classes[node.type].display_name if node.type in self.classes else node.type

    def values_of(self, node: EditorNode) -> WidgetValues | None:
        """The node's own values; None for a class that the server does not have."""
        if node.type not in self.classes:
            return None
        if id(node) not in self._values:
            self._values[id(node)] = node, widget_values(node, self.classes[node.type])
        return self._values[id(node)][1]


@dataclass
class InstanceValues:
    """The values that an instance holds for widgets inside its subgraph.

    Most belong to an input of the subgraph; those that older editors promoted without one belong
    to an inner node and widget.
    """

    by_input: dict[str, JsonValue] = field(default_factory=dict)
    by_widget: dict[tuple[str, str], JsonValue] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether a widget of that name is shown on the instance."""
        return name in self.by_input or any(widget == name for _, widget in self.by_widget)

    def value_of(self, name: str) -> JsonValue:
        """The value of a widget that is shown on the instance."""
        if name in self.by_input:
            return self.by_input[name]
        return next((value for (_, each), value in self.by_widget.items() if each == name), None)

    def put(self, name: str, value: JsonValue) -> None:
        """Replace the value of a widget that is shown on the instance."""
        if name in self.by_input:
            self.by_input[name] = value
            return
        for key in self.by_widget:
            if key[1] == name:
                self.by_widget[key] = value


class Scope:
    """One use of a graph: the top level here, the inside of an instance in `InstanceScope`."""

    prefix = ""  # of the ids of its nodes in the API graph

    def __init__(self, graph: EditorGraph, definitions: Definitions) -> None:
        self.graph = graph
        self.definitions = definitions
        self._inner: dict[str, InstanceScope] = {}

    def path_of(self, node: EditorNode) -> str:
        """The node's id in the API graph."""
        return f"{self.prefix}{node.id}"

    def inside(self, instance: EditorNode) -> "InstanceScope":
        """The inside of one of the instances in here."""
        if instance.id not in self._inner:
            self._inner[instance.id] = InstanceScope(self, instance)
        return self._inner[instance.id]

    def is_instance(self, node: EditorNode) -> bool:
        """Whether the node stands for a subgraph."""
        return node.type in self.definitions.subgraphs

    def nodes(self) -> Iterator[tuple["Scope", EditorNode]]:
        """Every node in here and further inside, but for the instances themselves.

        A muted or bypassed instance leaves out its inside at the top level, but not in a
        subgraph: so does the editor.
        """
        for node in self.graph.nodes:
            if not self.is_instance(node):
                yield self, node
            elif isinstance(self, InstanceScope) or node.mode not in {NEVER, BYPASSED}:
                yield from self.inside(node).nodes()

    def setter_of(self, getter: EditorNode) -> tuple["Scope", EditorNode]:
        """The SetNode that a GetNode stands for: one in here, else further out.

        Raises:
            NodeRefused: there is none of its name, or there are several.
        """
        name = getter.shared_name
        scopes = (self, *(inside.parent for inside in self.instances_around()))
        scope = next((each for each in scopes if name in each.graph.setters_by_name), self)
        found = scope.graph.setters_by_name.get(name, ())
        if len(found) != 1:
            words = "there are several SetNodes" if found else "there is no SetNode"
            raise NodeRefused(f"a GetNode is to feed it {name[:60]}, and {words} of that name.")
        return scope, found[0]

    def instances_around(self) -> Iterator["InstanceScope"]:
        """This and what is around it, but for the top level, from the inside outwards."""
        scope = self
        while isinstance(scope, InstanceScope):
            yield scope
            scope = scope.parent

    @cached_property
    def instance_values(self) -> InstanceValues:
        """The values that the instance, whose inside this is, holds; none at the top level."""
        return InstanceValues()


class InstanceScope(Scope):
    """The inside of one instance of a subgraph."""

    def __init__(self, parent: Scope, instance: EditorNode) -> None:
        self.subgraph = parent.definitions.subgraphs[instance.type]
        super().__init__(self.subgraph, parent.definitions)
        self.parent = parent
        self.instance = instance
        self.prefix = f"{parent.path_of(instance)}:"

    @cached_property
    def instance_values(self) -> InstanceValues:
        """The values that the instance holds.

        What an instance further out has promoted from this one wins over its own.
        """
        own = self.saved_values
        held = InstanceValues(dict(own.by_input), dict(own.by_widget))
        for (node_id, name), value in self.parent.instance_values.by_widget.items():
            if node_id == self.instance.id:
                held.put(name, value)
        return held

    @cached_property
    def saved_values(self) -> InstanceValues:
        """The values that the instance was saved with.

        Each begins as that of the first widget that its input leads to.
        """
        leads = self._widgets_behind_inputs()
        held = InstanceValues({name: self._own_value(*ends[0]) for name, ends in leads.items()})
        listed = dict(zip(leads, self.instance.values, strict=False))
        named = {key: value for key, value in self.instance.named_values.items() if key in leads}
        held.by_input |= {
            name: value
            for name, value in (named if self.is_by_name else listed).items()
            if value is not None
        }
        self._take_promoted(held, leads)
        return held

    @cached_property
    def is_by_name(self) -> bool:
        """Whether the instance's values by name count, as its list does not fit this server.

        Values of inputs that lead to no widget of this server would shift all that come after.
        """
        if self.instance.promoted_widgets or not self.instance.named_values:
            return False
        count = len(self.instance.values)
        return not 0 < count <= len(self._widgets_behind_inputs()) or not self._suits_list

    @property
    def is_uncertain(self) -> bool:
        """Whether values of the instance are on wrong inputs, and no names tell on which."""
        if self.instance.promoted_widgets:
            return any(self._is_ambiguous(*widget) for widget in self.instance.promoted_widgets)
        is_long = len(self.instance.values) > len(self._widgets_behind_inputs())
        return is_long and not self.is_by_name and not self._suits_list

    def _is_ambiguous(self, node_id: str, name: str) -> bool:
        """Whether an inner instance shows several widgets of that name."""
        node = self.graph.nodes_by_id.get(node_id)
        if node is None or not self.is_instance(node):
            return False
        shown = self.inside(node).saved_values
        return name not in shown.by_input and sum(key == name for _, key in shown.by_widget) > 1

    @cached_property
    def _suits_list(self) -> bool:
        """Whether each value of the list is of the kind of the input that it would get."""
        ends = self._widgets_behind_inputs().values()
        inputs = (self._input_behind(*widgets[0]) for widgets in ends)
        pairs = zip(self.instance.values, inputs, strict=False)
        return all(each is None or suits(value, each) for value, each in pairs)

    def _take_promoted(self, held: InstanceValues, leads: _Leads) -> None:
        """Take the values as older editors saved them: in the order of the promoted widgets.

        The editor has put them on the inputs in their own order before, and so each input that
        is not among the promoted widgets keeps the value of its place.
        """
        inputs = {widget: name for name, widgets in leads.items() for widget in widgets}
        inputs |= {(_ITSELF, name): name for name in leads}
        values = self.instance.values
        for place, widget in enumerate(self.instance.promoted_widgets):
            value = values[place] if place < len(values) else None
            if widget in inputs:
                if value is not None:
                    held.by_input[inputs[widget]] = value
            elif self._has_widget(*widget):
                held.by_widget[widget] = self._own_value(*widget) if value is None else value

    def _widgets_behind_inputs(self) -> _Leads:
        """For each input that leads to widgets: inner node and widget."""
        found: _Leads = {}
        for slot, links in zip(self.subgraph.inputs, self.subgraph.links_from_input, strict=True):
            ends = [end for link in links if (end := self._end_of(link))]
            if widgets := [end for end in ends if self._has_widget(*end)]:
                found[slot.name] = widgets
        return found

    def _end_of(self, link: EditorLink) -> tuple[str, str] | None:
        """Id of the node that a link leads to, and the name of its input."""
        node = self.graph.nodes_by_id.get(link.target_id)
        if node is None:
            return None
        name = next((slot.name for slot in node.inputs if slot.link == link.id), None)
        return (node.id, name) if name is not None else None

    def _has_widget(self, node_id: str, name: str) -> bool:
        node = self.graph.nodes_by_id.get(node_id)
        if node is None:
            return False
        if self.is_instance(node):
            return self.inside(node).saved_values.has(name)
        return self._input_behind(node_id, name) is not None

    def _input_behind(self, node_id: str, name: str) -> InputDefinition | None:
        """What the widget of an inner node takes; None if an inner instance shows it."""
        values = self.definitions.values_of(self.graph.nodes_by_id[node_id])
        return values.inputs.get(name) if values else None

    def _own_value(self, node_id: str, name: str) -> JsonValue:
        """The value that the widget of an inner node has of its own."""
        node = self.graph.nodes_by_id[node_id]
        if self.is_instance(node):
            return self.inside(node).saved_values.value_of(name)
        values = self.definitions.values_of(node)
        return values.values.get(name) if values else None

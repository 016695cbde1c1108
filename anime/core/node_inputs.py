"""The inputs of a node class, as a server declares them, and those that one node has of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pydantic import JsonValue

from anime.core.graphs import Node

DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
_STATIC = frozenset({"COMFY_MATCHTYPE_V3", "COMFY_MULTITYPED_V3"})  # of those named COMFY_…


class InputSpec(Protocol):
    """What an input takes."""

    @property
    def kind(self) -> str:
        """INT, FLOAT, STRING, BOOLEAN, COMBO, a dynamic kind, or what flows in a link."""

    @property
    def choices(self) -> Sequence[JsonValue]:
        """The values of a COMBO."""

    @property
    def multiselect(self) -> bool:
        """Whether a COMBO takes a list of its choices."""

    @property
    def min(self) -> float | None:
        """The smallest value."""

    @property
    def max(self) -> float | None:
        """The largest value."""

    @property
    def is_checked(self) -> bool:
        """Whether the server compares a value with choices and limits before it runs."""

    @property
    def options(self) -> Sequence["OptionSpec"]:
        """The choices of a dynamic combo."""

    @property
    def items(self) -> "AutogrowSpec | None":
        """What an autogrow input consists of."""


class InputGroup(Protocol):
    """Inputs by name."""

    @property
    def required(self) -> Mapping[str, InputSpec]:
        """The inputs a node must have."""

    @property
    def optional(self) -> Mapping[str, InputSpec]:
        """The inputs a node may have."""


class OptionSpec(InputGroup, Protocol):
    """A choice of a dynamic combo, with the inputs that come with it."""

    @property
    def key(self) -> JsonValue:
        """The value that chooses it."""


class AutogrowSpec(Protocol):
    """Inputs of one kind, of which a node has as many as it needs."""

    @property
    def names(self) -> Sequence[str]:
        """Their names, in order."""

    @property
    def min(self) -> int:
        """How many of them, from the first, a node must have."""

    @property
    def item(self) -> InputSpec:
        """What each takes."""


class NodeSpec(InputGroup, Protocol):
    """A node class as the server knows it."""

    @property
    def is_output(self) -> bool:
        """Whether the server runs such a node for its own sake."""


@dataclass(frozen=True)
class DeclaredInput:
    """An input of one node. A node that lacks a required one cannot run."""

    spec: InputSpec
    is_required: bool
    is_nested: bool


def declared_inputs(node: Node, group: InputGroup) -> dict[str, DeclaredInput]:
    """The inputs that the node may have, by their names in the graph (`format.codec`).

    They depend on its values: a dynamic combo brings the inputs of the chosen option.
    """
    return dict(_expand_group(group, node["inputs"], ""))


def _expand_group(
    group: InputGroup, values: Mapping[str, JsonValue], prefix: str
) -> Iterator[tuple[str, DeclaredInput]]:
    for inputs, is_required in ((group.required, True), (group.optional, False)):
        for name, spec in inputs.items():
            declared = DeclaredInput(spec, is_required=is_required, is_nested=prefix != "")
            yield from _expand(f"{prefix}{name}", declared, values)


def _expand(
    name: str, declared: DeclaredInput, values: Mapping[str, JsonValue]
) -> Iterator[tuple[str, DeclaredInput]]:
    spec = declared.spec
    if spec.kind == DYNAMIC_COMBO:
        # The server passes over one that is absent. A node's method misses it if it is an
        # argument of its own; nested ones come in a dictionary.
        needed = declared.is_required and spec.is_checked and not declared.is_nested
        yield name, replace(declared, is_required=needed)
        option = next((each for each in spec.options if each.key == values.get(name)), None)
        if option:
            yield from _expand_group(option, values, f"{name}.")
    elif spec.kind == AUTOGROW and spec.items:
        # Whether the whole is optional makes no difference to the server.
        for place, item in enumerate(spec.items.names):
            needed = spec.is_checked and place < spec.items.min
            each = DeclaredInput(spec.items.item, is_required=needed, is_nested=True)
            yield from _expand(f"{name}.{item}", each, values)
    elif spec.kind.startswith("COMFY_") and spec.kind not in _STATIC:
        yield name, replace(declared, is_required=False)  # it becomes other inputs, unknown here
    else:
        yield name, declared

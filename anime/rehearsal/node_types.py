"""The description of a node class: its inputs, its outputs, and how /object_info shows it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

# JSON as it is sent; its values are whatever ComfyUI puts there, hence Any.
JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class NodeInput:
    """One input. `kind` is a type of links or values, or the tuple of a COMBO's choices."""

    name: str
    kind: str | tuple[str, ...]
    options: JsonObject = field(default_factory=dict)
    required: bool = True

    @property
    def type_name(self) -> str:
        """The type that a link into this input must have."""
        return self.kind if isinstance(self.kind, str) else "COMBO"

    def describe(self) -> list[Any]:  # [type or choices, options]
        """The input as /object_info and validation errors show it."""
        return [self.kind if isinstance(self.kind, str) else list(self.kind), self.options]


@dataclass(frozen=True)
class NodeType:
    """One class of nodes."""

    name: str
    inputs: tuple[NodeInput, ...]
    outputs: tuple[str, ...] = ()
    category: str = "image"
    display_name: str = ""
    description: str = ""
    is_output: bool = False
    takes_graph: bool = False
    """Whether the node gets the graph and extra_pnginfo, as all that save files do."""
    checks_files: bool = False
    """Whether the value of input `image` must name a file rather than be one of the choices."""

    def describe(self) -> JsonObject:
        """The entry of /object_info."""
        required = [wanted for wanted in self.inputs if wanted.required]
        optional = [wanted for wanted in self.inputs if not wanted.required]
        groups: dict[str, JsonObject] = {"required": _by_name(required)}
        if optional:
            groups["optional"] = _by_name(optional)
        if self.takes_graph:
            groups["hidden"] = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
        return {
            "input": groups,
            "input_order": {group: list(inputs) for group, inputs in groups.items()},
            "output": list(self.outputs),
            "output_is_list": [False] * len(self.outputs),
            "output_name": list(self.outputs),
            "name": self.name,
            "display_name": self.display_name or self.name,
            "description": self.description,
            "python_module": "nodes",
            "category": self.category,
            "output_node": self.is_output,
        }


def _by_name(inputs: Iterable[NodeInput]) -> JsonObject:
    return {wanted.name: wanted.describe() for wanted in inputs}

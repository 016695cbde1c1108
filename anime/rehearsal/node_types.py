"""The description of a node class: its inputs, its outputs, and how /object_info shows it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

# JSON as it is sent; its values are whatever ComfyUI puts there, hence Any.
JsonObject: TypeAlias = dict[str, Any]

DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
MATCH_TYPE = "COMFY_MATCHTYPE_V3"
ANY_TYPE = "*"
MEDIA = ("image", "video", "audio")


@dataclass(frozen=True)
class NodeInput:
    """One input. `kind` is a type of links or values, or the tuple of a COMBO's choices."""

    name: str
    kind: str | tuple[Any, ...]
    options: JsonObject = field(default_factory=dict)
    required: bool = True
    has_options: bool = True
    """Whether its declaration has them at all; old classes leave empty ones out."""

    @property
    def type_name(self) -> str:
        """The type that a link into this input must have."""
        return self.kind if isinstance(self.kind, str) else "COMBO"

    @property
    def choices(self) -> tuple[Any, ...] | None:
        """The values that a COMBO takes; None if it is no COMBO."""
        if isinstance(self.kind, str):
            return tuple(self.options.get("options", ())) if self.kind == "COMBO" else None
        return self.kind

    @property
    def media(self) -> str | None:
        """What the input folder's file that a COMBO names must be: image, video or audio."""
        if self.choices is None:
            return None
        return next((kind for kind in MEDIA if self.options.get(f"{kind}_upload")), None)

    def with_choices(self, choices: Iterable[str]) -> "NodeInput":
        """The same COMBO with other choices."""
        if isinstance(self.kind, str):
            return replace(self, options=self.options | {"options": list(choices)})
        return replace(self, kind=tuple(choices))

    def expanded(self, given: JsonObject) -> Iterator["NodeInput"]:
        """The plain inputs that this one stands for when a node has those values.

        A dynamic combo stands for itself and the inputs of the option that is chosen; a choice
        that is missing or unknown asks for nothing. An autogrow stands for inputs of one kind,
        of which the first `min` are required.
        """
        if self.kind == DYNAMIC_COMBO:
            chosen = given.get(self.name)
            for option in self.options["options"]:
                if option["key"] == chosen:
                    yield self
                    for each in read_inputs(option["inputs"], f"{self.name}."):
                        yield from each.expanded(given)
        elif self.kind == AUTOGROW:
            yield from self._grown(given)
        else:
            yield self

    def _grown(self, given: JsonObject) -> Iterator["NodeInput"]:
        template = self.options["template"]
        [pattern, *_others] = read_inputs(template["input"])
        numbered = (f"{template['prefix']}{number}" for number in range(template.get("max", 0)))
        names = template.get("names", numbered)
        for index, name in enumerate(names):
            is_required = pattern.required and index < template["min"]
            grown = NodeInput(f"{self.name}.{name}", pattern.kind, pattern.options, is_required)
            if is_required or grown.name in given:
                yield from grown.expanded(given)

    def describe(self) -> list[Any]:  # [type or choices, options]
        """The input as validation errors show it."""
        return [self.kind if isinstance(self.kind, str) else list(self.kind), self.options]


@dataclass(frozen=True)
class NodeType:
    """One class of nodes."""

    name: str
    inputs: tuple[NodeInput, ...]
    outputs: tuple[str, ...] = ()
    category: str = "image"
    is_output: bool = False
    hidden: JsonObject = field(default_factory=dict)
    """What the server gives to the node by itself, such as the graph to all that save files."""
    shown: JsonObject = field(default_factory=dict)
    """Further keys of its entry in /object_info."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, which are their types unless the class names them."""
        return tuple(self.shown.get("output_name") or self.outputs)

    def inputs_for(self, given: JsonObject) -> list[NodeInput]:
        """The inputs of a node with those values, dynamic ones expanded."""
        return [plain for wanted in self.inputs for plain in wanted.expanded(given)]

    def describe(self) -> JsonObject:
        """The entry of /object_info."""
        required = [wanted for wanted in self.inputs if wanted.required]
        optional = [wanted for wanted in self.inputs if not wanted.required]
        groups: dict[str, JsonObject] = {"required": _by_name(required)}
        if optional:
            groups["optional"] = _by_name(optional)
        if self.hidden:
            groups["hidden"] = self.hidden
        return {
            "input": groups,
            "input_order": {group: list(inputs) for group, inputs in groups.items()},
            "output": list(self.outputs),
            "output_is_list": [False] * len(self.outputs),
            "output_name": list(self.outputs),
            "name": self.name,
            "display_name": None,
            "description": "",
            "python_module": "nodes",
            "category": self.category,
            "output_node": self.is_output,
            **self.shown,
        }


def read_inputs(groups: JsonObject, prefix: str = "") -> Iterator[NodeInput]:
    """The inputs of an entry of /object_info, or of an option of a dynamic combo."""
    for group in ("required", "optional"):
        for name, (kind, *options) in groups.get(group, {}).items():
            read_kind = tuple(kind) if isinstance(kind, list) else kind
            known = options[0] if options else {}
            yield NodeInput(prefix + name, read_kind, known, group == "required", bool(options))


def _by_name(inputs: Iterable[NodeInput]) -> JsonObject:
    return {wanted.name: wanted.describe()[: 1 + wanted.has_options] for wanted in inputs}

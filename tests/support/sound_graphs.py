"""Graphs that satisfy the definitions of node classes, and the ways to break each of them.

The definitions are those of ComfyUI's /object_info, as they come. What a server takes is worked
out here from the raw definitions, apart from the code that is tested with it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from anime.core.graphs import Graph

NODE = "7"  # the id of the node under test
LINK = ["5", 0]
NOT_CHECKED = ("remote", "image_upload", "video_upload", "audio_upload", "file_upload")
# Classes whose own code checks these values; "*" for all.
OWN_CHECKS = {
    ("CustomCombo", "*"),
    ("Load3D", "*"),
    ("Load3DAdvanced", "*"),
    ("ModelAttentionBackend", "attention"),
}
MOST = 1e6  # of floats, which cannot hold the largest limits exactly
Config = list[Any]  # [kind, options]; any JSON


@dataclass
class SoundNode:
    """A node that a server takes. Each break changes its inputs and returns the input's name."""

    class_name: str
    inputs: dict[str, Any] = field(default_factory=dict)
    breaks: list[Callable[[dict[str, Any]], str]] = field(default_factory=list)

    @property
    def graph(self) -> Graph:
        """The node, an output that needs it, and a loose node of its class that lacks all."""
        return {
            "3": {"class_type": self.class_name, "inputs": {}, "_meta": {"title": "Loose"}},
            NODE: {
                "class_type": self.class_name,
                "inputs": self.inputs,
                "_meta": {"title": "Mine"},
            },
            "9": {"class_type": "Sink", "inputs": {"value": [NODE, 0]}},
        }


SINK = {"input": {"required": {"value": ["*", {}]}}, "output_node": True}


def draw_node(data: DataObject, class_name: str, definition: dict[str, Any]) -> SoundNode:
    """A node of the class, with values of every kind that the server takes."""
    node = SoundNode(class_name)
    _Filler(data, node).fill(definition["input"], "")
    return node


@dataclass
class _Filler:
    data: DataObject
    node: SoundNode

    def fill(self, groups: dict[str, Any], prefix: str) -> None:
        for group in ("required", "optional"):
            for name, config in groups.get(group, {}).items():
                self._fill_one(f"{prefix}{name}", config, is_required=group == "required")

    def _fill_one(self, name: str, config: Config, *, is_required: bool) -> None:
        kind, options = config[0], (config[1] if len(config) > 1 else {})
        if kind == "COMFY_AUTOGROW_V3":
            self._grow(name, options["template"])
        elif kind == "COMFY_DYNAMICCOMBO_V3":
            self._choose(name, options["options"], is_required=is_required)
        elif is_required or self._flip():
            if is_required:
                self.node.breaks.append(removing(name))
            self._fill_plain(name, kind, options)

    def _grow(self, name: str, template: dict[str, Any]) -> None:
        groups = template["input"]
        required = groups.get("required") or {}
        item = next(iter((required or groups["optional"]).values()))
        names = template.get("names") or [
            f"{template['prefix']}{number}" for number in range(template["max"])
        ]
        minimum = template["min"] if required else 0
        for place, each in enumerate(names[:12]):
            if place < minimum or self._flip():
                self._fill_one(f"{name}.{each}", item, is_required=place < minimum)

    def _choose(self, name: str, options: list[dict[str, Any]], *, is_required: bool) -> None:
        is_argument = is_required and "." not in name
        if not is_argument and self._flip():
            return  # the server passes over it
        option = self._one_of(options)
        self.node.inputs[name] = option["key"]
        if is_argument:
            self.node.breaks += [removing(name), setting(name, "no such option")]
        self.fill(option["inputs"], f"{name}.")

    def _fill_plain(self, name: str, kind: Any, options: dict[str, Any]) -> None:
        choices = kind if isinstance(kind, list) else options.get("options") or []
        if self._flip(one_in=4):
            self.node.inputs[name] = LINK
        elif isinstance(kind, list) or kind == "COMBO":
            self._fill_choice(name, choices, options)
        elif kind in {"INT", "FLOAT"}:
            self._fill_number(name, kind, options)
        elif kind == "STRING":
            self.node.inputs[name] = self.data.draw(st.one_of(st.text(max_size=9), st.integers()))
        elif kind == "BOOLEAN":
            self.node.inputs[name] = self._one_of([True, False, 0, 1, "yes", None])
        else:
            self.node.inputs[name] = self._one_of([LINK, "#ff8800", {"points": [[0, 0]]}])

    def _fill_choice(self, name: str, choices: list[Any], options: dict[str, Any]) -> None:
        if self._is_left_to_the_server(name, options) or not choices:
            self.node.inputs[name] = "a file that is not listed"
            return
        value = self._one_of(choices)
        unknown: Any = "no such choice"
        if options.get("multiselect") and self._flip():
            value = {"__value__": self.data.draw(st.lists(st.sampled_from(choices), max_size=3))}
            unknown = {"__value__": [choices[0], unknown]}
        self.node.inputs[name] = value
        self.node.breaks.append(setting(name, unknown))

    def _fill_number(self, name: str, kind: str, options: dict[str, Any]) -> None:
        least, most = options.get("min"), options.get("max")
        numbers: st.SearchStrategy[Any] = st.integers(least, most)
        if kind == "FLOAT":
            numbers = st.floats(
                -MOST if least is None else max(least, -MOST),
                MOST if most is None else min(most, MOST),
            )
        value = self.data.draw(numbers)
        self.node.inputs[name] = self._one_of([value, str(value), {"__value__": value}])
        unfit: list[Any] = ["many", None, {}]
        self.node.breaks += [setting(name, wrong) for wrong in unfit]
        if not self._is_left_to_the_server(name, options):
            if least is not None:
                self.node.breaks.append(setting(name, least - 1 - abs(least)))
            if most is not None:
                self.node.breaks.append(setting(name, str(int(most + 1 + abs(most)))))

    def _is_left_to_the_server(self, name: str, options: dict[str, Any]) -> bool:
        own = {(self.node.class_name, name), (self.node.class_name, "*")}
        return bool(own & OWN_CHECKS) or any(options.get(key) for key in NOT_CHECKED)

    def _flip(self, one_in: int = 2) -> bool:
        return self.data.draw(st.integers(1, one_in)) == 1

    def _one_of(self, values: list[Any]) -> Any:  # whatever a graph may hold
        return self.data.draw(st.sampled_from(values))


def removing(name: str) -> Callable[[dict[str, Any]], str]:
    """A break that leaves an input out."""

    def remove(inputs: dict[str, Any]) -> str:
        inputs.pop(name)
        return name

    return remove


def setting(name: str, value: Any) -> Callable[[dict[str, Any]], str]:  # any JSON
    """A break that gives an input a value that no server takes."""

    def change(inputs: dict[str, Any]) -> str:
        inputs[name] = value
        return name

    return change


def broken_inputs(node: SoundNode) -> Iterator[tuple[str, dict[str, Any]]]:
    """The inputs with one thing broken, for each thing that can be, and the name of the input."""
    for change in node.breaks:
        inputs = dict(node.inputs)
        yield change(inputs), inputs

"""Whether a server can run a graph, judged from what it says of its node classes."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from anime.core.graphs import Graph, Node, is_link, title_of

_MOST_NAMES = 8
_NAME_OVERLAP = 0.4  # how alike a name must be to come first in the list of those there are
# ComfyUI lists the pictures of its input folder's top level only, as of when it was asked;
# what was uploaded since, or into a sub-folder, is there all the same.
_PICTURE_INPUTS = frozenset({("LoadImage", "image"), ("LoadImageMask", "image")})


class InputSpec(Protocol):
    """What an input takes."""

    @property
    def kind(self) -> str:
        """INT, FLOAT, STRING, BOOLEAN, COMBO (one of the choices) or what flows in a link."""

    @property
    def choices(self) -> Sequence[JsonValue]:
        """The values there are."""

    @property
    def min(self) -> float | None:
        """The smallest value."""

    @property
    def max(self) -> float | None:
        """The largest value."""


class NodeSpec(Protocol):
    """A node class as the server knows it."""

    @property
    def required(self) -> Mapping[str, InputSpec]:
        """The inputs a node must have."""

    @property
    def inputs(self) -> Mapping[str, InputSpec]:
        """All inputs a node may have."""


@dataclass(frozen=True)
class GraphProblem:
    """One thing that keeps a node from running."""

    node_id: str
    class_type: str
    title: str
    fault: str

    def __str__(self) -> str:
        return f'{self.class_type} "{self.title}": {self.fault}'


def check_graph(graph: Graph, node_infos: Mapping[str, NodeSpec]) -> tuple[GraphProblem, ...]:
    """What the server would refuse, in the order of the nodes; empty when it can run."""
    return tuple(
        GraphProblem(node_id, node["class_type"], title_of(node), fault)
        for node_id, node in graph.items()
        for fault in _faults_of(node, node_infos.get(node["class_type"]))
    )


def nearest_first(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """The same names, those that resemble `name` before the others.

    >>> nearest_first("eulr", ["ddim", "heun", "euler"])
    ('euler', 'heun', 'ddim')
    """
    near = difflib.get_close_matches(name, names, n=_MOST_NAMES, cutoff=_NAME_OVERLAP)
    return (*near, *(other for other in names if other not in near))


def _faults_of(node: Node, info: NodeSpec | None) -> list[str]:
    if info is None:
        return ["ComfyUI has no such node; install the extension it comes from."]
    inputs = node["inputs"]
    missing = [f"{name} is missing." for name in info.required if name not in inputs]
    wrong = [
        fault
        for name, value in inputs.items()
        if name in info.inputs
        and not is_link(value)
        and (node["class_type"], name) not in _PICTURE_INPUTS
        and (fault := _fault_of(name, value, info.inputs[name]))
    ]
    return missing + wrong


def _fault_of(name: str, value: JsonValue, info: InputSpec) -> str | None:
    # No choices may mean a list that the server fetches as it runs; of files it means none.
    if info.choices or (info.kind == "COMBO" and name.endswith("_name")):
        return None if value in info.choices else _not_offered(name, value, info.choices)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if info.min is not None and value < info.min:
        return f"{name} is {value}; the least is {info.min:g}."
    if info.max is not None and value > info.max:
        return f"{name} is {value}; the most is {info.max:g}."
    return None


def _not_offered(name: str, value: JsonValue, choices: Sequence[JsonValue]) -> str:
    if not choices:
        return f'{name} "{value}" does not exist; ComfyUI has none at all: put one in its folder.'
    names = nearest_first(str(value), [str(choice) for choice in choices])
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f' did you mean "{near[0]}"?' if near else ""
    more = f" … and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    listed = ", ".join(names[:_MOST_NAMES])
    return f'{name} "{value}" does not exist;{hint} ComfyUI has: {listed}{more}.'

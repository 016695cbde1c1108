"""Whether a server can run a graph, judged from what it says of its node classes.

What the server would take is never refused. What cannot be judged from here, such as a kind
of input that is not known or a value that a node class checks itself, is left to the server.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import JsonValue

from anime.core.graphs import Graph, Node, is_link, title_of
from anime.core.labels import shorten
from anime.core.node_inputs import (
    DYNAMIC_COMBO,
    DeclaredInput,
    InputSpec,
    NodeSpec,
    declared_inputs,
)

MAX_PROBLEMS = 50  # that are looked for
MAX_TEXT = 1000  # characters of a list of problems
_MOST_NAMES = 5
_NAME_OVERLAP = 0.4  # how alike a name must be to come first in the list of those there are
_NEAR_OVERLAP = 0.6  # how alike a name must be to be what was meant
_CONVERSIONS: dict[str, Callable[[Any], float]] = {"INT": int, "FLOAT": float}  # of the server
_TEXTS_AND_SWITCHES: dict[str, type] = {"STRING": str, "BOOLEAN": bool}
# Core classes with a check of their own, in place of choices and limits, for these inputs; for
# all of them if none is named. The server does not tell. It lists the files of its input
# folder's top level only, as of when it was asked; what was uploaded since is there as well.
_OWN_CHECKS: dict[str, frozenset[str]] = {
    "CustomCombo": frozenset(),
    "Load3D": frozenset(),
    "Load3DAdvanced": frozenset(),
    "LoadAudio": frozenset({"audio"}),
    "LoadImage": frozenset({"image"}),
    "LoadImageMask": frozenset({"image"}),
    "LoadLatent": frozenset({"latent"}),
    "LoadVideo": frozenset({"file"}),
    "ModelAttentionBackend": frozenset({"attention"}),
    "SelectCLIPDevice": frozenset({"device"}),
    "SelectModelDevice": frozenset({"device"}),
    "SelectVAEDevice": frozenset({"device"}),
}


@dataclass(frozen=True)
class GraphProblem:
    """One thing that keeps a node from running. A twin shares class and title with another."""

    node_id: str
    class_type: str
    title: str
    fault: str
    is_twin: bool = False

    def __str__(self) -> str:
        place = f" (node {shown(self.node_id)})" if self.is_twin else ""
        return f'{shown(self.class_type)} "{shown(self.title)}"{place}: {self.fault}'


@dataclass(frozen=True)
class UncheckedInput:
    """A value that the server alone can judge, or passes over, and why."""

    node_id: str
    class_type: str
    name: str
    reason: str


@dataclass(frozen=True)
class _Finding:
    """What was found at an input: a fault, or why it cannot be checked."""

    name: str
    text: str
    is_fault: bool


def check_graph(graph: Graph, node_infos: Mapping[str, NodeSpec]) -> tuple[GraphProblem, ...]:
    """What the server would refuse, in the order of the nodes; empty when it can run.

    It looks for `MAX_PROBLEMS` at most. Links are not followed to see whether they fit.
    """
    return tuple(islice(_problems(graph, node_infos), MAX_PROBLEMS))


def unchecked_inputs(
    graph: Graph, node_infos: Mapping[str, NodeSpec]
) -> tuple[UncheckedInput, ...]:
    """The values that `check_graph` has no opinion on, in the order of the nodes."""
    return tuple(
        UncheckedInput(node_id, node["class_type"], finding.name, finding.text)
        for node_id, node in _nodes_that_run(graph, node_infos).items()
        if (info := node_infos.get(node["class_type"]))
        for finding in _findings(node, info)
        if not finding.is_fault
    )


def listed(problems: Sequence[object], separator: str = " ") -> str:
    """The first problems as one text of `MAX_TEXT` characters or so.

    >>> listed(["Steps is missing.", "Seed is missing."])
    'Steps is missing. Seed is missing.'
    """
    text = ""
    for problem in problems:
        sentence = str(problem)
        if text and len(text) + len(sentence) > MAX_TEXT:
            return f"{text}{separator}… and more{'.' if text.endswith('.') else ''}"
        text = f"{text}{separator}{sentence}" if text else sentence
    return text


def shown(value: object, length: int = 80) -> str:
    """A value of a graph as an error shows it: on one line, cut."""
    return shorten(str(value)[: 4 * length], length)


def nearest_first(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """The same names, those that resemble `name` before the others.

    >>> nearest_first("eulr", ["ddim", "heun", "euler"])
    ('euler', 'heun', 'ddim')
    """
    near = difflib.get_close_matches(name, names, n=_MOST_NAMES, cutoff=_NAME_OVERLAP)
    return (*near, *(other for other in names if other not in near))


def _problems(graph: Graph, node_infos: Mapping[str, NodeSpec]) -> Iterator[GraphProblem]:
    running = _nodes_that_run(graph, node_infos)
    names = Counter((node["class_type"], title_of(node)) for node in graph.values())
    for node_id, node in graph.items():
        name = node["class_type"], title_of(node)
        info = node_infos.get(node["class_type"])
        if info is None:
            fault = "ComfyUI has no such node; install the extension it comes from."
            yield GraphProblem(node_id, *name, fault, is_twin=names[name] > 1)
        elif node_id in running:
            for finding in _findings(node, info):
                if finding.is_fault:
                    yield GraphProblem(node_id, *name, finding.text, is_twin=names[name] > 1)


def _nodes_that_run(graph: Graph, node_infos: Mapping[str, NodeSpec]) -> Graph:
    """The nodes that the server looks at: those that an output needs.

    All of them if no node is an output, for which the server refuses the graph anyway.
    """
    inputs = {
        node_id: declared_inputs(node, info)
        for node_id, node in graph.items()
        if (info := node_infos.get(node["class_type"]))
    }
    ahead = [node_id for node_id in inputs if node_infos[graph[node_id]["class_type"]].is_output]
    if not ahead:
        return graph
    needed = set(ahead)
    while ahead:
        node_id = ahead.pop()
        values = graph[node_id]["inputs"]
        sources = {values[name][0] for name in inputs.get(node_id, ()) if is_link(values.get(name))}
        ahead += (sources & graph.keys()) - needed
        needed |= sources
    return {node_id: node for node_id, node in graph.items() if node_id in needed}


def _findings(node: Node, info: NodeSpec) -> Iterator[_Finding]:
    """What is missing, then what is wrong or unchecked."""
    values = node["inputs"]
    declared = declared_inputs(node, info)
    for name, each in declared.items():
        if each.is_required and name not in values:
            yield _Finding(name, f"{shown(name)} is missing.", is_fault=True)
    for name, value in values.items():
        if name not in declared:
            yield _unchecked(name, "ComfyUI knows no such input of this node")
        elif not is_link(value):
            has_own_check = _has_own_check(node["class_type"], name)
            if finding := _judge(name, value, declared[name], has_own_check=has_own_check):
                yield finding


def _has_own_check(class_type: str, name: str) -> bool:
    names = _OWN_CHECKS.get(class_type)
    return names is not None and (name in names or not names)


def _judge(
    name: str, value: JsonValue, declared: DeclaredInput, *, has_own_check: bool
) -> _Finding | None:
    """The finding at a value that is no link; None if it is all right."""
    spec = declared.spec
    if isinstance(value, list):
        return _unchecked(name, "a list counts as a link")
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]  # how a list is sent that is no link
    if spec.kind in _CONVERSIONS:
        try:
            value = _CONVERSIONS[spec.kind](value)
        except (TypeError, ValueError, OverflowError):
            wrong = f'{shown(name)} is "{shown(value)}", which is no {spec.kind}.'
            return _Finding(name, wrong, is_fault=True)
    if spec.kind in _TEXTS_AND_SWITCHES:
        is_same = isinstance(value, _TEXTS_AND_SWITCHES[spec.kind])
        return None if is_same else _unchecked(name, f"ComfyUI makes a {spec.kind} of it")
    if has_own_check or not spec.is_checked:
        return _unchecked(name, "the node checks it itself, or ComfyUI does as it runs")
    if spec.kind == "COMBO":
        return _judge_choice(name, value, spec)
    if spec.kind == DYNAMIC_COMBO:
        return _judge_option(name, value, declared)
    return _judge_number(name, value, spec)


def _judge_choice(name: str, value: JsonValue, spec: InputSpec) -> _Finding | None:
    # No choices may mean a list that the server fetches as it runs; of files it means none.
    if not spec.choices and not name.rstrip("0123456789").endswith("_name"):
        return _unchecked(name, "ComfyUI lists no choices")
    chosen = value if spec.multiselect and isinstance(value, list) else [value]
    for each in chosen:
        if each not in spec.choices:
            return _Finding(name, _not_offered(name, each, spec.choices), is_fault=True)
    return None


def _judge_option(name: str, value: JsonValue, declared: DeclaredInput) -> _Finding | None:
    keys = [option.key for option in declared.spec.options]
    if value in keys:
        return None
    if declared.is_required and keys:
        return _Finding(name, _not_offered(name, value, keys), is_fault=True)
    return _unchecked(name, "ComfyUI has no such option, and passes over it")


def _judge_number(name: str, value: JsonValue, spec: InputSpec) -> _Finding | None:
    """The finding at a number, or at a value of a kind that is not known."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        wrong = ""
        if spec.min is not None and value < spec.min:
            wrong = f"{shown(name)} is {shown(value)}; the least is {spec.min:g}."
        elif spec.max is not None and value > spec.max:
            wrong = f"{shown(name)} is {shown(value)}; the most is {spec.max:g}."
        if wrong:
            return _Finding(name, wrong, is_fault=True)
    return None if spec.kind in _CONVERSIONS else _unchecked(name, f"{shown(spec.kind)}: unknown")


def _unchecked(name: str, reason: str) -> _Finding:
    return _Finding(name, reason, is_fault=False)


def _not_offered(name: str, value: JsonValue, choices: Sequence[JsonValue]) -> str:
    wanted = f'{shown(name)} "{shown(value)}" does not exist;'
    if not choices:
        return f"{wanted} ComfyUI has none at all: put one in its folder."
    names = nearest_first(shown(value), [str(choice) for choice in choices])
    near = difflib.get_close_matches(shown(value), names[:1], cutoff=_NEAR_OVERLAP)
    hint = f' did you mean "{shown(near[0])}"?' if near else ""
    more = f" … and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{wanted}{hint} ComfyUI has: {', '.join(map(shown, names[:_MOST_NAMES]))}{more}."

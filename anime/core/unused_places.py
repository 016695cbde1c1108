"""What becomes of the places of a list of pictures that a request leaves empty.

A graph alone does not say which inputs its classes can do without, so this goes by links: a node
that has lost its picture stays if another picture, latent or conditioning reaches it.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from anime.core.graphs import Graph, Link, Node, is_link, title_of

# The last words of inputs that bring a tool or a number, and never what the node works on:
# `model` as well as `style_model`, `height` as well as `target_height`.
_TOOLS = frozenset(
    {
        *("model", "clip", "vae", "vision", "net", "encoder", "mask", "width", "height", "length"),
        *("size", "fps", "steps", "seed", "cfg", "denoise", "strength", "megapixels", "by"),
        *("switch", "text", "prompt", "value", "patch"),
    }
)
_LAST_WORD = re.compile(r"[^._]*$")
_NUMBERED = re.compile(r"(.*?)(\d+)")
# Inputs that no core class does without, and those that hardly any does.
_REQUIRED = frozenset(
    {
        *("model", "clip", "positive", "negative", "samples", "pixels", "latent_image"),
        *("destination", "sigmas", "guider", "conditioning_1", "conditioning_2", "input"),
    }
)
_ESSENTIAL = _REQUIRED | {"image", "images"}


class UnusedPlace(StrEnum):
    """What is done with a place that gets no picture."""

    DROP = "drop"  # the inputs that its loader feeds are left out
    DELETE = "delete"  # its loader goes, and every node that works on nothing else
    BYPASS = "bypass"  # the same; what merged it with another passes the other one on
    REPEAT = "repeat"  # it gets the last picture again


@dataclass(frozen=True)
class Needed:
    """The nodes that a binding counts on.

    `bound`: a value is set in them. `kept`: that is a text or a seed. `take`: its files are the
    job's. `savers`: one of them at least is to be left.
    """

    bound: Collection[str]
    kept: Collection[str]
    take: str | None
    savers: Collection[str]


def remove_place(graph: Graph, loader: str, unused: UnusedPlace, needed: Needed) -> None:
    """Take the loader of a picture out of the graph, in that way.

    Raises:
        ValueError: the graph cannot do without; says which node.
    """
    gone = {loader} if unused is UnusedPlace.DROP else _gone_with(graph, loader, needed)
    borders = list(_consumers(graph, gone))
    if not borders and len(gone) == 1:
        raise ValueError(f"nothing takes the picture of {_name(graph, loader)}")
    if needed.take in gone:
        raise ValueError(f"{_name(graph, needed.take)} works on nothing else")
    if not graph.keys() - gone & set(needed.savers):
        raise ValueError("no node that saves would be left")
    if unused is UnusedPlace.BYPASS:
        for node_id in dict.fromkeys(node_id for node_id, _ in borders):
            _bypass(graph, node_id, gone, needed)
    else:
        for node_id, name in borders:
            _leave_out(graph, node_id, name, gone, needed)
    for node_id in gone:
        del graph[node_id]


def _leave_out(graph: Graph, node_id: str, name: str, gone: set[str], needed: Needed) -> None:
    if not _stays(graph, node_id, gone, needed):
        raise ValueError(f"{_name(graph, node_id)} has nothing else to work on than {name}")
    if name in _REQUIRED or _is_first_of_several(graph[node_id], name):
        raise ValueError(f"{_name(graph, node_id)} cannot do without {name}")
    del graph[node_id]["inputs"][name]


def _gone_with(graph: Graph, loader: str, needed: Needed) -> set[str]:
    """The loader, and the nodes that have nothing to work on without it."""
    gone = {loader}
    while more := {
        node_id
        for node_id, _ in _consumers(graph, gone)
        if not _stays(graph, node_id, gone, needed)
    }:
        gone |= more
    return gone


def _stays(graph: Graph, node_id: str, gone: Collection[str], needed: Needed) -> bool:
    """Whether a node has something to work on without those that go."""
    if _others(graph[node_id], gone):
        return True
    lost = {name for name, link in _links(graph[node_id]) if link[0] in gone}
    return node_id in needed.kept or (node_id in needed.bound and not lost & _ESSENTIAL)


def _others(node: Node, gone: Collection[str]) -> dict[str, Link]:
    """What a node works on beside what goes, by input."""
    return {
        name: link for name, link in _links(node) if not _brings_tool(name) and link[0] not in gone
    }


def _brings_tool(name: str) -> bool:
    word = _LAST_WORD.search(name)
    return word is not None and word.group() in _TOOLS


def _is_first_of_several(node: Node, name: str) -> bool:
    """Whether others of its row stay that come after it, such as image1 after image0."""
    rows: dict[str, list[int]] = {}
    for each, _ in _links(node):
        if found := _NUMBERED.fullmatch(each):
            rows.setdefault(found.group(1), []).append(int(found.group(2)))
    own = _NUMBERED.fullmatch(name)
    if own is None:
        return False
    row = rows[own.group(1)]
    return int(own.group(2)) == min(row) < max(row)


def _bypass(graph: Graph, merge: str, gone: set[str], needed: Needed) -> None:
    """Let the consumers of a merge have its other input, and take it out.

    Raises:
        ValueError: it is not clear what they are to have.
    """
    others = _others(graph[merge], gone)
    passed = _passed_on(others)
    if passed is None or merge in needed.kept:
        raise ValueError(
            f"{_name(graph, merge)} cannot be bypassed: "
            + (f"it has {', '.join(others)}" if others else "it has no other input")
        )
    for node_id, name in list(_consumers(graph, {merge})):
        slot = graph[node_id]["inputs"][name][1]
        if slot >= len(passed):
            raise ValueError(
                f"{_name(graph, merge)} cannot be bypassed: {_name(graph, node_id)} takes its"
                f" output {slot}, which nothing replaces"
            )
        graph[node_id]["inputs"][name] = list(passed[slot])
    del graph[merge]


def _passed_on(others: dict[str, Link]) -> list[Link] | None:
    """What replaces the outputs of a merge, by slot; None if that cannot be told."""
    if set(others) == {"positive", "negative"}:
        return [others["positive"], others["negative"]]
    different = {tuple(link): link for link in others.values()}
    return list(different.values()) if len(different) == 1 else None


def _consumers(graph: Graph, sources: Collection[str]) -> Iterator[tuple[str, str]]:
    """The inputs of other nodes that are linked to one of the sources: node id, input."""
    for node_id, node in graph.items():
        if node_id not in sources:
            for name, link in _links(node):
                if link[0] in sources:
                    yield node_id, name


def _links(node: Node) -> list[tuple[str, Link]]:
    return [(name, value) for name, value in node["inputs"].items() if is_link(value)]


def _name(graph: Graph, node_id: str) -> str:
    node = graph[node_id]
    return f'{node["class_type"]} "{title_of(node)}" (id {node_id})'

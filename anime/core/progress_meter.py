"""How far a prompt is: sampler steps done, of all there are."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

from anime.core.graphs import Graph, Node, is_link, title_of

IN_QUEUE = "In ComfyUI's queue"  # what is said before its first node runs
_BEFORE_THE_RECORD = 99  # 100 is said when the files are in the library and in the database
_WHOLE = Fraction(1)


@dataclass(frozen=True)
class NodeSteps:
    """One node: its share of the work in units, and what of it is done."""

    title: str
    units: int = 1
    samples: bool = False
    done: Fraction = Fraction(0)
    step: int = 0
    steps: int = 1
    is_finished: bool = False

    def describe(self) -> str:
        """The node's title, with its steps where it has some."""
        if self.steps <= 1:
            return self.title
        word = "step " if self.samples else ""
        return f"{self.title}: {word}{self.step} of {self.steps}"


@dataclass(frozen=True)
class ProgressMeter:
    """What is known of a prompt's progress; every change is a new meter.

    `percent` goes from 0 to 99, rounded down, and never back: not even when a node turns
    out to have more steps than its graph says.
    """

    nodes: Mapping[str, NodeSteps]
    percent: int = 0
    current: str | None = None

    @classmethod
    def of(cls, graph: Graph) -> Self:
        """A meter at 0: a sampler weighs as many units as it has steps, any other node one."""
        return cls({node_id: _unstarted(graph, node_id, node) for node_id, node in graph.items()})

    def cached(self, node_ids: Collection[str]) -> Self:
        """Without the nodes that need no work this time: they are no part of what is left."""
        nodes = {node_id: node for node_id, node in self.nodes.items() if node_id not in node_ids}
        return self._with(nodes, self.current if self.current in nodes else None)

    def update(
        self,
        node_id: str | None,
        value: float,
        maximum: float,
        *,
        finished: bool = False,
        shown_as: str | None = None,
    ) -> Self:
        """After a node did `value` of `maximum` steps; nonsense leaves the meter as it is.

        `shown_as`: the node of the graph whose title it has, if another made it while it ran.
        """
        if node_id is None or not (math.isfinite(value) and math.isfinite(maximum)):
            return self
        shown = self.nodes.get(shown_as or node_id)
        unknown = NodeSteps(title=shown.title if shown else f"Node {node_id}")
        before = self.nodes.get(node_id) or unknown
        after = _advanced(before, value, maximum, finished=finished)
        current = self.current if finished else node_id
        if after == self.nodes.get(node_id) and current == self.current:
            return self
        return self._with({**self.nodes, node_id: after}, current)

    def describe(self) -> str:
        """What goes on, such as "Sampler: step 12 of 20"."""
        if self.current is None:
            return "Rendering"
        return self.nodes[self.current].describe()

    def _with(self, nodes: Mapping[str, NodeSteps], current: str | None) -> Self:
        total = sum(node.units for node in nodes.values())
        done = sum(node.units * node.done for node in nodes.values())
        percent = min(_BEFORE_THE_RECORD, int(100 * done / total)) if total else 0
        return replace(self, nodes=nodes, percent=max(self.percent, percent), current=current)


def _unstarted(graph: Graph, node_id: str, node: Node) -> NodeSteps:
    steps = _steps_of(graph, node_id, node)
    return NodeSteps(title_of(node), units=steps or 1, samples=steps is not None)


def _steps_of(graph: Graph, node_id: str, node: Node) -> int | None:
    """The steps a node will sample; 1 where the graph does not say; None for no sampler.

    A scheduler has `steps` too, but only tells the sampler behind it: that one takes them.
    """
    if _is_scheduler(graph, node_id):
        return None
    inputs = node["inputs"]
    told = inputs.get("sigmas")
    if is_link(told) and told[0] in graph:
        inputs = graph[told[0]]["inputs"]
    elif "steps" not in inputs:
        return None
    steps = inputs.get("steps")
    return steps if isinstance(steps, int) and steps > 0 else 1


def _is_scheduler(graph: Graph, node_id: str) -> bool:
    links = (node["inputs"].get("sigmas") for node in graph.values())
    return any(is_link(link) and link[0] == node_id for link in links)


def _advanced(before: NodeSteps, value: float, maximum: float, *, finished: bool) -> NodeSteps:
    # A sampler that has yet to begin is said to be at 0 of 1: that is not its number of steps.
    steps = int(maximum) if maximum > 1 else before.steps
    node = replace(
        before,
        steps=steps,
        units=steps if before.samples and maximum > 1 else before.units,
        is_finished=before.is_finished or finished,
    )
    if node.is_finished:
        return replace(node, done=_WHOLE, step=steps)
    if maximum <= 0:
        return node
    part = min(_WHOLE, max(Fraction(0), Fraction(value) / Fraction(maximum)))
    return replace(node, done=part, step=int(part * steps))

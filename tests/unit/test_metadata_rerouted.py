"""A reroute says nothing: whatever the other tests read, they read behind reroutes, too."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from anime.assets.metadata import Recipe, SavedFile, recipe_of_graph
from anime.assets.metadata.node_rules import names_of, rule_of
from anime.core.graphs import Graph, is_link
from tests.unit import (
    test_metadata_graphs,
    test_metadata_grids,
    test_metadata_more_packs,
    test_metadata_pack_details,
)

MODULES = (
    *(test_metadata_graphs, test_metadata_grids),
    *(test_metadata_more_packs, test_metadata_pack_details),
)


def graphs_in(value: Any) -> Iterator[Graph]:  # whatever the tests keep their graphs in
    if isinstance(value, tuple):
        for each in value:
            yield from graphs_in(each)
    elif isinstance(value, dict) and value:
        parts = [*value.values()]
        if all(isinstance(each, dict) and "class_type" in each for each in parts):
            yield value
        else:
            for each in parts:
                yield from graphs_in(each)


def rerouted(graph: Graph) -> Graph:
    """The graph with a reroute in each link that brings a bundle."""
    made: Graph = {}
    for node_id, node in graph.items():
        inputs = dict(node["inputs"])
        for name in {*names_of("pipe"), *rule_of(node["class_type"]).pipe} & inputs.keys():
            if is_link(inputs[name]):
                dot = f"{node_id} {name}"
                made[dot] = {"class_type": "Reroute", "inputs": {"": inputs[name]}}
                inputs[name] = [dot, 0]
        made[node_id] = {**node, "inputs": inputs}
    return made


def said(graph: Graph) -> Recipe:
    return recipe_of_graph(graph, SavedFile("kite_00001_.png")).model_copy(update={"graph": None})


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split("_")[-1])
def test_a_bundle_that_goes_through_a_reroute_is_the_same_bundle(module: ModuleType) -> None:
    graphs = [
        each for name in vars(module) if name.isupper() for each in graphs_in(vars(module)[name])
    ]
    bundled = [(each, rerouted(each)) for each in graphs]
    bundled = [(graph, other) for graph, other in bundled if len(other) > len(graph)]
    assert bundled
    for graph, other in bundled:
        assert said(other) == said(graph)

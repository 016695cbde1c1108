"""Finding the workflow in what people have."""

import json
from typing import Any

import pytest

from anime.core.conversion.definitions import NodeDefinitions
from anime.core.conversion.sources import (
    WorkflowSource,
    convert_source,
    workflow_in_json,
    workflow_in_texts,
)
from anime.core.graphs import Graph
from anime.errors import InvalidWorkflow, WorkflowNotConvertible
from tests.support.editor_workflows import OBJECT_INFO, Json, node, workflow

EDITOR = workflow([node(1, "Number", values=[4])])
GRAPH: Graph = {
    "1": {"inputs": {"value": 4}, "class_type": "Number", "_meta": {"title": "Four"}},
    "2": {"inputs": {"width": ["1", 0], "height": 8, "batch_size": 1}, "class_type": "Latent"},
}
OTHER: Graph = {"1": {"inputs": {"value": 5}, "class_type": "Number"}}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (EDITOR, WorkflowSource(None, EDITOR)),
        ({"workflow": EDITOR}, WorkflowSource(None, EDITOR)),
        (GRAPH, WorkflowSource(GRAPH)),
        ({"prompt": GRAPH, "client_id": "x"}, WorkflowSource(GRAPH)),
        ({"output": GRAPH, "workflow": EDITOR}, WorkflowSource(GRAPH)),
        ({"workflow": EDITOR, "prompt": GRAPH}, WorkflowSource(GRAPH)),
    ],
)
def test_a_workflow_is_found_in_each_form(value: Json, found: WorkflowSource) -> None:
    assert workflow_in_json(json.dumps(value)) == found


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ({"workflow": json.dumps(EDITOR)}, WorkflowSource(None, EDITOR)),
        ({"prompt": json.dumps(GRAPH), "workflow": json.dumps(EDITOR)}, WorkflowSource(GRAPH)),
        ({"prompt": json.dumps(GRAPH), "workflow": json.dumps(GRAPH)}, WorkflowSource(GRAPH)),
        ({"prompt": "a cat", "workflow": json.dumps(EDITOR)}, WorkflowSource(None, EDITOR)),
    ],
)
def test_the_graph_that_ran_wins_in_a_picture(texts: Json, found: WorkflowSource) -> None:
    assert workflow_in_texts(texts) == found


def test_two_different_graphs_are_refused() -> None:
    with pytest.raises(InvalidWorkflow, match="two different graphs"):
        workflow_in_texts({"prompt": json.dumps(GRAPH), "workflow": json.dumps(OTHER)})
    with pytest.raises(InvalidWorkflow, match="two different graphs"):
        workflow_in_json(json.dumps({"prompt": GRAPH, "output": OTHER}))


def test_what_comfyui_keeps_beside_a_node_is_left_out_even_if_it_is_nan() -> None:
    text = '{"1": {"inputs": {"value": 4}, "class_type": "Number", "is_changed": [NaN]}}'
    found = workflow_in_json(text).graph
    assert found == {"1": {"inputs": {"value": 4}, "class_type": "Number"}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "It is no JSON: line 1"),
        ('{"nodes": [', "It is no JSON"),
        ("[]", "holds no workflow"),
        ("7", "holds no workflow"),
        ('{"name": "package.json"}', "holds no workflow"),
        ('{"nodes": [], "nodes": []}', 'the key "nodes" stands twice'),
        ('{"nodes": [{"widgets_values": [NaN]}]}', "NaN or Infinity"),
        ('{"nodes": [{"widgets_values": [1e999]}]}', "NaN or Infinity"),
        ('{"1": {"class_type": "A", "inputs": {"a": -Infinity}}}', "NaN or Infinity"),
        ('{"1": {"class_type": "A"}}', "The node 1 of the graph has no class or no inputs"),
        ('{"1": {"class_type": "A", "inputs": {}}, "2": {}}', "The node 2 of the graph"),
        ("[" * 100_000, "nested too deeply"),
        (f'{{"nodes": [{"9" * 5000}]}}', "a number that nobody can read"),
    ],
)
def test_what_is_no_workflow_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(InvalidWorkflow, match=words):
        workflow_in_json(text)


def test_texts_without_a_workflow_are_refused() -> None:
    with pytest.raises(InvalidWorkflow, match="holds no workflow"):
        workflow_in_texts({"parameters": "a cat"})


class TestApiFormat:
    """A graph in API format needs no conversion, but it is checked all the same."""

    def converted(self, graph: Any) -> Any:
        return convert_source(WorkflowSource(graph), NodeDefinitions(OBJECT_INFO))

    def test_it_stays_as_it_is(self) -> None:
        assert self.converted(GRAPH).graph == GRAPH

    def test_unknown_classes_and_links_to_nowhere_are_refused(self) -> None:
        graph = {
            "1": {"inputs": {}, "class_type": "Theirs"},
            "2": {"inputs": {"width": ["9", 0]}, "class_type": "Latent"},
        }
        with pytest.raises(WorkflowNotConvertible) as refused:
            self.converted(graph)
        assert [str(each) for each in refused.value.refusals] == [
            "Theirs (1): the server has no such node class.",
            "Latent (2): width is linked to the node 9, which is not there.",
        ]

    def test_a_cycle_is_refused(self) -> None:
        with pytest.raises(WorkflowNotConvertible, match="it feeds itself"):
            self.converted({"1": {"inputs": {"image": ["1", 0]}, "class_type": "Invert"}})

    def test_missing_models_are_named(self) -> None:
        loader = {"1": {"inputs": {"ckpt_name": "x.safetensors"}, "class_type": "Loader"}}
        assert [each.name for each in self.converted(loader).missing_models] == ["x.safetensors"]

    def test_the_editors_format_is_converted(self) -> None:
        source = WorkflowSource(None, EDITOR)
        found = convert_source(source, NodeDefinitions(OBJECT_INFO)).graph
        assert found["1"]["inputs"] == {"value": 4}

"""Each fault of a workflow's two files is named, with what to do."""

import json
from copy import deepcopy
from typing import Any

import pytest

from anime.core.bindings import InputKind
from anime.core.graphs import Graph
from anime.core.template_format import parse_graph, parse_template
from anime.errors import InvalidWorkflow
from anime.schemas import GenerationType

GRAPH: Graph = {
    "1": {
        "class_type": "KSampler",
        "inputs": {"seed": 0, "steps": 20, "latent_image": ["2", 0]},
        "_meta": {"title": "Sampler"},
    },
    "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 512}, "_meta": {"title": "Canvas"}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}, "_meta": {"title": "Prompt"}},
    "4": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["1", 0]}},
}
BINDING = """
title = "Mine"
output = "image"
[inputs]
prompt = { node = "Prompt", input = "text" }
seed = { node = "Sampler", input = "seed" }
"""


def fault_of(graph: object = GRAPH, binding: str = BINDING) -> str:
    text = graph if isinstance(graph, str) else json.dumps(graph)
    with pytest.raises(InvalidWorkflow) as caught:
        parse_template("mine", text, binding)
    assert caught.value.todo
    return str(caught.value)


def changed(node_id: str, **changes: Any) -> Graph:  # anything a hand-made file may hold
    graph = deepcopy(GRAPH)
    graph[node_id] |= changes
    return graph


def with_input(line: str) -> str:
    return f"{BINDING}{line}\n"


def test_two_good_files_make_a_template() -> None:
    template = parse_template("mine", json.dumps(GRAPH), BINDING)
    assert template.output is GenerationType.IMAGE
    assert template.vram_mb is None
    assert template.inputs["seed"].kind is InputKind.SEED
    assert template.value_of("seed") == 0
    assert template.node_id("SaveImage") == "4"


def test_broken_json_is_named_with_its_line() -> None:
    assert "mine.json is not JSON: " in (fault := fault_of('{\n"1": oops}'))
    assert "line 2" in fault


def test_a_node_or_an_input_that_stands_twice_is_refused() -> None:
    """JSON elsewhere keeps the last one, and the picture would lack the other without a word."""
    assert 'the key "1" stands twice' in fault_of('{"1": {}, "1": {}}')
    assert 'the key "seed" stands twice' in fault_of('{"1": {"inputs": {"seed": 1, "seed": 2}}}')


def test_a_binding_that_stands_twice_is_refused_with_its_line() -> None:
    assert "line 3" in fault_of(binding='[inputs]\nseed = "A.seed"\nseed = "B.seed"\n')


@pytest.mark.parametrize("text", ["[" * 100_000, '{"1": ' + "9" * 5000 + "}", "[]", "{}", "7"])
def test_json_that_holds_no_graph_is_refused(text: str) -> None:
    assert "mine.json" in fault_of(text)


def test_a_graph_saved_from_the_editor_is_told_how_to_be_exported() -> None:
    fault = fault_of({"nodes": [], "links": [], "version": 0.4})
    assert "editor" in fault
    assert "Save (API Format)" in fault
    assert "Export (API)" in fault


def test_a_node_without_a_class_is_named() -> None:
    assert 'Node "9" of mine.json has no class_type' in fault_of(GRAPH | {"9": {"inputs": {}}})


def test_a_node_without_inputs_is_named_by_its_title() -> None:
    assert 'Node "Canvas" (id 2)' in fault_of(changed("2", inputs=None))


def test_a_node_with_a_broken_title_is_named() -> None:
    assert 'Node "2"' in fault_of(changed("2", _meta="Canvas"))


def test_a_loose_link_is_named() -> None:
    fault = fault_of(changed("1", inputs={"seed": 0, "latent_image": ["77", 0]}))
    assert 'Node "Sampler" (id 1)' in fault
    assert 'latent_image is linked to node "77"' in fault


def test_a_graph_that_saves_nothing_is_refused() -> None:
    fault = fault_of(changed("4", inputs={"images": ["1", 0]}))
    assert "saves nothing" in fault
    assert "SaveImage" in fault


def test_broken_toml_is_named_with_its_line() -> None:
    fault = fault_of(binding='title = "Mine"\noutput = image')
    assert "mine.toml is not TOML" in fault
    assert "line 2" in fault


@pytest.mark.parametrize(
    ("binding", "words"),
    [
        ("", ["title", "output", "inputs"]),
        (BINDING.replace('"image"', '"sound"'), ["output", "'image' or 'video'"]),
        (BINDING + 'colour = "red"', ["inputs.colour"]),
        ('mood = "blue"' + BINDING, ["mood", "Extra inputs"]),
        (with_input('frames = { node = "Canvas", input = "width" }'), ["inputs.frames.kind"]),
        (
            with_input('steps = { node = "Sampler", input = "steps", minimum = 9, maximum = 1 }'),
            ["inputs.steps", "minimum 9 is above maximum 1"],
        ),
        (
            with_input('steps = { node = "Sampler", input = "steps", default = "many" }'),
            ["inputs.steps", "default takes a whole number"],
        ),
        (BINDING.replace("prompt =", "words ="), ["inputs.words.kind"]),
        ('title = "x"\noutput = "image"\n[inputs]', ["inputs.prompt", "needs_prompt = false"]),
        ('title = "x"\noutput = "image"\ninputs = 3', ["inputs"]),
    ],
)
def test_each_fault_of_a_binding_is_named(binding: str, words: list[str]) -> None:
    fault = fault_of(binding=binding)
    assert all(word in fault for word in words), fault


def test_an_unknown_title_is_answered_with_the_titles_there_are() -> None:
    fault = fault_of(binding=BINDING.replace('"Sampler"', '"Sampelr"'))
    assert 'inputs.seed: no node of mine.json has the title "Sampelr"' in fault
    assert 'Did you mean "Sampler"?' in fault
    assert '"Sampler", "Canvas", "Prompt", "SaveImage"' in fault


def test_a_title_two_nodes_share_is_refused_with_their_ids() -> None:
    fault = fault_of(changed("2", _meta={"title": "Sampler"}))
    assert '2 nodes of mine.json have the title "Sampler" (ids 1, 2)' in fault


def test_two_nodes_may_share_a_title_that_nothing_is_bound_to() -> None:
    graph = GRAPH | {"5": GRAPH["4"]}
    assert parse_template("mine", json.dumps(graph), BINDING).node_id("Sampler") == "1"


def test_an_input_the_node_lacks_is_answered_with_those_it_has() -> None:
    fault = fault_of(binding=BINDING.replace('"seed"', '"noise_seed"'))
    assert 'node "Sampler" (KSampler) has no input "noise_seed"' in fault
    assert '"seed", "steps", "latent_image"' in fault


def test_an_input_that_is_linked_cannot_be_bound() -> None:
    line = 'start = { node = "Sampler", input = "latent_image", kind = "int" }'
    assert '"latent_image" comes from another node' in fault_of(binding=with_input(line))


def test_two_names_for_one_input_are_refused() -> None:
    line = 'dice = { node = "Sampler", input = "seed", kind = "seed" }'
    fault = fault_of(binding=with_input(line))
    assert 'sets seed of node "Sampler" twice, by inputs.seed and inputs.dice' in fault


def test_one_name_may_set_several_inputs_but_none_twice() -> None:
    also = 'also = [{ node = "Canvas", input = "width" }]'
    good = with_input(f'steps = {{ node = "Sampler", input = "steps", {also} }}')
    template = parse_template("mine", json.dumps(GRAPH), good)
    assert [target.node for target in template.inputs["steps"].targets] == ["Sampler", "Canvas"]
    bad = good.replace('"Canvas", input = "width"', '"Sampler", input = "steps"')
    assert "twice, by inputs.steps and inputs.steps" in fault_of(binding=bad)


def test_loras_need_a_node_that_exists() -> None:
    fault = fault_of(binding=BINDING + '[loras]\nnode = "Checkpoint"')
    assert 'mine.toml, loras: no node of mine.json has the title "Checkpoint"' in fault


def test_a_graph_that_draws_no_text_need_not_bind_the_prompt() -> None:
    binding = 'title = "Upscale"\noutput = "image"\nneeds_prompt = false\n[inputs]'
    assert parse_template("mine", json.dumps(GRAPH), binding).inputs == {}


def test_a_graph_can_be_read_alone() -> None:
    assert parse_graph("sent.json", json.dumps(GRAPH)) == GRAPH

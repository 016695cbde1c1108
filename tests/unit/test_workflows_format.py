"""Each fault of a workflow's two files is named, with what to do."""

import json
from copy import deepcopy
from typing import Any

import pytest

from anime.core.bindings import InputBinding, InputKind, WorkflowOutput
from anime.core.graph_facts import workflow_hash
from anime.core.graphs import Graph
from anime.core.targets import NodeReference
from anime.core.template_format import parse_graph, parse_template
from anime.errors import InvalidWorkflow

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
SAMPLER = NodeReference(node="Sampler")


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
    assert template.output is WorkflowOutput.IMAGE
    assert template.vram_mb is None
    assert template.inputs["seed"].kind is InputKind.SEED
    assert template.value_of("seed") == 0
    assert template.node_id(NodeReference(node="SaveImage")) == "4"


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


def test_f14_a_graph_saved_from_the_editor_is_told_how_to_be_exported() -> None:
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
        (BINDING.replace('"image"', '"sound"'), ["output", "'image', 'video', 'audio' or '3d'"]),
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
    assert parse_template("mine", json.dumps(graph), BINDING).node_id(SAMPLER) == "1"


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


@pytest.mark.parametrize("target", ['id = "1"', 'class = "KSampler"', 'node = "Sampler"'])
def test_a_node_is_named_by_its_title_its_id_or_its_class(target: str) -> None:
    binding = BINDING.replace('node = "Sampler"', target)
    template = parse_template("mine", json.dumps(GRAPH), binding)
    assert template.node_id(template.inputs["seed"]) == "1"


def test_a_node_of_a_subgraph_is_named_by_its_path() -> None:
    graph = {f"12:{node_id}": node for node_id, node in GRAPH.items()}
    graph["12:1"] = GRAPH["1"] | {"inputs": {"seed": 0}}
    graph["12:4"] = GRAPH["4"] | {"inputs": {"filename_prefix": "x", "images": ["12:1", 0]}}
    binding = BINDING.replace('node = "Sampler"', 'id = "12:1"')
    assert parse_template("mine", json.dumps(graph), binding).value_of("seed") == 0


def test_targets_of_every_sort_stand_beside_each_other() -> None:
    also = 'also = [{ id = "2", input = "width" }, { class = "KSampler", input = "steps" }]'
    line = f'count = {{ node = "SaveImage", input = "filename_prefix", kind = "int", {also} }}'
    template = parse_template("mine", json.dumps(GRAPH), with_input(line))
    nodes = [template.node_id(target) for target in template.inputs["count"].targets]
    assert nodes == ["4", "2", "1"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ('id = "99"', 'no node of mine.json has the id "99"'),
        ('class = "KSamplr"', 'no node of mine.json has the class "KSamplr"'),
        ('class = "KSamplr"', 'Did you mean "KSampler"?'),
        ('node = "Sampler", id = "1"', "more than one of node, id and class"),
        ("also = []", "names no node"),
    ],
)
def test_a_node_that_is_not_named_once_is_refused(target: str, words: str) -> None:
    assert words in fault_of(binding=BINDING.replace('node = "Sampler"', target))


def test_a_class_of_two_nodes_names_none_of_them() -> None:
    graph = GRAPH | {"5": GRAPH["1"]}
    binding = BINDING.replace('node = "Sampler"', 'class = "KSampler"')
    assert '2 nodes of mine.json have the class "KSampler" (ids 1, 5)' in fault_of(graph, binding)


def test_one_input_is_not_set_twice_however_its_node_is_named() -> None:
    line = 'dice = { id = "1", input = "seed", kind = "seed" }'
    assert "sets seed of node 1 twice" in fault_of(binding=with_input(line))


def test_a_large_graph_is_not_listed_in_full() -> None:
    graph = GRAPH | {str(number): GRAPH["3"] for number in range(100, 3000)}
    for target in ('id = "99"', 'node = "Gone"', 'node = "Prompt"'):
        assert len(fault_of(graph, BINDING.replace('node = "Sampler"', target))) < 2000


def test_seconds_become_frames() -> None:
    line = """[inputs.seconds]
node = "Canvas"
input = "width"
kind = "seconds"
fps = 16
offset = 1
step = 4
maximum = 10"""
    template = parse_template("mine", json.dumps(GRAPH), with_input(line))
    assert template.value_of("seconds") == (512 - 1) / 16
    seconds = template.inputs["seconds"]
    assert [seconds.frames_of(each) for each in (5, 5.1, 5.13, 0.01)] == [81, 81, 85, 1]
    assert (
        InputBinding(node="a", input="b", kind=InputKind.SECONDS, fps=24, step=8).frames_of(0.01)
        == 8
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('kind = "seconds"', "has no fps"),
        ('kind = "seconds"\nfps = 0', "inputs.seconds.fps"),
        ('kind = "seconds"\nfps = 8\nstep = 0', "inputs.seconds.step"),
        ('kind = "int"\nstep = 4', "fps, offset or step"),
        ('kind = "int"\nplaces = [{ id = "1", input = "seed" }]', "places or unused"),
    ],
)
def test_each_fault_of_seconds_is_named(line: str, words: str) -> None:
    table = f'[inputs.seconds]\nnode = "Canvas"\ninput = "width"\n{line}'
    assert words in fault_of(binding=with_input(table))


def test_an_input_without_a_name_is_refused() -> None:
    assert "names no input" in fault_of(binding=with_input('steps = { node = "Sampler" }'))


@pytest.mark.parametrize("output", ["image", "video", "audio", "3d"])
def test_a_workflow_says_what_it_makes(output: str) -> None:
    binding = BINDING.replace('output = "image"', f'output = "{output}"')
    assert parse_template("mine", json.dumps(GRAPH), binding).output == WorkflowOutput(output)


def test_the_take_is_what_one_node_saves() -> None:
    graph = GRAPH | {"5": GRAPH["4"]}
    text = json.dumps(graph)
    assert parse_template("mine", text, BINDING).output_node is None
    taken = 'output_node = { id = "5" }\n' + BINDING
    assert parse_template("mine", text, taken).output_node == "5"
    assert "node 1 saves nothing" in fault_of(graph, taken.replace('"5"', '"1"'))
    assert 'output_node: no node of mine.json has the id "6"' in fault_of(
        graph, taken.replace('"5"', '"6"')
    )


def test_a_graph_that_was_edited_since_its_bindings_were_confirmed_is_known() -> None:
    confirmed = f'graph_sha256 = "{workflow_hash(GRAPH)}"\n' + BINDING
    assert not parse_template("mine", json.dumps(GRAPH), BINDING).was_edited
    assert not parse_template("mine", json.dumps(GRAPH, indent=1), confirmed).was_edited
    edited = changed("2", inputs={"width": 768})
    assert parse_template("mine", json.dumps(edited), confirmed).was_edited
    assert "graph_sha256" in fault_of(binding='graph_sha256 = "7"\n' + BINDING)

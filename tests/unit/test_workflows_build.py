"""From a request to the graph that is sent."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.core.graphs import Graph, is_link
from anime.core.ids import MAX_SEED
from anime.core.template_format import parse_template
from anime.core.workflow_build import Template, build, choose_model
from anime.errors import InvalidRequest
from anime.schemas import GenerationRequest, LoraChoice

GRAPH: Graph = {
    "4": {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "own.safetensors"},
        "_meta": {"title": "Checkpoint"},
    },
    "6": {
        "class_type": "CLIPTextEncode",
        "inputs": {"text": "", "clip": ["4", 1]},
        "_meta": {"title": "Prompt"},
    },
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 0, "steps": 20, "cfg": 7.0, "model": ["4", 0], "positive": ["6", 0]},
        "_meta": {"title": "Sampler"},
    },
    "8": {
        "class_type": "VAEDecode",
        "inputs": {"samples": ["3", 0], "vae": ["4", 2]},
        "_meta": {"title": "Decode"},
    },
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["8", 0]}},
    "10": {"class_type": "SaveAnimatedWEBP", "inputs": {"filename_prefix": "y", "fps": 6.0}},
}
BINDING = """
title = "Mine"
output = "image"
[loras]
node = "Checkpoint"
[inputs]
prompt = { node = "Prompt", input = "text" }
model = { node = "Checkpoint", input = "ckpt_name" }
seed = { node = "Sampler", input = "seed" }
steps = { node = "Sampler", input = "steps", minimum = 4, maximum = 50, default = 25 }
fps = { node = "SaveAnimatedWEBP", input = "fps", kind = "float", maximum = 60 }
"""


def template_of(binding: str = BINDING) -> Template:
    return parse_template("mine", json.dumps(GRAPH), binding)


TEMPLATE = template_of()


def graph_for(template: Template = TEMPLATE, model: str | None = None, **fields: Any) -> Graph:
    request = GenerationRequest(**{"prompt": "a cat"} | fields)
    return build(template, request, seed=7, filename_prefix="jobs/1", default_model=model)


def fault_of(template: Template = TEMPLATE, **fields: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        graph_for(template, **fields)
    return str(caught.value)


def test_every_node_has_a_meta_which_a_server_that_replaces_its_class_wants() -> None:
    assert graph_for()["9"]["_meta"] == {}
    assert graph_for()["4"]["_meta"] == {"title": "Checkpoint"}


def test_values_go_where_their_names_are_bound() -> None:
    graph = graph_for(model="sdxl.safetensors", steps=30, inputs={"fps": 12})
    assert graph["6"]["inputs"]["text"] == "a cat"
    assert graph["4"]["inputs"]["ckpt_name"] == "sdxl.safetensors"
    assert graph["3"]["inputs"]["steps"] == 30
    assert graph["3"]["inputs"]["seed"] == 7
    assert graph["10"]["inputs"]["fps"] == 12


def test_what_a_request_leaves_out_comes_from_binding_then_graph() -> None:
    graph = graph_for()
    assert graph["3"]["inputs"]["steps"] == 25
    assert graph["4"]["inputs"]["ckpt_name"] == "own.safetensors"
    assert graph["3"]["inputs"]["cfg"] == 7.0


def test_a_model_the_request_names_counts_for_more_than_the_default() -> None:
    request = GenerationRequest(prompt="a cat", model="mine.safetensors")
    graph = build(TEMPLATE, request, seed=7, filename_prefix="x", default_model="other")
    assert graph["4"]["inputs"]["ckpt_name"] == "mine.safetensors"


def test_every_node_that_saves_gets_the_prefix() -> None:
    graph = graph_for()
    assert [graph[node]["inputs"]["filename_prefix"] for node in ("9", "10")] == ["jobs/1"] * 2


def test_the_template_is_never_changed() -> None:
    before = deepcopy(TEMPLATE.graph)
    graph = graph_for(steps=30, loras=[LoraChoice(name="a")])
    graph["3"]["inputs"]["model"].append("touched")
    assert TEMPLATE.graph == before


@given(st.integers(0, MAX_SEED))
def test_every_seed_arrives_exactly(seed: int) -> None:
    graph = build(TEMPLATE, GenerationRequest(prompt="x"), seed=seed, filename_prefix="x")
    assert json.loads(json.dumps(graph))["3"]["inputs"]["seed"] == seed


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(InvalidRequest, match=r"2\^64-1"):
        build(TEMPLATE, GenerationRequest(prompt="x"), seed=seed, filename_prefix="x")


def test_a_value_without_a_place_is_refused_with_the_inputs_there_are() -> None:
    fault = fault_of(width=512)
    assert 'Workflow "mine" has no input "width"' in fault
    assert "prompt, model, seed, steps, fps" in fault
    assert 'no input "frames"' in fault_of(inputs={"frames": 8})


def test_a_field_of_the_request_is_refused_among_its_inputs() -> None:
    assert "Move inputs.steps to steps" in fault_of(inputs={"steps": 9})


@pytest.mark.parametrize(
    ("steps", "words"),
    [(3, 'steps" is 3, below its minimum of 4'), (51, 'steps" is 51, above its maximum of 50')],
)
def test_a_value_out_of_range_is_refused(steps: int, words: str) -> None:
    assert words in fault_of(steps=steps)


def test_a_value_of_the_wrong_kind_comes_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match='Input "fps" takes a number') as refused:
        graph_for(inputs={"fps": "fast"})
    assert refused.value.todo == 'Correct "fps" and send the request again.'


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("text", ["", "x"], [1, None, ["x"]]),
        ("int", [0, -3], [1.5, "1", True, None]),
        ("float", [1, 1.5], ["1", True, {}]),
        ("switch", [True, False], [0, "true"]),
        ("choice", ["euler"], ["", " ", 3]),
        ("image", ["a.png", "sub/a.png"], ["", 3]),
        ("seed", [0, MAX_SEED], [-1, MAX_SEED + 1, 1.0]),
        ("size", [8, 512], [0, 7, -8, 512.0]),
    ],
)
def test_each_kind_takes_its_values_and_no_others(
    kind: str, good: list[object], bad: list[object]
) -> None:
    template = template_of(BINDING.replace('kind = "float", maximum = 60', f'kind = "{kind}"'))
    for value in good:
        assert graph_for(template, inputs={"fps": value})["10"]["inputs"]["fps"] == value
    for value in bad:
        assert 'Input "fps" takes' in fault_of(template, inputs={"fps": value})


@pytest.mark.parametrize(
    ("offered", "default", "chosen"),
    [
        (["own", "b"], "b", None),
        (["a", "b"], "b", "b"),
        (["a", "b"], "checkpoint.safetensors", None),
        (["a", "b"], None, None),
    ],
)
def test_a_model_without_encoder_and_vae_is_replaced_by_the_default_alone(
    offered: list[str], default: str | None, chosen: str | None
) -> None:
    """Any other would not fit the text encoder and the VAE that stand in the graph."""
    unet = {"class_type": "UNETLoader", "inputs": {"unet_name": "own"}}
    graph = GRAPH | {"4": unet | {"_meta": {"title": "Checkpoint"}}}
    binding = BINDING.replace("ckpt_name", "unet_name")
    template = parse_template("mine", json.dumps(graph), binding)
    assert choose_model(template, GenerationRequest(prompt="a cat"), offered, default) == chosen


def test_seconds_reach_the_graph_as_frames() -> None:
    line = 'fps = { node = "Sampler", input = "cfg", kind = "seconds", fps = 16, offset = 1 }'
    template = template_of(BINDING[: BINDING.index("fps =")] + line)
    assert graph_for(template, inputs={"fps": 5})["3"]["inputs"]["cfg"] == 81


@pytest.mark.parametrize("output", ["audio", "3d"])
def test_a_video_is_not_asked_of_a_workflow_for_sounds_or_meshes(output: str) -> None:
    template = template_of(BINDING.replace('output = "image"', f'output = "{output}"'))
    assert "not a video" in fault_of(template, type="video")
    assert graph_for(template)


def test_a_very_long_wrong_value_is_not_repeated_in_full() -> None:
    assert len(fault_of(inputs={"fps": "x" * 10_000})) < 200


def test_a_missing_required_input_is_asked_for() -> None:
    line = 'fps = { node = "SaveAnimatedWEBP", input = "fps", kind = "float", required = true,'
    binding = BINDING.replace(BINDING[BINDING.index("fps =") :], line + ' description = "Speed." }')
    fault = fault_of(template_of(binding))
    assert 'Workflow "mine" needs a value for "fps"' in fault
    assert "Give inputs.fps. Speed." in fault


def test_one_value_goes_to_every_place_it_is_bound_to() -> None:
    also = (
        'seed = { node = "Sampler", input = "seed", also = [{ node = "Sampler", input = "cfg" }] }'
    )
    template = template_of(BINDING.replace('seed = { node = "Sampler", input = "seed" }', also))
    assert (
        graph_for(template)["3"]["inputs"] | {"seed": 7, "cfg": 7}
        == graph_for(template)["3"]["inputs"]
    )


def test_a_caption_only_prompt_is_no_error() -> None:
    binding = 'title = "Upscale"\noutput = "image"\nneeds_prompt = false\n[inputs]'
    assert graph_for(template_of(binding))["6"]["inputs"]["text"] == ""


def test_a_video_is_not_asked_of_a_workflow_for_images() -> None:
    assert 'Workflow "mine" makes images' in fault_of(type="video")
    assert graph_for(template_of(BINDING.replace('"image"', '"video"')))


def test_loras_are_chained_between_the_checkpoint_and_its_consumers() -> None:
    graph = graph_for(loras=[LoraChoice(name="a"), LoraChoice(name="b", strength=0.5)])
    assert graph["11"]["inputs"] == {
        "lora_name": "a",
        "strength_model": 1.0,
        "strength_clip": 1.0,
        "model": ["4", 0],
        "clip": ["4", 1],
    }
    assert graph["12"]["inputs"]["model"] == ["11", 0]
    assert graph["12"]["inputs"]["clip"] == ["11", 1]
    assert graph["12"]["inputs"]["strength_model"] == 0.5
    assert graph["3"]["inputs"]["model"] == ["12", 0]
    assert graph["6"]["inputs"]["clip"] == ["12", 1]
    assert graph["8"]["inputs"]["vae"] == ["4", 2]


@given(st.integers(0, 6))
def test_with_any_number_of_loras_no_link_is_loose_and_each_is_used(count: int) -> None:
    graph = graph_for(loras=[LoraChoice(name=f"l{number}") for number in range(count)])
    links = [v for node in graph.values() for v in node["inputs"].values() if is_link(v)]
    loaders = [i for i, node in graph.items() if node["class_type"] == "LoraLoader"]
    assert len(loaders) == count
    assert all(link[0] in graph for link in links)
    assert all([loader, 0] in links and [loader, 1] in links for loader in loaders)


def test_loras_are_refused_by_a_workflow_that_takes_none() -> None:
    template = template_of(BINDING.replace('[loras]\nnode = "Checkpoint"\n', ""))
    assert "takes no LoRAs" in fault_of(template, loras=[LoraChoice(name="a")])


@pytest.mark.parametrize(
    ("asked", "offered", "default", "chosen"),
    [
        (None, ["own.safetensors", "b"], "b", None),
        (None, ["a", "b"], "b", "b"),
        (None, ["a", "b"], None, "a"),
        (None, [], None, None),
        (None, ["a"], "gone", "gone"),
        ("a", ["b"], "b", None),
    ],
)
def test_a_checkpoint_is_replaced_only_where_the_server_lacks_it(
    asked: str | None, offered: list[str], default: str | None, chosen: str | None
) -> None:
    request = GenerationRequest(prompt="a cat", model=asked)
    assert choose_model(TEMPLATE, request, offered, default) == chosen

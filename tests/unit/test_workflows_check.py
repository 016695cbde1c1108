"""What the server would refuse, said before it is asked; and what a graph tells afterwards."""

import json

from anime.comfyui.models import InputInfo, NodeInfo
from anime.core.graph_facts import facts_of, loaded_models, lora_strengths, workflow_hash
from anime.core.graph_validation import check_graph, nearest_first
from anime.core.graphs import Graph
from anime.core.ids import MAX_SEED

GRAPH: Graph = {
    "1": {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "anime.safetensors"},
        "_meta": {"title": "Checkpoint"},
    },
    "2": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "ink.safetensors",
            "strength_model": 0.8,
            "strength_clip": 1,
            "model": ["1", 0],
            "clip": ["1", 1],
        },
    },
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["2", 1]}},
    "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["2", 1]}},
    "5": {
        "class_type": "ControlNetApplyAdvanced",
        "inputs": {"positive": ["3", 0], "negative": ["4", 0], "strength": 1.0},
    },
    "6": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 512, "height": 768, "batch_size": 4},
    },
    "7": {
        "class_type": "KSampler",
        "inputs": {
            "seed": MAX_SEED,
            "steps": 20,
            "cfg": 7,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
            "model": ["2", 0],
            "positive": ["5", 0],
            "negative": ["5", 1],
            "latent_image": ["6", 0],
        },
        "_meta": {"title": "Sampler"},
    },
}
SAMPLERS = ("ddim", "dpm_2", "euler", "euler_ancestral", "heun", "lcm", "lms", "uni_pc", "deis")


def combo(*choices: str) -> InputInfo:
    return InputInfo(kind="COMBO", choices=choices)


KSAMPLER = NodeInfo(
    name="KSampler",
    required={
        "seed": InputInfo(kind="INT", min=0, max=MAX_SEED),
        "steps": InputInfo(kind="INT", min=1, max=10_000),
        "cfg": InputInfo(kind="FLOAT", min=0.0, max=100.0),
        "sampler_name": combo(*SAMPLERS),
        "model": InputInfo(kind="MODEL"),
    },
)


def faults(class_type: str = "KSampler", info: NodeInfo = KSAMPLER, **inputs: object) -> list[str]:
    sound = {"seed": 1, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "model": ["1", 0]}
    node = {"class_type": class_type, "inputs": sound | inputs, "_meta": {"title": "Mine"}}
    return [str(problem) for problem in check_graph({"3": node}, {info.name: info})]


def test_a_graph_the_server_can_run_has_no_problems() -> None:
    assert faults(seed=MAX_SEED) == []


def test_an_unknown_node_is_named() -> None:
    [problem] = faults(class_type="IPAdapter")
    assert problem.startswith('IPAdapter "Mine": ComfyUI has no such node')


def test_an_unknown_name_is_answered_with_the_nearest_and_those_there_are() -> None:
    [problem] = faults(sampler_name="eulr")
    assert problem.startswith('KSampler "Mine": sampler_name "eulr" does not exist;')
    assert 'did you mean "euler"? ComfyUI has: euler, ' in problem
    assert problem.endswith("euler, heun, euler_ancestral, ddim, dpm_2 … and 4 more.")


def test_names_are_compared_exactly_as_the_server_does() -> None:
    assert 'sampler_name "Euler" does not exist' in faults(sampler_name="Euler")[0]


def test_a_name_nothing_resembles_gets_no_guess() -> None:
    assert "did you mean" not in faults(sampler_name="東京")[0]


def test_a_server_that_has_none_says_so() -> None:
    loader = NodeInfo(name="CheckpointLoaderSimple", required={"ckpt_name": combo()})
    assert "ComfyUI has none at all" in faults("CheckpointLoaderSimple", loader, ckpt_name="a")[0]
    dual = NodeInfo(name="DualCLIPLoader", required={"clip_name1": combo()})
    assert "ComfyUI has none at all" in faults("DualCLIPLoader", dual, clip_name1="a")[0]


def test_a_list_the_server_fetches_as_it_runs_is_left_to_the_server() -> None:
    remote = NodeInfo(name="Cloud", required={"voice": combo()})
    assert faults("Cloud", remote, voice="Mira") == []


def test_values_out_of_range_are_named_with_the_range() -> None:
    assert faults(steps=0) == ['KSampler "Mine": steps is 0; the least is 1.']
    assert faults(cfg=100.5) == ['KSampler "Mine": cfg is 100.5; the most is 100.']


def test_a_missing_input_is_named() -> None:
    node = {"class_type": "KSampler", "inputs": {}}
    problems = check_graph({"3": node}, {"KSampler": KSAMPLER})
    assert len(problems) == 5
    assert str(problems[0]) == 'KSampler "KSampler": seed is missing.'


def test_an_uploaded_picture_need_not_be_listed() -> None:
    info = NodeInfo(name="LoadImage", required={"image": combo("example.png")})
    assert faults("LoadImage", info, image="jobs/new.png") == []


def test_every_problem_of_every_node_is_found() -> None:
    graph: Graph = {
        "1": {"class_type": "Nothing", "inputs": {}},
        "2": {"class_type": "KSampler", "inputs": {"steps": 0, "sampler_name": "x"}},
    }
    problems = check_graph(graph, {"KSampler": KSAMPLER})
    assert [problem.node_id for problem in problems] == ["1"] + ["2"] * 5


def test_the_nearest_names_come_first_and_none_is_lost() -> None:
    names = nearest_first("eulr", SAMPLERS)
    assert names[0] == "euler"
    assert sorted(names) == sorted(SAMPLERS)


def test_a_graph_tells_its_models_and_how_strong_its_loras_are() -> None:
    assert loaded_models(GRAPH) == {"anime.safetensors"}
    assert lora_strengths(GRAPH) == {
        "ink.safetensors": {"strength_model": 0.8, "strength_clip": 1.0}
    }


def test_a_graph_tells_its_size_and_its_prompts_through_what_lies_between() -> None:
    facts = facts_of(GRAPH)
    assert (facts["canvas_width"], facts["canvas_height"], facts["batch_size"]) == (512, 768, 4)
    assert facts["positive_texts"] == ["a cat"]
    assert facts["negative_texts"] == ["blurry"]


def test_a_graph_of_something_else_tells_nothing_and_does_not_fail() -> None:
    graph: Graph = {
        "1": {"class_type": "Loop", "inputs": {"positive": ["1", 0], "seed": True}},
        "2": {"class_type": "Loose", "inputs": {"positive": ["99", 0], "width": "wide"}},
    }
    assert loaded_models(graph) == set()
    assert lora_strengths(graph) == {}
    assert facts_of(graph)["positive_texts"] == []


def test_the_hash_does_not_depend_on_order_but_on_every_value() -> None:
    turned = {
        node_id: {**node, "inputs": dict(reversed(node["inputs"].items()))}
        for node_id, node in reversed(GRAPH.items())
    }
    assert workflow_hash(turned) == workflow_hash(GRAPH)
    turned["6"]["inputs"]["width"] = 520
    assert workflow_hash(turned) != workflow_hash(GRAPH)
    assert len(workflow_hash(GRAPH)) == 64


def test_the_hash_survives_a_round_trip_through_json() -> None:
    assert workflow_hash(json.loads(json.dumps(GRAPH))) == workflow_hash(GRAPH)

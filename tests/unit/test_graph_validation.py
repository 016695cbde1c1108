"""A graph is never refused that the server takes; what is refused is named, in few words."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anime.comfyui.models import NodeInfo
from anime.comfyui.protocol import Reply, decode_object_info
from anime.core.graph_validation import MAX_TEXT, check_graph, listed, unchecked_inputs
from anime.core.graphs import Graph
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.nodes import node_catalogue
from tests.support.sound_graphs import NODE, SINK, broken_inputs, draw_node

NUMBERS = {
    "count": ["INT", {"default": 4, "min": 1, "max": 2**64 - 1, "step": 1}],
    "amount": ["FLOAT", {"default": 0.5, "min": -10.0, "max": 10.0, "round": 0.001}],
    "free": ["FLOAT", {}],
    "forced": ["INT", {"min": 0, "max": 9, "forceInput": True}],
}
CODEC = [
    "COMFY_DYNAMICCOMBO_V3",
    {
        "options": [
            {"key": "auto", "inputs": {"required": {}}},
            {
                "key": "h264",
                "inputs": {
                    "required": {},
                    "optional": {
                        "encoding": [
                            "COMFY_DYNAMICCOMBO_V3",
                            {
                                "options": [
                                    {"key": "auto", "inputs": {"required": {}}},
                                    {
                                        "key": "re-encode",
                                        "inputs": {
                                            "required": {
                                                "crf": ["FLOAT", {"min": 0.0, "max": 51.0}],
                                                "space": ["COMBO", {"options": ["sdr", "hdr"]}],
                                            }
                                        },
                                    },
                                ]
                            },
                        ]
                    },
                },
            },
        ]
    },
]


def images(minimum: int, group: str = "required", **names: Any) -> list[Any]:
    item = {group: {"image": ["IMAGE", {}]}}
    return ["COMFY_AUTOGROW_V3", {"template": {"input": item, "min": minimum, **names}}]


# One class for each way in which a server declares inputs.
CLASSES: dict[str, dict[str, dict[str, Any]]] = {
    "Numbers": {
        "required": NUMBERS,
        "optional": {f"more_{name}": NUMBERS[name] for name in NUMBERS},
    },
    "Choices": {
        "required": {
            "listed": [["euler", "heun"], {"default": "heun"}],
            "combo": ["COMBO", {"multiselect": False, "options": ["normal", "karras"]}],
            "seconds": ["COMBO", {"options": [5, 10]}],
            "tags": ["COMBO", {"multiselect": True, "options": ["red", "blue", "green"]}],
        },
        "optional": {"old": [["on", "off"]], "empty": ["COMBO", {"options": []}]},
    },
    "Files": {
        "required": {
            "image": [["example.png"], {"image_upload": True}],
            "audio": ["COMBO", {"options": ["a.mp3"], "audio_upload": True}],
            "voice": ["COMBO", {"options": ["Mira"], "remote": {"route": "/voices"}}],
            "model_name": ["COMBO", {"options": ["a.safetensors"]}],
        }
    },
    "Plain": {
        "required": {"text": ["STRING", {"multiline": True}], "switch": ["BOOLEAN", {}]},
        "optional": {"color": ["COLOR", {}], "curve": ["CURVE", {}], "any": ["*", {}]},
        "hidden": {"prompt": "PROMPT"},
    },
    "Links": {
        "required": {
            "model": ["MODEL"],
            "either": ["IMAGE,MASK", {}],
            "matched": ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "a"}}],
        },
        "optional": {"rate": ["FLOAT,INT", {"widgetType": "FLOAT", "min": 1.0, "max": 9.0}]},
    },
    "Save": {
        "required": {
            "video": ["VIDEO", {}],
            "format": [
                CODEC[0],
                {
                    "options": [
                        {"key": "auto", "inputs": {"required": {"codec": CODEC}}},
                        {"key": "mp4", "inputs": {"required": {"codec": CODEC}}},
                    ]
                },
            ],
        },
        "optional": {"codec": CODEC},
    },
    "Batch": {
        "required": {
            "images": images(1, prefix="image", max=50),
            "named": images(2, names=["first", "second", "third"]),
            "none": images(0, prefix="none_", max=3),
            "loose": images(2, "optional", prefix="loose", max=3),
        },
        "optional": {"at_will": images(1, names=["a", "b"])},
    },
    "Edit": {
        "required": {
            "model": [
                CODEC[0],
                {
                    "options": [
                        {
                            "key": "small",
                            "inputs": {"required": {"steps": ["INT", {"min": 1, "max": 4}]}},
                        },
                        {
                            "key": "large",
                            "inputs": {
                                "required": {"images": images(1, prefix="image", max=4)},
                                "optional": {
                                    "more": images(0, names=["a", "b"]),
                                    "seed": ["INT", {"min": 0}],
                                },
                            },
                        },
                    ]
                },
            ]
        },
    },
    "Load3D": {"required": {"width": ["INT", {"min": 1, "max": 4096}], "view": ["LOAD_3D", {}]}},
    "CustomCombo": {"required": {"choice": ["COMBO", {"options": []}]}},
}


def info_of(name: str, definition: dict[str, Any], **more: Any) -> NodeInfo:
    answer = {name: {"is_input_list": False, **definition, **more}}
    info = decode_object_info(Reply(200, "application/json", json.dumps(answer).encode()), name)
    assert info is not None
    return info


INFOS = {"Sink": info_of("Sink", SINK)} | {
    name: info_of(name, {"input": groups}) for name, groups in CLASSES.items()
}


@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_a_server_takes_has_no_problem_and_one_broken_thing_is_named(
    name: str, data: st.DataObject
) -> None:
    node = draw_node(data, name, {"input": CLASSES[name]})
    assert check_graph(node.graph, INFOS) == ()
    for broken, inputs in broken_inputs(node):
        [problem] = check_graph(node.graph | {NODE: node.graph[NODE] | {"inputs": inputs}}, INFOS)
        assert problem.node_id == NODE
        assert problem.fault.startswith((f"{broken} is ", f'{broken} "'))


def test_so_it_is_with_every_core_class_of_comfyui() -> None:
    for name, node_type in node_catalogue(RehearsalConfig(data_dir=Path(), port=0)).items():
        groups = node_type.describe()["input"]
        known = {"Sink": INFOS["Sink"], name: info_of(name, {"input": groups})}

        @settings(max_examples=1, database=None, suppress_health_check=list(HealthCheck))
        @given(st.data())
        def check(data: st.DataObject) -> None:
            node = draw_node(data, name, {"input": groups})  # noqa: B023  it runs at once
            assert check_graph(node.graph, known) == ()  # noqa: B023
            for broken, inputs in broken_inputs(node):
                changed = node.graph | {NODE: node.graph[NODE] | {"inputs": inputs}}
                [problem] = check_graph(changed, known)  # noqa: B023
                assert problem.node_id == NODE
                assert problem.fault.startswith((f"{broken} is ", f'{broken} "'))

        check()


def faults(class_name: str, info: NodeInfo | None = None, /, **inputs: Any) -> list[str]:
    return [problem.fault for problem in check_graph(one(class_name, inputs), infos(info))]


def unchecked(class_name: str, info: NodeInfo | None = None, /, **inputs: Any) -> dict[str, str]:
    found = unchecked_inputs(one(class_name, inputs), infos(info))
    return {each.name: each.reason for each in found}


def one(class_name: str, inputs: dict[str, Any]) -> Graph:
    return {"1": {"class_type": class_name, "inputs": inputs}}


def infos(info: NodeInfo | None) -> dict[str, NodeInfo]:
    return INFOS if info is None else {info.name: info}


def test_a_dynamic_combo_brings_the_inputs_of_its_option() -> None:
    shape = {"format": "mp4", "format.codec": "h264", "format.codec.encoding": "re-encode"}
    sound = {"video": ["2", 0], **shape, "format.codec.encoding.space": "sdr"}
    assert faults("Save", **sound) == ["format.codec.encoding.crf is missing."]
    sound["format.codec.encoding.crf"] = "52"
    assert faults("Save", **sound) == ["format.codec.encoding.crf is 52.0; the most is 51."]


def test_an_unknown_option_is_answered_with_the_options_and_no_definition() -> None:
    assert faults("Save", video=["2", 0], format="mp5") == [
        'format "mp5" does not exist; did you mean "mp4"? ComfyUI has: mp4, auto.'
    ]


def test_a_graph_from_before_an_input_became_dynamic_still_runs() -> None:
    old = {"video": ["2", 0], "format": "auto", "codec": "auto"}
    assert faults("Save", **old) == []


def test_an_option_that_the_server_passes_over_is_left_to_it() -> None:
    given_codec = {"video": ["2", 0], "format": "auto", "format.codec": "vp10", "codec": "vp10"}
    assert faults("Save", **given_codec) == []
    assert set(unchecked("Save", **given_codec)) == {"format.codec", "codec"}


def test_the_first_inputs_of_an_autogrow_are_needed_by_name() -> None:
    named = {"named.first": ["2", 0], "named.second": ["2", 0], "at_will.a": ["2", 0]}
    assert faults("Batch", **named, **{"images.image1": ["2", 0]}) == ["images.image0 is missing."]
    assert faults("Batch", **named, **{"images.image0": ["2", 0], "images.image2": ["2", 0]}) == []


def test_an_autogrow_in_a_dynamic_combo_has_both_names() -> None:
    assert faults("Edit", model="large") == ["model.images.image0 is missing."]
    assert faults("Edit", model="large", **{"model.images.image0": ["2", 0]}) == []
    assert faults("Edit", model="small", **{"model.steps": "4"}) == []


@pytest.mark.parametrize("value", ["20", 20.9, " 20 ", True, {"__value__": "20"}])
def test_a_number_may_come_as_what_the_server_makes_a_number_of(value: Any) -> None:
    info = info_of("Steps", {"input": {"required": {"steps": ["INT", {"min": 1, "max": 20}]}}})
    assert faults("Steps", info, steps=value) == []


@pytest.mark.parametrize("value", ["many", "20.5", None, float("nan"), float("inf"), {"a": 1}])
def test_a_value_that_the_server_makes_no_number_of_is_named(value: Any) -> None:
    info = info_of("Steps", {"input": {"required": {"steps": ["INT", {}]}}})
    [fault] = faults("Steps", info, steps=value)
    assert fault == f'steps is "{value}", which is no INT.'


def test_lists_of_choices_are_compared_one_by_one() -> None:
    sound = {"listed": "heun", "combo": "normal", "seconds": 5}
    assert faults("Choices", **sound, tags={"__value__": ["red", "blue"]}) == []
    [fault] = faults("Choices", **sound, tags={"__value__": ["red", "bleu"]})
    assert fault.startswith('tags "bleu" does not exist; did you mean "blue"?')
    assert unchecked("Choices", **sound, tags=["red", "blue", "green"]) == {
        "tags": "a list counts as a link"
    }


def test_what_only_the_server_can_judge_is_said_to_be_unchecked() -> None:
    values = {"image": "new.png", "audio": "b.mp3", "voice": "Kai", "model_name": "a.safetensors"}
    assert faults("Files", **values) == []
    assert set(unchecked("Files", **values)) == {"image", "audio", "voice"}
    assert unchecked("Plain", text=5, switch=True, color="#fff", spare=1) == {
        "text": "ComfyUI makes a STRING of it",
        "color": "COLOR: unknown",
        "spare": "ComfyUI knows no such input of this node",
    }


def test_a_kind_that_expands_in_an_unknown_way_is_left_to_the_server() -> None:
    info = info_of("New", {"input": {"required": {"slot": ["COMFY_DYNAMICSLOT_V3", {}]}}})
    assert faults("New", info) == []
    assert set(unchecked("New", info, slot=3, **{"slot.size": 5})) == {"slot", "slot.size"}


def test_an_extension_may_take_what_it_does_not_list() -> None:
    group = {"format": [["gif"]], "rate": ["INT", {"max": 9}], "images": ["IMAGE"]}
    extension = info_of("X", {"input": {"required": group}}, python_module="custom_nodes.videos")
    values = {"format": "video/mp4", "rate": 24}
    assert faults("X", extension, **values) == ["images is missing."]
    assert set(unchecked("X", extension, **values)) == {"format", "rate"}
    core = info_of("X", {"input": {"required": group}}, python_module="nodes")
    assert len(faults("X", core, **values)) == 3


def test_a_server_that_compares_only_listed_choices_is_not_anticipated() -> None:
    groups = {"required": {"new": ["COMBO", {"options": ["a"]}], "old": [["a"]], "i": images(1)}}
    old = NodeInfo.model_validate(info_of("Old", {"input": groups}).model_dump())
    answer = Reply(200, "", json.dumps({"Old": {"input": groups}}).encode())
    before = decode_object_info(answer, "Old")
    assert before is not None
    assert [each.partition(" ")[0] for each in faults("Old", before, new="b", old="b")] == ["old"]
    assert len(faults("Old", old, new="b", old="b")) == 2


def test_a_node_that_no_output_needs_may_be_incomplete_but_must_exist() -> None:
    graph: Graph = {
        "1": {"class_type": "Save", "inputs": {}},
        "2": {"class_type": "Gone", "inputs": {}},
        "3": {"class_type": "Sink", "inputs": {"value": ["4", 0], "unknown": ["1", 0]}},
        "4": {"class_type": "Plain", "inputs": {"text": ""}},
    }
    assert [str(problem) for problem in check_graph(graph, INFOS)] == [
        'Gone "Gone": ComfyUI has no such node; install the extension it comes from.',
        'Plain "Plain": switch is missing.',
    ]


def test_nodes_of_one_title_are_told_apart_by_their_ids() -> None:
    node = {"class_type": "Edit", "inputs": {"model": "small"}}
    problems = check_graph({"12:3": node, "12:4": node}, INFOS)
    assert [str(problem) for problem in problems] == [
        'Edit "Edit" (node 12:3): model.steps is missing.',
        'Edit "Edit" (node 12:4): model.steps is missing.',
    ]


def test_a_refusal_is_short_whatever_the_graph_has_in_it() -> None:
    long = "x" * 100_000
    choices = [f"{number:04}-{'y' * 300}.safetensors" for number in range(300)]
    info = info_of("Load", {"input": {"required": {"name": [choices], "n": ["INT", {}]}}})
    node = {"class_type": "Load", "inputs": {"name": long, "n": long}, "_meta": {"title": long}}
    problems = check_graph({str(number): node for number in range(1000)}, {"Load": info})
    assert max(len(str(problem)) for problem in problems) < MAX_TEXT
    assert len(listed(problems)) < 2 * MAX_TEXT
    assert listed(problems).endswith("… and more.")
    assert len(listed(check_graph({"1": {"class_type": long, "inputs": {}}}, {}))) < MAX_TEXT

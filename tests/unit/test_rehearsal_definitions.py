"""The node classes of ComfyUI 0.33 in the rehearsal server: dynamic inputs, and what they give."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anime.rehearsal.config import Profile, RehearsalConfig
from anime.rehearsal.definitions import reduced
from anime.rehearsal.generic_node import pass_on
from anime.rehearsal.gpu import Gpu
from anime.rehearsal.node_calls import NodeCall
from anime.rehearsal.node_types import DYNAMIC_COMBO, NodeInput
from anime.rehearsal.nodes import MODEL_FOLDERS, node_catalogue
from anime.rehearsal.number_nodes import evaluate
from anime.rehearsal.saving import Metadata
from anime.rehearsal.validation import GraphValidation, validate_graph
from anime.rehearsal.values import (
    Audio,
    Conditioning,
    Images,
    Latent,
    Model,
    Opaque,
    Video,
    flat_frame,
)

CONFIG = RehearsalConfig(data_dir=Path("/nowhere"), models=("text_encoders/mine.safetensors",))
TYPES = node_catalogue(CONFIG, ["film.mp4", "in.png", "notes.txt", "song.flac"])


def node(class_type: str, **inputs: Any) -> dict[str, Any]:  # a node's inputs are anything
    return {"class_type": class_type, "inputs": inputs}


def judge(graph: dict[str, dict[str, Any]]) -> GraphValidation:
    return validate_graph(graph, TYPES, lambda name: name == "film.mp4", profile=Profile.V0_33)


def faults_of(class_type: str, **inputs: Any) -> list[str]:
    """Type and details of the errors of a node, between a flat picture and a preview."""
    graph = {
        "1": node("EmptyImage", width=64, height=64, batch_size=1, color=1),
        "2": node(class_type, **inputs),
        "3": node("PreviewAny", source=["2", 0]),
    }
    errors = judge(graph).node_errors
    return [f"{each['type']}: {each['details']}" for each in errors.get("2", {}).get("errors", ())]


RESIZE = {"input": ["1", 0], "scale_method": "area"}
IMAGE = "images.image"
METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]


@pytest.mark.parametrize(
    ("class_type", "inputs", "faults"),
    [
        ("ResizeImageMaskNode", RESIZE | {"resize_type": "scale width"}, ["width"]),
        (
            "ResizeImageMaskNode",
            RESIZE | {"resize_type": "scale width", "resize_type.width": "64"},
            [],
        ),
        ("ResizeImageMaskNode", RESIZE, []),
        ("BatchImagesNode", {f"{IMAGE}0": ["1", 0], f"{IMAGE}7": ["1", 0]}, []),
        ("BatchImagesNode", {f"{IMAGE}1": ["1", 0]}, ["image0"]),
        ("ComfyMathExpression", {"expression": "a", "values.b": 1}, ["a"]),
        ("ComfySwitchNode", {"switch": True, "on_true": ["1", 0], "on_false": ["1", 0]}, []),
        ("CustomCombo", {"choice": "whatever the editor has"}, []),
        ("LoadVideo", {"file": "film.mp4"}, []),
        ("Painter", {"mask": "", "width": 64, "height": 64, "bg_color": "#000000"}, []),
        ("CLIPLoader", {"clip_name": "mine.safetensors", "type": "flux2"}, []),
    ],
)
def test_dynamic_inputs_ask_for_what_they_need(
    class_type: str, inputs: dict[str, Any], faults: list[str]
) -> None:
    missing = [f"required_input_missing: {name}" for name in faults]
    assert faults_of(class_type, **inputs) == missing


@pytest.mark.parametrize(
    ("class_type", "inputs", "fault"),
    [
        (
            "ResizeImageMaskNode",
            {**RESIZE, "resize_type": "scale by multiplier", "resize_type.multiplier": 9},
            "value_bigger_than_max: resize_type.multiplier",
        ),
        (
            "ResizeImageMaskNode",
            {"input": ["1", 0], "scale_method": "soft"},
            f"value_not_in_list: scale_method: 'soft' not in {METHODS}",
        ),
        (
            "LoadVideo",
            {"file": "gone.mp4"},
            "custom_validation_failed: file - Invalid video file: gone.mp4",
        ),
        (
            "VAEDecode",
            {"samples": ["1", 0], "vae": ["1", 0]},
            "return_type_mismatch: samples, received_type(IMAGE) mismatch input_type(LATENT)",
        ),
    ],
)
def test_values_of_dynamic_inputs_are_checked(
    class_type: str, inputs: dict[str, Any], fault: str
) -> None:
    assert faults_of(class_type, **inputs)[0] == fault


def test_inputs_with_dots_in_their_own_name_are_named_whole() -> None:
    inputs: dict[str, Any] = {each.name: 1.0 for each in TYPES["ModelMergeSD1"].inputs}
    models = {"model1": ["1", 0], "model2": ["1", 0]}
    del inputs["input_blocks.6."]
    faults = faults_of("ModelMergeSD1", **inputs | models)
    assert "required_input_missing: input_blocks.6." in faults


@pytest.mark.parametrize(
    ("class_type", "name"), [("LoadImage", "image"), ("LoadVideo", "file"), ("LoadAudio", "audio")]
)
@pytest.mark.parametrize("given", [None, 5, ["1", 0]])
def test_the_name_of_a_file_must_be_a_text(class_type: str, name: str, given: object) -> None:
    inputs = {} if given is None else {name: given}
    [fault] = faults_of(class_type, **inputs)
    assert fault.startswith("exception_during_inner_validation: ")


def test_a_link_into_choices_names_all_of_them() -> None:
    linked = {"input": ["1", 0], "resize_type": "scale to multiple", "resize_type.multiple": 8}
    latent = {"samples": ["1", 0], "scale_by": 2, "upscale_method": ["1", 0]}
    [_samples, fault] = faults_of("LatentUpscaleBy", **latent)
    wanted = ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
    assert fault.endswith(f"received_type(IMAGE) mismatch input_type({wanted})")
    [fault] = faults_of("ResizeImageMaskNode", **linked, scale_method=["1", 0])
    assert fault.endswith("received_type(IMAGE) mismatch input_type(COMBO)")


def test_a_list_is_checked_where_several_may_be_chosen() -> None:
    many = NodeInput("days", "COMBO", {"options": ["mon", "tue"], "multiselect": True})
    types = {"Diary": replace_inputs("PreviewAny", many)}

    def is_valid(*days: str) -> bool:
        graph = {"1": node("Diary", days={"__value__": list(days)})}
        return not validate_graph(graph, types, lambda _name: False).node_errors

    assert is_valid("mon", "tue")
    assert not is_valid("mon", "dies")


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (None, "None"), ("it's", '"it\'s"'), ({"__value__": [1]}, "[1]")]
)
def test_a_value_that_is_no_choice_is_shown_as_python_writes_it(value: object, shown: str) -> None:
    [fault] = faults_of("ResizeImageMaskNode", **RESIZE | {"scale_method": value})
    assert fault == f"value_not_in_list: scale_method: {shown} not in {METHODS}"


def replace_inputs(name: str, *inputs: NodeInput) -> Any:  # a NodeType
    return replace(TYPES[name], inputs=inputs)


def test_the_nodes_of_a_cycle_are_named() -> None:
    graph = {
        "1": node("ImageInvert", image=["2", 0]),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("PreviewImage", images=["2", 0]),
    }
    result = judge(graph)
    assert result.node_errors.keys() == {"1", "2"}
    [fault] = result.node_errors["2"]["errors"]
    assert fault["details"] == "2 (ImageInvert) -> 1 (ImageInvert) -> 2 (ImageInvert)"


FRAME = flat_frame(64, 48, (1, 2, 3))
GIVEN: dict[str, object] = {
    "IMAGE": Images((FRAME,)),
    "MASK": Images((FRAME,)),
    "LATENT": Latent(64, 48, (FRAME,)),
    "MODEL": Model("m"),
    "CLIP": Model("m"),
    "VAE": Model("m"),
    "CONDITIONING": Conditioning("words"),
    "VIDEO": Video(Images((FRAME,)), 8.0),
    "AUDIO": Audio(1.0),
    "INT": 1,
    "FLOAT": 1.0,
    "STRING": "text",
    "BOOLEAN": True,
}


def value_for(wanted: NodeInput) -> object:
    if wanted.choices is not None:
        return next(iter(wanted.choices), "")
    if wanted.type_name == DYNAMIC_COMBO:
        return wanted.options["options"][0]["key"]
    kind = wanted.type_name.split(",")[0]
    return wanted.options.get("default", GIVEN.get(kind, Opaque(kind, {})))


@pytest.mark.parametrize("gives_links", [True, False])
def test_every_class_passes_on_something_of_the_right_type(gives_links: bool) -> None:
    wrong = []
    for name, node_type in TYPES.items():
        inputs: dict[str, Any] = {}
        for _depth in range(3):  # a dynamic input asks for more once it has its value
            for wanted in node_type.inputs_for(inputs | chosen(node_type.inputs)):
                inputs.setdefault(wanted.name, value_for(wanted))
        if not gives_links:
            plain = int | float | str | bool
            inputs = {key: value for key, value in inputs.items() if isinstance(value, plain)}
        call = NodeCall(node_type, inputs, CONFIG, Gpu(1, 0), Metadata({}, {}), never_steps)
        values = asyncio.run(pass_on(call)).values
        assert len(values) == len(node_type.outputs)
        wrong += [
            (name, kind, value)
            for kind, value in zip(node_type.outputs, values, strict=True)
            if kind in GIVEN and not isinstance(value, type(GIVEN[kind]))
        ]
    assert wrong == []


def chosen(inputs: tuple[NodeInput, ...]) -> dict[str, object]:
    return {
        wanted.name: wanted.options["options"][0]["key"]
        for wanted in inputs
        if wanted.type_name == DYNAMIC_COMBO
    }


async def never_steps(*_arguments: object) -> None:
    raise AssertionError("only samplers take steps")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("floor(a * b) + 1", 81),
        ("a > 2048", False),
        ("-a // 2", -3),
        ("(a + 14) & -8 | 1", 17),
        ("b + a & ~1", 20),
        ("max(a, b) if a < b else round(a / 2)", 16),
    ],
)
def test_expressions_are_calculated(expression: str, value: float) -> None:
    assert evaluate(expression, {"a": 5, "b": 16}) == value


@pytest.mark.parametrize("expression", ["c", "a ** 9", "open('x')", "a.b", "a if", "+" * 2000])
def test_what_is_no_plain_expression_is_refused(expression: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        evaluate(expression, {"a": 5})


def test_object_info_has_the_facts_of_a_class_and_the_models_of_the_server() -> None:
    entry = TYPES["CLIPLoader"].describe()
    [choices] = entry["input"]["required"]["clip_name"]
    assert choices == ["mine.safetensors", "rehearsal-text_encoders.safetensors"]
    assert entry["input_order"]["optional"] == ["device"]
    assert (entry["output"], entry["output_node"]) == (["CLIP"], False)
    assert TYPES["LoadVideo"].describe()["input"]["required"]["file"][1]["options"] == ["film.mp4"]
    assert TYPES["LoadImage"].describe()["input"]["required"]["image"][0] == ["in.png"]
    sounds = TYPES["LoadAudio"].describe()["input"]["required"]["audio"][1]["options"]
    assert sounds == ["film.mp4", "song.flac"]
    rendered = TYPES["LoadImageOutput"].describe()["input"]["required"]["image"]
    assert (rendered[0], "options" in rendered[1]) == ("COMBO", False)
    attention = TYPES["ModelAttentionBackend"].describe()["input"]["required"]["attention"]
    assert attention == [["pytorch attention", "comfy kitchen attention"]]
    saver = TYPES["SaveAnimatedPNG"].describe()
    assert (saver["output"], saver["has_intermediate_output"]) == (["IMAGE"], False)


@pytest.mark.parametrize(
    ("name", "display_name", "module", "category"),
    [
        ("LatentUpscale", "Upscale Latent", "nodes", "model/latent"),
        ("PreviewAudio", "Preview Audio", "comfy_extras.nodes_audio", "audio"),
        ("LatentAdd", None, "comfy_extras.nodes_latent", "model/latent/advanced"),
    ],
)
def test_every_class_is_described_as_comfyui_does(
    name: str, display_name: str | None, module: str, category: str
) -> None:
    entry = TYPES[name].describe()
    assert entry["display_name"] == display_name
    assert (entry["python_module"], entry["category"]) == (module, category)


def test_old_classes_leave_out_options_that_are_empty() -> None:
    assert TYPES["CLIPSetLastLayer"].describe()["input"]["required"]["clip"] == ["CLIP"]
    assert TYPES["LatentAdd"].describe()["input"]["required"]["samples1"] == ["LATENT", {}]


def test_every_choice_of_a_file_has_its_folder() -> None:
    inputs = [(name, wanted) for name, known in TYPES.items() for wanted in known.inputs]
    # The editor makes up the choices of one; others name folders, or files of other kinds.
    empty = {name for name, wanted in inputs if wanted.choices == () and not wanted.media}
    others = {"CheckpointLoader", "DiffusersLoader", "LoadLatent", "LoadTrainingDataset"}
    assert empty == others | {"CustomCombo", "GeminiInputFiles", "OpenAIInputFiles"}
    named = {key for name, wanted in inputs for key in (wanted.name, f"{name}.{wanted.name}")}
    assert set(MODEL_FOLDERS) <= named


def test_definitions_keep_facts_and_no_prose_or_file_names() -> None:
    shader = ["STRING", {"default": "void main() {}" * 20, "tooltip": "A shader."}]
    entry = {
        "input": {"required": {"ckpt_name": [["a.safetensors"], {}], "code": shader}},
        "output": ["MODEL"],
        "output_node": False,
        "description": "Loads.",
    }
    partner = {"input": {}, "output": [], "api_node": True}
    assert reduced({"Loader": entry, "Partner": partner}) == {
        "Loader": {
            "input": {"required": {"ckpt_name": [[], {}], "code": ["STRING", {}]}},
            "output": ["MODEL"],
        }
    }

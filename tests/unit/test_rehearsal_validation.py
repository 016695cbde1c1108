"""The rehearsal server judges a graph as ComfyUI's POST /prompt does."""

from pathlib import Path
from typing import Any

import pytest

from anime.rehearsal.config import Profile, RehearsalConfig
from anime.rehearsal.nodes import node_catalogue
from anime.rehearsal.validation import GraphValidation, validate_graph

TYPES = node_catalogue(RehearsalConfig(data_dir=Path("/nowhere"), profile=Profile.V0_3_64))
[SAMPLERS] = [each.choices for each in TYPES["KSampler"].inputs if each.name == "sampler_name"]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:  # a node's inputs are anything
    return {"class_type": class_type, "inputs": inputs}


def flat(**changes: Any) -> dict[str, Any]:
    return node("EmptyImage", **{"width": 64, "height": 64, "batch_size": 1, "color": 1} | changes)


def save(*link: object) -> dict[str, Any]:
    return node("SaveImage", filename_prefix="x", images=list(link))


def sampled(**changes: Any) -> dict[str, Any]:
    given = {
        "model": ["4", 0],
        "positive": ["6", 0],
        "negative": ["6", 0],
        "latent_image": ["5", 0],
        "seed": 1,
        "steps": 2,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    return {
        "4": node("CheckpointLoaderSimple", ckpt_name="rehearsal-sd15.safetensors"),
        "6": node("CLIPTextEncode", text="a", clip=["4", 1]),
        "5": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "3": node("KSampler", **given | changes),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": save("8", 0),
    }


def judge(graph: Any, targets: list[str] | None = None) -> GraphValidation:
    return validate_graph(graph, TYPES, lambda name: name == "there.png", targets)


def only_fault(result: GraphValidation) -> tuple[str, dict[str, Any]]:
    [(node_id, entry)] = result.node_errors.items()
    [fault] = entry["errors"]
    return node_id, fault


def test_a_sound_graph_may_run_whole() -> None:
    result = judge(sampled())
    assert (result.outputs, result.error, result.node_errors) == (["9"], None, {})


def test_values_are_turned_into_what_the_input_takes() -> None:
    graph = {"1": flat(width="64", height=64.9, unknown="ignored"), "2": save("1", 0)}
    assert judge(graph).error is None
    assert (graph["1"]["inputs"]["width"], graph["1"]["inputs"]["height"]) == (64, 64)


@pytest.mark.parametrize(
    ("changes", "kind", "message", "details"),
    [
        ({"width": 999_999}, "value_bigger_than_max", "Value 999999 bigger than max of 16384", ""),
        ({"width": 0}, "value_smaller_than_min", "Value 0 smaller than min of 1", ""),
        (
            {"width": "abc"},
            "invalid_input_type",
            "Failed to convert an input value to a INT value",
            ", abc, invalid literal for int() with base 10: 'abc'",
        ),
    ],
)
def test_a_bad_number_is_named(
    changes: dict[str, Any], kind: str, message: str, details: str
) -> None:
    result = judge({"1": flat(**changes), "2": save("1", 0)})
    node_id, fault = only_fault(result)
    assert (node_id, fault["type"], fault["message"]) == ("1", kind, message)
    assert fault["details"] == f"width{details}"
    assert result.error is not None
    assert result.error["type"] == "prompt_outputs_failed_validation"
    assert result.error["details"] == ""
    assert result.node_errors["1"]["dependent_outputs"] == ["2"]


def test_an_unknown_checkpoint_is_answered_with_the_list() -> None:
    graph = sampled()
    graph["4"]["inputs"]["ckpt_name"] = "nope.safetensors"
    node_id, fault = only_fault(judge(graph))
    choices = ["rehearsal-sd15.safetensors", "rehearsal-sdxl.safetensors"]
    assert (node_id, fault["type"]) == ("4", "value_not_in_list")
    assert fault["details"] == f"ckpt_name: 'nope.safetensors' not in {choices}"
    assert fault["extra_info"]["received_value"] == "nope.safetensors"
    assert fault["extra_info"]["input_config"][0] == choices


def test_a_long_list_of_choices_is_left_out() -> None:
    _node_id, fault = only_fault(judge(sampled(sampler_name="nope")))
    assert fault["details"] == f"sampler_name: 'nope' not in (list of length {len(SAMPLERS or ())})"
    assert fault["extra_info"]["input_config"] is None


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_end_where_64_bits_end(seed: int) -> None:
    assert judge(sampled(seed=2**64 - 1)).error is None
    assert only_fault(judge(sampled(seed=seed)))[0] == "3"


def test_a_missing_input_is_named() -> None:
    graph = {"1": flat(), "2": save("1", 0)}
    del graph["1"]["inputs"]["color"]
    _node_id, fault = only_fault(judge(graph))
    assert (fault["type"], fault["details"]) == ("required_input_missing", "color")


def test_a_missing_input_file_is_named() -> None:
    graph = {"1": node("LoadImage", image="nope.png"), "2": save("1", 0)}
    _node_id, fault = only_fault(judge(graph))
    assert fault["type"] == "custom_validation_failed"
    assert fault["details"] == "image - Invalid image file: nope.png"
    assert judge({"1": node("LoadImage", image="there.png"), "2": save("1", 0)}).error is None


def test_a_link_of_the_wrong_type_is_the_outputs_own_fault() -> None:
    result = judge(
        {"1": node("EmptyLatentImage", width=64, height=64, batch_size=1)} | {"2": save("1", 0)}
    )
    node_id, fault = only_fault(result)
    assert (node_id, fault["type"]) == ("2", "return_type_mismatch")
    assert fault["details"] == "images, received_type(LATENT) mismatch input_type(IMAGE)"
    assert result.error is not None
    assert result.error["details"].endswith("mismatch input_type(IMAGE)")


@pytest.mark.parametrize(
    ("link", "details"), [(["77", 0], "'77'"), (["1", 5], "tuple index out of range")]
)
def test_a_link_to_nowhere_breaks_the_validation(link: list[object], details: str) -> None:
    result = judge({"1": flat(), "2": save(*link)})
    node_id, fault = only_fault(result)
    assert (node_id, fault["type"]) == ("2", "exception_during_validation")
    assert fault["details"] == details
    assert result.error is not None
    assert result.error["details"] == f"Exception when validating node: {details}"


def test_an_inner_node_without_inputs_is_found() -> None:
    node_id, fault = only_fault(judge({"1": {"class_type": "EmptyImage"}, "2": save("1", 0)}))
    assert (node_id, fault["type"]) == ("1", "exception_during_inner_validation")
    assert fault["extra_info"]["linked_node"] == ["1", 0]


def test_one_valid_output_is_enough() -> None:
    graph = {"1": flat(), "2": save("1", 0), "3": flat(width=999_999), "4": save("3", 0)}
    result = judge(graph)
    assert (result.outputs, result.error) == (["2"], None)
    assert result.node_errors["3"]["dependent_outputs"] == ["4"]


def test_a_cycle_is_refused_without_saying_where() -> None:
    notify_worker = {
        "1": node("ImageInvert", image=["2", 0]),
        "2": node("ImageInvert", image=["1", 0]),
        "3": save("2", 0),
    }
    result = judge(notify_worker)
    assert result.error is not None
    assert result.error["type"] == "prompt_outputs_failed_validation"
    assert result.node_errors == {}


@pytest.mark.parametrize(
    ("graph", "kind", "message"),
    [
        ({}, "prompt_no_outputs", "Prompt has no outputs"),
        ({"1": flat()}, "prompt_no_outputs", "Prompt has no outputs"),
        (
            {"1": node("NoSuchNode")},
            "invalid_prompt",
            "Cannot execute because node NoSuchNode does not exist.",
        ),
        (
            {"1": {"inputs": {}}},
            "invalid_prompt",
            "Cannot execute because a node is missing the class_type property.",
        ),
    ],
)
def test_some_graphs_are_refused_without_node_errors(
    graph: dict[str, Any], kind: str, message: str
) -> None:
    result = judge(graph)
    assert result.error is not None
    assert (result.error["type"], result.error["message"]) == (kind, message)
    assert result.node_errors == {}


def test_a_ui_workflow_is_no_graph() -> None:
    with pytest.raises(TypeError):
        judge({"last_node_id": 9, "nodes": []})


def test_targets_leave_out_other_outputs() -> None:
    graph = {"1": flat(), "2": save("1", 0), "5": save("1", 0)}
    assert judge(graph, ["5"]).outputs == ["5"]

"""Proposals as a binding file: read back, chosen where in doubt, found again after a change."""

import json
import tomllib
from copy import deepcopy
from typing import Any

import pytest

from anime.assets.workflow_import import convert_and_propose, plan_import
from anime.comfyui.object_info import ServerClasses
from anime.core.binding_file import binding_text
from anime.core.bindings import Binding, InputBinding, InputKind
from anime.core.conversion.sources import WorkflowSource
from anime.core.graphs import Graph
from anime.core.node_classes import NodeClassPolicy
from anime.core.proposals.binding import ProposedBinding, bind_proposals
from anime.core.proposals.rebinding import with_confirmed
from anime.core.template_format import parse_template
from anime.core.workflow_build import Template, build
from anime.core.workflow_schema import inputs_schema
from anime.errors import InvalidRequest, InvalidWorkflow
from anime.rehearsal.definitions import definitions
from anime.schemas import GenerationRequest
from tests.unit.test_proposals import (
    PARTNERS,
    edit_graph,
    image_to_video,
    node,
    proposed,
    text_to_image,
)


def bound(graph: Graph, **choices: str) -> ProposedBinding:
    return bind_proposals(graph, proposed(graph), choices, title="Mine")


def read_back(graph: Graph, binding: ProposedBinding) -> Template:
    """The template that a job would read, from the text that would be written."""
    return parse_template("mine", json.dumps(graph), binding_text(binding.binding, binding.signals))


def two_prompts() -> Graph:
    second = text_to_image()["5"]["inputs"] | {"positive": ["8", 0], "latent_image": ["5", 0]}
    graph = text_to_image(
        n8=node("CLIPTextEncode", text="a dog", clip=["1", 1]), n9=node("KSampler", **second)
    )
    graph["6"]["inputs"]["samples"] = ["9", 0]
    return graph


@pytest.mark.parametrize("graph", [text_to_image(), edit_graph(), image_to_video()])
def test_a_binding_reads_back_as_what_was_written(graph: Graph) -> None:
    binding = bound(graph)
    assert read_back(graph, binding).binding == binding.binding


def test_nodes_are_named_by_titles_where_these_are_unique() -> None:
    text = binding_text(bound(text_to_image()).binding, {"seed": "KSampler.seed"})
    assert 'prompt = { id = "2", input = "text" }' in text
    assert 'seed = { node = "KSampler", input = "seed" }  # KSampler.seed' in text


@pytest.mark.parametrize("title", ['a "b" \\ c', "a\x7fb", "猫", "# no comment", "'''"])
def test_any_title_survives_the_file(title: str) -> None:
    graph = text_to_image()
    graph["5"]["_meta"]["title"] = title
    template = read_back(graph, bound(graph))
    assert template.node_id(template.inputs["seed"]) == "5"


def test_a_request_sets_what_was_bound() -> None:
    graph = image_to_video()
    template = read_back(graph, bound(graph))
    request = GenerationRequest(
        prompt="waves",
        type="video",
        seed=5,
        inputs={"seconds": 2, "fps": 16, "references": ["a.png", "b.png"]},
    )
    made = build(template, request, seed=5, filename_prefix="x")
    assert made["2"]["inputs"]["text"] == "waves"
    assert made["4"]["inputs"]["length"] == 33
    assert (made["10"]["inputs"]["image"], made["9"]["inputs"]["image"]) == ("a.png", "b.png")


def test_a_picture_that_may_be_missing_is_dropped_with_its_input() -> None:
    graph = edit_graph()
    template = read_back(graph, bound(graph))
    request = GenerationRequest(prompt="swap", inputs={"references": ["a.png"]})
    made = build(template, request, seed=5, filename_prefix="x")
    assert "image2" not in made["2"]["inputs"]
    assert made["10"]["inputs"]["image"] == "a.png"


def test_a_seed_of_a_partner_that_follows_from_the_job_fits_and_one_that_is_given_must() -> None:
    graph: Graph = {
        "1": node("PartnerPicture", prompt="a cat", aspect_ratio="1:1", seed=3),
        "2": node("SaveImage", filename_prefix="x", images=["1", 0]),
    }
    template = read_back(graph, bound(graph))
    made = build(template, GenerationRequest(prompt="x"), seed=2**64 - 1, filename_prefix="x")
    assert made["1"]["inputs"]["seed"] == (2**64 - 1) % 2**31
    with pytest.raises(InvalidRequest, match="above its maximum"):
        build(template, GenerationRequest(prompt="x", seed=2**40), seed=2**40, filename_prefix="x")


def test_a_doubtful_prompt_is_refused_with_its_candidates_until_one_is_chosen() -> None:
    graph = two_prompts()
    with pytest.raises(InvalidWorkflow, match=r"There are: 8\.text, 2\.text"):
        bound(graph)
    template = read_back(graph, bound(graph, prompt="2.text"))
    assert template.node_id(template.inputs["prompt"]) == "2"


def test_what_is_doubtful_and_no_must_is_left_out_and_named() -> None:
    graph = two_prompts()
    graph["9"]["inputs"]["steps"] = 4
    binding = bound(graph, prompt="2.text")
    assert "steps" not in binding.binding.inputs
    assert "different values" in binding.left_out["steps"]
    chosen = bound(graph, prompt="2.text", steps="9.steps", cfg="")
    assert read_back(graph, chosen).inputs["steps"].targets[0].id == "9"
    assert "cfg" not in chosen.binding.inputs


def test_an_input_of_ones_own_can_be_chosen() -> None:
    binding = bound(text_to_image(), strength="5.denoise")
    assert binding.binding.inputs["strength"].kind is InputKind.FLOAT


@pytest.mark.parametrize("place", ["99.text", "2.words", "2.clip", "nothing", "." * 300])
def test_a_choice_that_is_no_place_is_refused(place: str) -> None:
    with pytest.raises(InvalidWorkflow, match="is no input of the graph") as refused:
        bound(text_to_image(), prompt=place)
    assert len(str(refused.value)) < 300


def test_an_output_can_be_chosen_among_those_that_save() -> None:
    graph = text_to_image(n20=node("SaveImage", "Second", filename_prefix="x", images=["6", 0]))
    template = read_back(graph, bound(graph, output="20"))
    assert template.output_node == "20"
    with pytest.raises(InvalidWorkflow, match="saves a file"):
        bound(graph, output="5")


def test_inputs_and_kind_are_those_of_the_output_that_is_chosen() -> None:
    graph = text_to_image()
    film = {key: each for key, each in image_to_video().items() if key != "7"}
    shift = {key: f"1{key}" for key in film}
    for key, each in film.items():
        inputs = {
            name: [shift[value[0]], value[1]] if isinstance(value, list) else value
            for name, value in each["inputs"].items()
        }
        graph[shift[key]] = each | {"inputs": inputs}
    graph["17"] = node("SaveVideo", filename_prefix="x", format="auto", video=["112", 0])
    classes = ServerClasses({**definitions(), **PARTNERS})
    converted = convert_and_propose(WorkflowSource(graph), classes, NodeClassPolicy())
    chosen = plan_import("mine", converted, title="Mine", choices={"output": "7"}).template
    assert (chosen.output, chosen.output_node) == ("image", "7")
    assert chosen.node_id(chosen.inputs["prompt"].targets[0]) == "2"
    assert "seconds" not in chosen.inputs
    other = plan_import("mine", converted, title="Mine", choices={"output": "17"}).template
    assert (other.output, other.output_node) == ("video", "17")
    assert other.node_id(other.inputs["prompt"].targets[0]) == "12"


def test_a_graph_without_a_prompt_needs_none() -> None:
    graph: Graph = {
        "1": node("LoadImage", image="a.png"),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", filename_prefix="x", images=["2", 0]),
    }
    template = read_back(graph, bound(graph))
    assert not template.binding.needs_prompt
    assert template.inputs["image"].required


def changed_ids(graph: Graph, shift: int) -> Graph:
    """The same graph with other ids."""

    def moved(value: Any) -> Any:
        return [str(int(value[0]) + shift), value[1]] if isinstance(value, list) else value

    return {
        str(int(node_id) + shift): {
            **each,
            "inputs": {name: moved(value) for name, value in each["inputs"].items()},
        }
        for node_id, each in deepcopy(graph).items()
    }


def test_bindings_are_found_again_by_title_and_class_when_ids_have_changed() -> None:
    graph = text_to_image()
    before = read_back(graph, bound(graph, strength="5.denoise"))
    graph["2"]["_meta"]["title"] = "Positive"
    before = parse_with(
        before, graph, prompt=InputBinding(node="Positive", input="text", kind="text")
    )
    new = changed_ids(graph, 100)
    again = with_confirmed(bound(new), before, new)
    template = read_back(new, again)
    assert template.node_id(template.inputs["prompt"]) == "102"
    assert template.node_id(template.inputs["strength"]) == "105"
    assert again.lost == ()
    assert not template.was_edited


def parse_with(template: Template, graph: Graph, **inputs: InputBinding) -> Template:
    binding = template.binding.model_copy(update={"inputs": template.inputs | inputs})
    return Template("mine", graph, binding)


def test_what_the_new_graph_has_no_place_for_is_named_as_lost() -> None:
    graph = text_to_image(
        n30=node("LoraLoaderModelOnly", "Glow", lora_name="a", strength_model=1.0)
    )
    graph["30"]["inputs"]["model"] = ["1", 0]
    graph["5"]["inputs"]["model"] = ["30", 0]
    before = read_back(graph, bound(graph, glow="30.strength_model"))
    new = text_to_image()
    again = with_confirmed(bound(new), before, new)
    assert again.lost == ("glow",)
    assert "glow" not in read_back(new, again).inputs


def test_words_that_a_person_wrote_stay_when_the_graph_changes() -> None:
    graph = text_to_image()
    before = read_back(graph, bound(graph))
    binding = before.binding.model_copy(update={"title": "Ours", "vram_mb": 5000})
    again = with_confirmed(bound(graph), Template("mine", graph, binding), graph).binding
    assert (again.title, again.vram_mb) == ("Ours", 5000)


def test_a_schema_has_what_a_form_needs() -> None:
    graph = image_to_video()
    schema: dict[str, Any] = inputs_schema(read_back(graph, bound(graph)))
    fields, own = schema["properties"], schema["properties"]["inputs"]
    assert schema["required"] == ["prompt", "workflow", "inputs"]
    assert fields["workflow"] == {"const": "mine"}
    assert fields["prompt"]["default"] == "a cat"
    assert (fields["width"]["default"], fields["width"]["multipleOf"]) == (832, 8)
    assert own["required"] == ["references"]
    assert own["properties"]["references"]["x-roles"] == ["start", "end"]
    assert own["properties"]["references"]["maxItems"] == 2
    assert own["properties"]["seconds"]["default"] == 5


def test_a_binding_with_every_kind_of_key_is_written() -> None:
    binding = Binding.model_validate(
        {
            "title": "All",
            "description": "One.\nTwo.",
            "output": "image",
            "vram_mb": 9000,
            "inputs": {
                "prompt": {"class": "CLIPTextEncode", "input": "text"},
                "own name": {
                    "node": "Glow",
                    "input": "x",
                    "kind": "float",
                    "minimum": 0.5,
                    "default": 1.5,
                    "description": "How much.",
                    "also": [{"id": "7", "input": "y"}],
                },
            },
            "loras": [{"id": "1", "clip_id": "2"}],
        }
    )
    assert Binding.model_validate(tomllib.loads(binding_text(binding, {}))) == binding

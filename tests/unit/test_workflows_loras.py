"""LoRAs behind one or several models, with and without the text encoder."""

import json
from typing import Any

import pytest

from anime.core.graphs import Graph
from anime.core.template_format import parse_template
from anime.core.workflow_build import build
from anime.errors import InvalidWorkflow
from anime.schemas import GenerationRequest, LoraChoice


def node(class_type: str, title: str = "", **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


GRAPH: Graph = {
    "1": node("UNETLoader", "High noise", unet_name="high"),
    "2": node("UNETLoader", "Low noise", unet_name="low"),
    "3": node("CLIPLoader", clip_name="umt5"),
    "4": node("CLIPTextEncode", text="", clip=["3", 0]),
    "5": node("ModelSamplingSD3", "Shift of high", model=["1", 0]),
    "6": node("ModelSamplingSD3", "Shift of low", model=["2", 0]),
    "7": node("KSamplerAdvanced", "First", model=["5", 0], positive=["4", 0]),
    "8": node("KSamplerAdvanced", "Second", model=["6", 0], positive=["4", 0], latent=["7", 0]),
    "9": node("SaveImage", filename_prefix="x", images=["8", 0]),
}
HEAD = 'title = "Mine"\noutput = "image"\n'
PROMPT = '[inputs]\nprompt = { class = "CLIPTextEncode", input = "text" }\n'


def built(loras: str, *names: str) -> Graph:
    template = parse_template("mine", json.dumps(GRAPH), HEAD + PROMPT + loras)
    chosen = [LoraChoice(name=name, strength=0.5) for name in names]
    request = GenerationRequest(prompt="a cat", loras=chosen)
    return build(template, request, seed=7, filename_prefix="x")


def refusal(loras: str) -> str:
    with pytest.raises(InvalidWorkflow) as caught:
        built(loras)
    return str(caught.value)


@pytest.mark.parametrize(
    "loras",
    [
        '[[loras]]\nid = "1"',
        '[[loras]]\nid = "1"\nclip_slot = -1',
        '[loras]\nid = "1"\nclip_slot = -1',
    ],
)
def test_loras_of_a_model_alone_leave_the_text_encoder(loras: str) -> None:
    graph = built(loras, "a", "b")
    assert graph["10"]["class_type"] == "LoraLoaderModelOnly"
    assert graph["10"]["inputs"] == {"lora_name": "a", "strength_model": 0.5, "model": ["1", 0]}
    assert graph["11"]["inputs"]["model"] == ["10", 0]
    assert graph["5"]["inputs"]["model"] == ["11", 0]
    assert graph["4"]["inputs"]["clip"] == ["3", 0]
    assert graph["6"]["inputs"]["model"] == ["2", 0]


@pytest.mark.parametrize("encoder", ['clip_node = "CLIPLoader"', 'clip_id = "3"'])
@pytest.mark.parametrize("table", ["[loras]", "[[loras]]"])
def test_loras_patch_a_text_encoder_of_another_node(table: str, encoder: str) -> None:
    graph = built(f'{table}\nnode = "High noise"\n{encoder}', "a", "b")
    assert graph["10"]["class_type"] == "LoraLoader"
    assert graph["10"]["inputs"]["clip"] == ["3", 0]
    assert graph["11"]["inputs"]["clip"] == ["10", 1]
    assert graph["4"]["inputs"]["clip"] == ["11", 1]
    assert graph["5"]["inputs"]["model"] == ["11", 0]


def test_each_of_several_models_gets_all_loras_and_their_encoder_gets_them_once() -> None:
    both = '[[loras]]\nid = "1"\nclip_id = "3"\n[[loras]]\nid = "2"\nclip_id = "3"'
    graph = built(both, "a", "b")
    assert [graph[each]["class_type"] for each in ("10", "11", "12", "13")] == [
        "LoraLoader",
        "LoraLoader",
        "LoraLoaderModelOnly",
        "LoraLoaderModelOnly",
    ]
    assert graph["5"]["inputs"]["model"] == ["11", 0]
    assert graph["6"]["inputs"]["model"] == ["13", 0]
    assert graph["12"]["inputs"]["model"] == ["2", 0]
    assert graph["4"]["inputs"]["clip"] == ["11", 1]


def test_without_loras_nothing_is_added() -> None:
    assert set(built('[[loras]]\nid = "1"\n[[loras]]\nid = "2"')) == set(GRAPH)


@pytest.mark.parametrize(
    ("loras", "words"),
    [
        ('[[loras]]\nid = "10"', 'no node of mine.json has the id "10"'),
        ('[[loras]]\nclass = "UNETLoader"', '2 nodes of mine.json have the class "UNETLoader"'),
        ("[[loras]]\nmodel_slot = 0", "names no node"),
        ('[[loras]]\nid = "1"\nnode = "Low noise"', "more than one of node, id and class"),
        ('[[loras]]\nid = "1"\nclip_id = "77"', 'has the id "77"'),
        ('[[loras]]\nid = "1"\nclip_id = "3"\nclip_node = "x"', "both clip_node and clip_id"),
        ('[[loras]]\nid = "1"\nclip_id = "3"\nclip_slot = -1', "clip_slot = -1"),
        ('[[loras]]\nid = "1"\nmodel_slot = 1', "takes output 1 of node 1"),
        ('[[loras]]\nid = "1"\nclip_id = "3"\nclip_slot = 2', "takes output 2 of node 3"),
        ('[[loras]]\nid = "1"\n[[loras]]\nnode = "High noise"', "is there twice"),
    ],
)
def test_a_place_where_loras_would_do_nothing_is_refused(loras: str, words: str) -> None:
    assert words in refusal(loras)

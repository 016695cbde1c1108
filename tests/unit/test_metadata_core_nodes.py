"""Nodes of ComfyUI itself that turn round, pass on or add to what a sampler gets, as it does it."""

from typing import Any

import pytest

from anime.assets.metadata import SavedFile, recipe_of_graph
from anime.core.graphs import Graph
from tests.unit.test_metadata_graphs import (
    BASE,
    GUIDED,
    INK,
    PROMPT,
    graph_of,
    modelled,
    node,
    sampler,
    texted,
    told,
)

UNKNOWN = {"prompt": None}
BOTH = ("kite.safetensors", "second.safetensors")


def turned(class_type: str, **inputs: Any) -> Graph:
    """A prompt that a switch chooses by what such a node says."""
    return texted(
        words=node("ComfySwitchNode", switch=["n", 0], on_true="NO", on_false="NO"),
        n=node(class_type, **inputs),
    )


PRESETS = '{"Quality": {"steps": 48, "mu": 0.0}, "Default": {"steps": 12, "mu": 0.0, "id": "V4"}}'


def preset(**which: Any) -> Graph:
    """A graph with the steps of a preset, as the template of Ideogram 4 looks them up."""
    return graph_of(
        draw=sampler(steps=["n", 1]),
        n=node("ComfyNumberConvert", value=["steps", 0]),
        steps=node("JsonExtractString", json_string=["row", 0], key="steps"),
        row=node("StringReplace", string=["preset", 0], find="'", replace='"'),
        preset=node("JsonExtractString", json_string=PRESETS, key=["which", 0]),
        which=node("CustomCombo", index=1, option1="Quality", option2="Default", **which),
    )


def in_braces(text: str) -> Graph:
    values = {"values.a": ["t", 0], "values.b": "rice"}
    return texted(
        words=node("StringFormat", f_string=text, **values),
        t=node("PrimitiveString", value="a kite"),
    )


GRAPHS: dict[str, tuple[Graph, dict[str, Any]]] = {
    "steps of a preset in JSON": (preset(choice="Default"), {}),
    "steps of a preset that is not there": (preset(choice="Turbo"), {"steps": None}),
    "steps of a preset that a run chooses": (preset(choice=["x", 0]), {"steps": None}),
    "names in braces": (in_braces("{a} over {b} fields"), {}),
    "braces that stay": (in_braces("{{{b}}}"), {"prompt": "{rice}"}),
    "more than names in braces": (in_braces("{a!r} over {b} fields"), UNKNOWN),
    "a name in braces that is not there": (in_braces("{c} over {b} fields"), UNKNOWN),
    "the opposite of a boolean": (turned("ComfyNotNode", value=True), UNKNOWN),
    "one boolean and another": (
        turned("ComfyAndNode", **{"values.value0": True, "values.value1": False}),
        UNKNOWN,
    ),
    "one boolean or another": (
        turned("ComfyOrNode", **{"values.value0": True, "values.value1": False}),
        UNKNOWN,
    ),
    "the opposite of a boolean of a pack": (turned("Boolean Not (mine)", value=True), UNKNOWN),
    "a value that may be none": (
        texted(
            words=node("ComfyPassOrNoneNode", anything=["t", 0], default=["x", 0]),
            t=node("PrimitiveString", value=PROMPT),
            x=node("PrimitiveString", value="NO"),
        ),
        {},
    ),
    "whether there is a value": (
        texted(
            words=node("ComfySwitchNode", switch=["n", 1], on_true="NO", on_false="NO"),
            n=node("ComfyPassOrNoneNode", anything=["t", 0]),
            t=node("PrimitiveBoolean", value=True),
        ),
        UNKNOWN,
    ),
    "sides behind words that a model thinks of": (
        graph_of(
            think=node(
                "SenseNovaGenerate",
                model=["load", 0],
                clip=["load", 1],
                conditioning=["yes", 0],
                negative=["no", 0],
                seed=5,
            ),
            draw=sampler(positive=["think", 0], negative=["think", 2]),
        ),
        {},
    ),
    "LoRAs in rows": (
        modelled(
            patch=node(
                "LoadLoraModel",
                model=["load", 0],
                **{
                    "loras.0.lora_name": "ink.safetensors",
                    "loras.0.strength": 0.6,
                    "loras.1.lora_name": "none.safetensors",
                    "loras.1.strength": 0.0,
                    "loras.2.lora_name": "off.safetensors",
                    "loras.2.strength": 1.0,
                    "loras.2.enabled": False,
                },
            )
        ),
        {"loras": INK},
    ),
    "a style with lyrics": (
        graph_of(
            yes=node("YuE2GenerateMusic", clip=["load", 1], style=PROMPT, lyrics="la", seed=5)
        ),
        {},
    ),
    "a model for each side": (
        graph_of(
            **GUIDED,
            guider=node(
                "DualModelGuider",
                model=["load", 0],
                model_negative=["load", 0],
                positive=["yes", 0],
                negative=["no", 0],
                cfg=5.5,
            ),
        ),
        {},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_value_is_what_the_nodes_make_of_it(name: str) -> None:
    graph, changes = GRAPHS[name]
    assert told(graph) == {**BASE, **changes}


def again(given: dict[str, Any], **draw: Any) -> Graph:
    """A second sampler with a model of its own, and the node that has conditioned it."""
    return graph_of(
        given=given,
        second=node("UNETLoader", unet_name="second.safetensors"),
        film=sampler(
            seed=8, model=["second", 0], positive=["given", 0], negative=["given", 1], **draw
        ),
        large=node("ImageScaleBy", image=["decode", 0], scale_by=2.0),
        encode=node("VAEEncode", pixels=["large", 0], vae=["load", 2]),
        last=node("VAEDecode", samples=["film", 0], vae=["load", 2]),
        save=node("SaveImage", images=["last", 0], filename_prefix="kite"),
    )


SIDES = {"positive": ["yes", 0], "negative": ["no", 0]}
STAGES = {
    "SeedVR2Conditioning": again(
        node("SeedVR2Conditioning", model=["second", 0], vae_conditioning=["encode", 0]),
    ),
    **{
        class_type: again(
            node(class_type, **SIDES, latent=["draw", 0], noise_augmentation=0.7),
            latent_image=["given", 2],
        )
        for class_type in ("HunyuanVideo15SuperResolution", "HunyuanRefinerLatent")
    },
}


@pytest.mark.parametrize("name", STAGES)
def test_what_is_enlarged_by_a_model_is_what_was_drawn_first(name: str) -> None:
    recipe = recipe_of_graph(STAGES[name], SavedFile("kite_00001_.png"))
    assert told(STAGES[name]) == BASE
    assert ([use.seed for use in recipe.samplers], recipe.models) == (["31", "8"], BOTH)


def test_a_photo_that_is_enlarged_by_a_model_has_its_settings() -> None:
    graph = STAGES["SeedVR2Conditioning"]
    graph = {**graph, "decode": node("LoadImage", image="photo.png")}
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png"))
    assert (recipe.seed, recipe.model, recipe.prompt) == ("8", "second.safetensors", None)


def test_a_model_for_the_negative_side_is_one_of_the_models() -> None:
    graph, _ = GRAPHS["a model for each side"]
    graph = {**graph, "second": node("UNETLoader", unet_name="second.safetensors")}
    graph["guider"]["inputs"]["model_negative"] = ["second", 0]
    assert recipe_of_graph(graph).models == BOTH

"""What other tools write into files, as they write it."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anime.assets.metadata import LoraUse, Recipe, SamplerUse, recipe_of
from anime.assets.metadata.embedded_texts import comment_texts, exif_texts, tag_texts, xmp_texts
from anime.assets.metadata.novelai import hidden_texts

ASKED: dict[str, Any] = {  # any field of a recipe
    "prompt": "a lantern",
    "negative_prompt": "mist",
    "seed": "18446744073709551615",
    "steps": 14,
    "cfg": 4.5,
}
INK = (LoraUse(name="ink", strength=0.6),)
SEED = int(ASKED["seed"])

SWARM = {
    "sui_image_params": {
        "prompt": "a lantern",
        "negativeprompt": "mist",
        "model": "kite",
        "seed": SEED,
        "steps": 14,
        "cfgscale": 4.5,
        "sampler": "euler",
        "scheduler": "normal",
        "loras": ["ink"],
        "loraweights": ["0.6"],
    }
}
INVOKE = {
    "app_version": "5.6.0",
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": "a lantern",
    "negative_prompt": "mist",
    "seed": SEED,
    "steps": 14,
    "cfg_scale": 4.5,
    "scheduler": "euler",
    "model": {"name": "kite", "hash": "blake3:1"},
    "loras": [{"model": {"name": "ink"}, "weight": 0.6}],
}
INVOKE_3 = {
    **INVOKE,
    "model": {"model_name": "kite", "base_model": "sdxl"},
    "loras": [{"lora": {"model_name": "ink"}, "weight": 0.6}],
}
INVOKE_2 = {
    "model": "stable diffusion",
    "model_weights": "kite",
    "image": {
        "prompt": [{"prompt": "a lantern [mist]", "weight": 1.0}],
        "steps": 14,
        "cfg_scale": 4.5,
        "seed": SEED,
        "sampler": "euler",
    },
}
FOOOCUS = {
    "prompt": "a lantern",
    "negative_prompt": "mist",
    "base_model": "kite",
    "seed": str(SEED),
    "steps": 14,
    "guidance_scale": 4.5,
    "sampler": "euler",
    "scheduler": "normal",
    "resolution": "(832, 1216)",
    "loras": [["ink", 0.6]],
}
FOOOCUS_COMBINED = {**FOOOCUS, "loras": None, "lora_combined_1": "ink : 0.6"}
FOOOCUS_MRE = {
    **{name: value for name, value in FOOOCUS.items() if name not in {"guidance_scale", "loras"}},
    "cfg": 4.5,
    "l1": "None",
    "w1": 0.5,
    "l2": "ink",
    "w2": 0.6,
    "l3": "soft",
    "w3": 0,
}
RUINED = {
    "Prompt": "a lantern",
    "Negative": "mist",
    "steps": 14,
    "cfg": 4.5,
    "seed": SEED,
    "sampler_name": "euler",
    "scheduler": "normal",
    "base_model_name": "kite",
    "loras": [["ab12", "0.6 - ink"]],
    "software": "RuinedFooocus",
}
DRAW_THINGS = {
    "c": "a lantern",
    "uc": "mist",
    "seed": SEED,
    "steps": 14,
    "scale": 4.5,
    "sampler": "euler",
    "model": "kite",
    "size": "512x768",
    "lora": [{"model": "ink", "weight": 0.6}],
}
NOVELAI = {
    "prompt": "a lantern",
    "uc": "mist",
    "seed": SEED,
    "steps": 14,
    "scale": 4.5,
    "sampler": "euler",
    "noise_schedule": "normal",
}
NOVELAI_4 = {
    **NOVELAI,
    "prompt": "",
    "v4_prompt": {"caption": {"base_caption": "a lantern"}},
}
A1111 = (
    "a lantern\nNegative prompt: mist\nSteps: 14, Sampler: euler, Schedule type: normal, "
    f"CFG scale: 4.5, Seed: {SEED}, Size: 832x1216, Model hash: ab12, Model: kite"
)
CIVITAI = {
    "extra": {"airs": []},
    "extraMetadata": json.dumps(
        {
            "prompt": "a lantern",
            "negativePrompt": "mist",
            "seed": SEED,
            "steps": 14,
            "cfgScale": 4.5,
            "sampler": "euler",
        }
    ),
    "6": {"class_type": "LoadImage", "inputs": {"image": "x"}},
}

RESOURCES = [
    {"type": "checkpoint", "modelName": "Kite", "modelVersionName": "v2"},
    {"type": "lora", "weight": 0.6, "modelName": "Ink"},
]

ENCODERS = [{"type": "Checkpoint", "modelName": "Kite", "modelVersionName": "encoder of words"}]
INK_OF_CIVITAI = (LoraUse(name="Ink", strength=0.6),)
AIRS: list[dict[str, Any]] = [
    {"air": "urn:air:sdxl:checkpoint:civitai:101055@128078"},
    {"air": "urn:air:sdxl:lora:civitai:1@2", "weight": 0.6},
]
IN_LINES = "Seed: 1\nSteps: 3\nCFG scale: 7.00\nSampler: euler\nScheduler: karras"
GUIDED = "CFG scale: 1.0, Guidance: 3.5, Metadata generator version: 1.3.0"
LISTED = (  # by Draw Things
    "Seed Mode: Scale Alike, LoRA 1 Model: ink.ckpt, LoRA 1 Weight: 0.8, "
    "LoRA 2 Model: dry.ckpt, LoRA 2 Weight: 0.0"
)
SD_NEXT = "a\nNegative prompt: \nSteps: 3, Seed: 1, Model: kite, App: SD.Next, Operations: txt2img"
NOT_TOLD = "Steps: 20, CFG Scale: 8.0, Seed: 0, Model hash: ab12, Model: kite, Version: ComfyUI"
REFINED = "Hires steps: 9, Hires sampler: UniPC, Hires CFG scale: 5"
SECOND_PASS = "a\nSteps: 3, Model: kite, Denoising strength: 0.4, Hires upscale: 2"
TOOLS: dict[str, tuple[str, dict[str, str]]] = {
    "SwarmUI": ("swarmui", {"parameters": json.dumps(SWARM)}),
    "SwarmUI, marked": ("swarmui", {"parameters": "\ufeff" + json.dumps(SWARM)}),
    "InvokeAI": ("invokeai", {"invokeai_metadata": json.dumps(INVOKE)}),
    "InvokeAI 3": ("invokeai", {"invokeai_metadata": json.dumps(INVOKE_3)}),
    "InvokeAI 2": ("invokeai", {"sd-metadata": json.dumps(INVOKE_2)}),
    "InvokeAI 1": ("invokeai", {"Dream": f'"a lantern [mist]" -s 14 -S {SEED} -C 4.5 -A euler'}),
    "Fooocus": ("fooocus", {"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"}),
    "Fooocus, combined": ("fooocus", {"parameters": json.dumps(FOOOCUS_COMBINED)}),
    "Fooocus, none": (
        "fooocus",
        {"parameters": json.dumps({**FOOOCUS_COMBINED, "lora_combined_2": "None : 1.0"})},
    ),
    "Fooocus MRE": ("fooocus", {"Comment": json.dumps(FOOOCUS_MRE)}),
    "Fooocus, scheme a1111": ("automatic1111", {"parameters": A1111, "fooocus_scheme": "a1111"}),
    "RuinedFooocus": ("ruinedfooocus", {"parameters": json.dumps(RUINED)}),
    "RuinedFooocus, twice": ("ruinedfooocus", {"parameters": json.dumps(json.dumps(RUINED))}),
    "Draw Things": ("drawthings", {"UserComment": json.dumps(DRAW_THINGS)}),
    "NovelAI": ("novelai", {"Comment": json.dumps(NOVELAI), "Source": "kite"}),
    "NovelAI 4": ("novelai", {"Comment": json.dumps(NOVELAI_4), "Source": "kite"}),
    "AUTOMATIC1111": ("automatic1111", {"parameters": A1111}),
    "under another name": ("automatic1111", {"Description": A1111}),
    "Civitai": ("comfyui", {"parameters": json.dumps(CIVITAI)}),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_writes_is_understood(tool: str) -> None:
    source, texts = TOOLS[tool]
    recipe = recipe_of(texts)
    assert {name: getattr(recipe, name) for name in ASKED} == ASKED
    assert (recipe.source, recipe.sampler) == (source, "euler")
    if tool not in {"InvokeAI 1", "Civitai"}:
        assert recipe.model == "kite"
    if source not in {"automatic1111", "novelai", "comfyui"} and tool not in {
        "InvokeAI 1",
        "InvokeAI 2",
    }:
        assert recipe.loras == INK


@pytest.mark.parametrize(
    "texts",
    [
        {"Comment": "taken in the harbour"},
        {"Comment": "ISO: 100, Aperture: 2, Shutter: 50"},
        {"Comment": "Size: L, Steps: stone, Model: Anna, Seed: pumpkin"},
        {"invokeai_workflow": '{"nodes": [{"type": "invocation"}], "edges": []}'},
        {"parameters": '{"prompt": "?", "unknown": 1}'},
        {"parameters": '["a list"]'},
        {"Dream": '"a lantern'},
        {"Description": "a poster --ar 2:3, Job ID: 12"},
    ],
)
def test_what_nobody_understands_is_kept_as_it_is(texts: dict[str, str]) -> None:
    recipe = recipe_of(texts)
    assert recipe.source is None
    assert (recipe.prompt, recipe.texts) == (None, texts)
    assert recipe.metadata()["texts"] == texts


def test_the_editors_workflow_alone_says_nothing_of_what_ran() -> None:
    workflow = {"nodes": [{"id": 1, "type": "CLIPTextEncode", "widgets_values": ["no"]}]}
    recipe = recipe_of({"workflow": json.dumps(workflow)})
    assert (recipe.prompt, recipe.source) == (None, None)
    assert recipe.editor_workflow == workflow


NETWORK = (
    "AddNet Enabled: True, AddNet Module 1: LoRA, AddNet Model 1: ink(99aabbccddee), "
    "AddNet Weight A 1: 0.6, AddNet Weight B 1: 0.2"
)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("a\nSampler: Euler a, Seed: 5, Steps: 3", {"prompt": "a", "sampler": "Euler a"}),
        ("a\nSteps: made of glass\nSteps: 3, Seed: 1", {"prompt": "a\nSteps: made of glass"}),
        ("a\nSteps: 3, CFG Scale: 6.5", {"cfg": 6.5}),
        ("a\nSteps: 3, Model: kite\0", {"steps": 3, "model": "kite"}),
        ("a\nSteps: 3, Styles: ['b', 'c'], Model: kite", {"model": "kite"}),
        ("a\nSteps: 3, Distilled CFG Scale: 3.5, CFG scale: 1", {"cfg": 1.0, "guidance": 3.5}),
        (
            "a\nNegative prompt: b,\nNegative prompt: c\nd\nSteps: 3",
            {"prompt": "a", "negative_prompt": "b,\nc\nd"},
        ),
        ("a\nSteps: 3, Version: v1\nTemplate: {a|b}", {"prompt": "a", "steps": 3}),
        ("a\nSteps: 3, Seed: 1\nTemplate: b, Steps: 4, Seed: 5, Size: 1x1", {"seed": "1"}),
        (
            f"a\nSteps: 3, Civitai resources: {json.dumps(RESOURCES)}, Seed: 4",
            {"model": "Kite v2", "loras": INK_OF_CIVITAI, "seed": "4"},
        ),
        (
            "a <lora:ink:0.6:0.2> <lyco:x:te=0.5:unet=0.9>\nSteps: 3",
            {"loras": (*INK, LoraUse(name="x", strength=0.9))},
        ),
        ("a <lora:ink:0.2:unet=0.6>\nSteps: 3", {"loras": INK}),
        ("a <lora:ink:0.6:OUTD> <lora:x:0:0>\nSteps: 3", {"loras": INK}),
        (
            "a\nSteps: 0, Sampler: , CFG scale: 0.0, Seed: 5, Model hash: unknown, Model: Unknown",
            {"steps": None, "sampler": None, "cfg": None, "model": None, "model_hash": None},
        ),
        ("a\nSteps: 3, CFG scale: 0.0, Model: kite", {"cfg": 0, "model": "kite"}),
        (f"a\nNegative prompt: unknown\n{NOT_TOLD}", {"prompt": "a", "negative_prompt": None}),
        (f"unknown\nNegative prompt: b\n{NOT_TOLD}", {"prompt": None, "negative_prompt": "b"}),
        ("unknown\nSteps: 3, Version: v1.10.1", {"prompt": "unknown"}),
        ("\nSteps: 3, Seed: 5, Version: ComfyUI", {"prompt": None, "steps": 3, "seed": "5"}),
        (
            f"unknown\nNegative prompt: unknown\n{NOT_TOLD}",
            {"prompt": None, "seed": None, "steps": None, "model": None, "model_hash": None},
        ),
        (
            "a\nSteps: 3, Lora_0 Model name: ink, Lora_0 Strength model: 0.6, Seed: 1",
            {"loras": INK},
        ),
        ('a\nSteps: 3, Lora hashes: "ink: ab12", Lora weights: "ink: 0.6"', {"loras": INK}),
        ("a\nSteps: 3, Model hash: 67ab2fd8ec", {"model": None, "model_hash": "67ab2fd8ec"}),
        (
            'a\nSteps: 3, Hashes: {"vae": "735e4c3a44", "model": "67ab2fd8ec"}, Version: v1.10.1',
            {"model": None, "model_hash": "67ab2fd8ec"},
        ),
        (
            'a\nSteps: 3, Hashes: {"Model:kite": "67ab2fd8ec", "model": "67ab2fd8ec"}',
            {"model": "kite", "model_hash": "67ab2fd8ec"},
        ),
        (
            'a\nSteps: 3, Hashes: {"Model:a": "67ab2fd8ec", "Model:b": "1", "model": "67ab2fd8ec"}',
            {"model": None, "model_hash": "67ab2fd8ec"},
        ),
        (
            f"T5 Prompt: a long\nstory\nCLIP Prompt: a kite\nSteps: 3, {GUIDED}",
            {"prompt": "a kite\na long\nstory", "cfg": 1, "guidance": 3.5},
        ),
        (
            f"Positive prompt:\na\nNegative prompt:\nb\nModel: kite\n{IN_LINES}",
            {"negative_prompt": "b"},
        ),
        (
            f"Positive prompt:\nunknown\nNegative prompt:\nunknown\nModel: unknown\n{IN_LINES}",
            {"prompt": None, "negative_prompt": None, "model": None},
        ),
        (
            "Positive prompt:\na\nNegative prompt:\nModel: x\n\nModel: kite\nSeed: -1",
            {"negative_prompt": "Model: x", "model": "kite", "seed": None},
        ),
        (
            "a\nNegative prompt: b, c, Steps: 3, Sampler: Euler, Scheduler type: beta, Seed: 1",
            {"prompt": "a", "negative_prompt": "b, c", "scheduler": "beta"},
        ),
        (
            "a, Negative prompt: b Steps: 3, Sampler: Euler, Seed: 1",  # line breaks were lost
            {"prompt": "a,", "negative_prompt": "b", "steps": 3},
        ),
        ("a\nSize: 8x9, Steps: 3, Sampler: Euler", {"prompt": "a", "width": 8}),
        ("Size: 8x9, Steps: 3, Sampler: Euler", {"prompt": None, "width": 8}),
        ("a Steps: 3, Seed: 1, Size: 8x9", {"prompt": "a", "negative_prompt": None, "width": 8}),
        (
            "T5 Prompt: a\nCLIP Prompt: a\nSteps: 3, Guidance: 7.5",
            {"prompt": "a", "cfg": None, "guidance": None},
        ),
        ('a\nSteps: 3, Hashes: {"model": ""}', {"model": None, "model_hash": None}),
        ('a\nSteps: 3, Hashes: {"model": ', {"model": None, "model_hash": None}),
        (
            "b\nNegative prompt: c\nRaw prompt: a, Raw negative prompt:, Seed: 3, Version: Fooocus",
            {"prompt": "a", "negative_prompt": None},
        ),
        ("a\nSteps: 3, Raw prompt: b, Version: v1.10.1", {"prompt": "a"}),
        (
            "a\nSteps: 3, Model: kite, Refiner: None, Hires checkpoint: Use same checkpoint",
            {"models": (), "samplers": ()},
        ),
        (
            f"{SECOND_PASS}, Hires checkpoint: gull [0f0f0f], Hires schedule type: Karras, Seed: 1",
            {
                "models": ("kite", "gull [0f0f0f]"),
                "samplers": (
                    SamplerUse(node="base", seed="1", steps=3),
                    SamplerUse(node="hires", scheduler="Karras", denoise=0.4),
                ),
            },
        ),
        ("a\nSteps: 3, Denoising strength: 0.4", {"samplers": ()}),
        ("a\nNegative Prompt: b\nSteps: 3", {"prompt": "a", "negative_prompt": "b"}),
        (
            "a\n-b, c\nSteps: 3, Guidance Scale: 4.5, Seed: 1",  # of Draw Things
            {"prompt": "a", "negative_prompt": "b, c", "cfg": 4.5},
        ),
        ("-b\nSteps: 3, Guidance Scale: 4.5", {"prompt": None, "negative_prompt": "b"}),
        (
            f"<lora:soft:1>\nSteps: 3, Guidance Scale: 4.5, {LISTED}",
            {"prompt": "<lora:soft:1>", "loras": (LoraUse(name="ink.ckpt", strength=0.8),)},
        ),
        ("a\n-b\nSteps: 3, CFG scale: 4.5", {"prompt": "a\n-b"}),
        (
            f"{SECOND_PASS}, Hires checkpoint: gull, Refiner: tern",
            {"models": ("kite", "tern", "gull")},
        ),
        ('a\nSteps: 3, Lora hashes: "ink: ab12: 0.6, x: 9", Seed: 1', {"loras": INK}),
        ('a\nSteps: 3, Lora hashes: "ink: 0123", Seed: 1', {"loras": ()}),
        (
            f"a <lora:x:0.5>\nSteps: 3, {NETWORK}, Seed: 1",
            {"loras": (LoraUse(name="x", strength=0.5), *INK)},
        ),
        ("a\nSteps: 3, AddNet Enabled: False, AddNet Model 1: ink(99aa), Seed: 1", {"loras": ()}),
        ("a\nSteps: 3, Model: [2023] kite, Seed: 1", {"model": "[2023] kite", "seed": "1"}),
        (
            'b\nSteps: 3, Seed: 1, Raw prompt: "Hi" on a sign, Version: Fooocus v2.5.5',
            {"prompt": '"Hi" on a sign'},
        ),
        ("a\nSteps: 3, Sampler: Undefined, CFG scale: 4", {"sampler": None, "cfg": 4}),
        (f"{SD_NEXT}, Sampler: Default", {"sampler": None, "scheduler": None}),
        (
            f"a\nSteps: 3, Civitai resources: {json.dumps(AIRS)}",
            {"model": AIRS[0]["air"], "loras": (LoraUse(name=AIRS[1]["air"], strength=0.6),)},
        ),
        (
            f"a\nSteps: 3, Civitai resources: {json.dumps([*ENCODERS, *RESOURCES])}, Seed: 4",
            {"model": None, "loras": INK_OF_CIVITAI, "seed": "4"},
        ),
        (
            f"a\nSteps: 3, Civitai resources: {json.dumps([*RESOURCES, *RESOURCES])}, Seed: 4",
            {"model": "Kite v2"},
        ),
        (
            "a\nSteps: 0, Sampler: Painter-2, CFG scale: 0, Seed: -1, Civitai resources: []",
            {"prompt": "a", "sampler": None, "cfg": None, "steps": None, "seed": None},
        ),
        (
            'a <lora:ink:0.6>\nSteps: 3, Hires prompt: "b, <lora:ink:1> <lora:x:0.5>", Seed: 1',
            {"loras": (*INK, LoraUse(name="x", strength=0.5))},
        ),
        ("a\nSteps: 3, Hires steps: 0, Seed: 1", {"samplers": ()}),
        (
            "a\nSteps: 3, Seed: 1, Denoising strength: 0.4, First pass size: 0x0",  # of 2022
            {
                "samplers": (
                    SamplerUse(node="base", seed="1", steps=3),
                    SamplerUse(node="hires", denoise=0.4),
                )
            },
        ),
        (f"{SD_NEXT}; upscale, Hires upscaler: 4x, Hires steps: 9", {"samplers": ()}),
        (
            f"{SD_NEXT}; refine, Refiner: gull, Refiner steps: 7, {REFINED}",
            {
                "models": ("kite", "gull"),
                "samplers": (
                    SamplerUse(node="base", seed="1", steps=3),
                    SamplerUse(node="refiner", steps=7, cfg=5, sampler="UniPC"),
                ),
            },
        ),
        (f"{SD_NEXT}, Grid: 2x2, Index: 1x1", {"seed": None, "varied": ("seed",), "steps": 3}),
    ],
)
def test_what_forks_and_savers_write_differently_is_read(
    text: str, changes: dict[str, Any]
) -> None:
    recipe = recipe_of({"parameters": text})
    assert {name: getattr(recipe, name) for name in changes} == changes


@pytest.mark.parametrize(
    ("model", "said"),
    [("kite", "ab12"), ("sub/kite.ckpt", "ab12"), ("kite.v2", None), ("other", None)],
)
def test_a_hash_is_that_of_the_graphs_model_or_nothing(model: str, said: str | None) -> None:
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "kite.safetensors"}},
        "2": {
            "class_type": "KSampler",
            "inputs": {"model": ["1", 0], "steps": 3, "positive": ["4", 0]},
        },
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "a"}},
    }
    text = f"a\nSteps: 3, Seed: 1, Model hash: ab12, Model: {model}, Version: ComfyUI"
    recipe = recipe_of({"prompt": json.dumps(graph), "parameters": text})
    assert (recipe.model, recipe.model_hash) == ("kite.safetensors", said)


@pytest.mark.parametrize(
    ("tool", "more"),
    [
        ("SwarmUI", {"sui_image_params": {**SWARM["sui_image_params"], "loraweights": ["0"]}}),
        ("InvokeAI", {"loras": [{"model": {"name": "ink"}, "weight": 0}]}),
        ("Draw Things", {"lora": [{"model": "ink", "weight": 0}]}),
        ("Fooocus, none", {"lora_combined_1": "ink : 0.0"}),
        ("RuinedFooocus", {"loras": [["ab12", "0.0 - ink"]]}),
    ],
)
def test_a_lora_of_no_strength_is_none(tool: str, more: dict[str, Any]) -> None:
    assert said_by(tool, {}).loras == INK
    assert said_by(tool, more).loras == ()


def test_a_lora_that_swarmui_gives_to_the_text_encoder_alone_is_one() -> None:
    weights = {"loraweights": ["0"], "loratencweights": ["0.5"]}
    said = {"sui_image_params": {**SWARM["sui_image_params"], **weights}}
    assert said_by("SwarmUI", said).loras == (LoraUse(name="ink", strength=0),)


def test_a_picture_of_swarmui_before_its_second_pass_has_none() -> None:
    params = {**SWARM["sui_image_params"], "refinermodel": "gull", "refinersteps": 9}
    final = said_by("SwarmUI", {"sui_image_params": params})
    assert (len(final.samplers), final.models) == (2, ("kite", "gull"))
    extra = {"date": "2026-08-01", "intermediate": "intermediate output"}
    recipe = said_by("SwarmUI", {"sui_image_params": params, "sui_extra_data": extra})
    assert (recipe.samplers, recipe.models, recipe.model) == ((), (), "kite")


def test_a_setting_that_swarmui_has_not_used_tells_of_no_pass() -> None:
    params = {**SWARM["sui_image_params"], "refinermodel": "gull", "refinersteps": 9}
    for unused, passes, models in (
        (["refinermodel", "refinersteps"], 0, ()),
        (["refinermodel"], 2, ()),
        (["videomodel"], 2, ("kite", "gull")),
    ):
        extra = {"unused_parameters": unused}
        recipe = said_by("SwarmUI", {"sui_image_params": params, "sui_extra_data": extra})
        assert (len(recipe.samplers), recipe.models) == (passes, models)


def test_all_pictures_of_a_batch_of_swarmui_in_one_have_no_seed() -> None:
    extra = {"generation_time": "9.10 total seconds (average 2.28 seconds per image)"}
    recipe = said_by("SwarmUI", {"sui_extra_data": extra})
    assert (recipe.seed, recipe.varied, recipe.steps) == (None, ("seed",), 14)


@pytest.mark.parametrize("order", [("Dream", "sd-metadata"), ("sd-metadata", "Dream")])
def test_what_a_tool_says_in_two_texts_is_put_together(order: tuple[str, str]) -> None:
    both = {"Dream": '"a lantern [mist]" -s 14 -S 9', "sd-metadata": json.dumps(INVOKE_2)}
    recipe = recipe_of({name: both[name] for name in order})
    assert (recipe.model, recipe.seed, recipe.prompt) == ("kite", str(SEED), "a lantern")


@pytest.mark.parametrize(
    "text",
    [
        '"a lantern [mist]" -s 14 -S 9 -C 4.5 -A k_lms -I "in -S 3.png" -f 0.5',
        "a lantern [mist] -s 14 -S 9 -W 512 -H 512 -C 4.5 -A k_lms",
        '"a lantern [mist]" -s14 -W512 -H512 -C4.5 -Ak_lms -S9',
        '"a "lantern" [mist]" -s 14 -S 9 -C 4.5 -A k_lms',
    ],
)
def test_a_command_is_read_however_it_was_written(text: str) -> None:
    recipe = recipe_of({"Dream": text})
    assert recipe.prompt in {"a lantern", 'a "lantern"'}
    assert (recipe.negative_prompt, recipe.seed, recipe.steps) == ("mist", "9", 14)
    assert (recipe.cfg, recipe.sampler) == (4.5, "k_lms")


OF_COMMAND_LINE = {  # of InvokeAI 2
    **{name: value for name, value in INVOKE_2.items() if name != "model_weights"},
    "model_id": "kite",
    "model_hash": "ab12",
    "app_version": "2.3.5",
}


def test_a_picture_of_invokeais_command_line_names_its_model() -> None:
    recipe = recipe_of({"sd-metadata": json.dumps(OF_COMMAND_LINE)})
    assert (recipe.model, recipe.model_hash, recipe.seed) == ("kite", "ab12", str(SEED))
    switches = "-s 14 -S 9 -W 512 -H 512 -C 4.5 -A k_lms"
    for model, known in (("kite-1.5", "kite-1.5"), ("unknown model", None)):
        recipe = recipe_of({"Dream": f"a lantern [mist] {switches} # model_id={model}"})
        assert (recipe.model, recipe.sampler, recipe.seed) == (known, "k_lms", "9")


def test_a_prompt_of_weighted_parts_is_the_one_that_was_typed() -> None:
    parts = [{"prompt": "a lantern", "weight": 0.25}, {"prompt": "a kite", "weight": 0.75}]
    image = {**INVOKE_2["image"], "prompt": parts}  # type: ignore[dict-item]
    said = {"sd-metadata": json.dumps({**OF_COMMAND_LINE, "image": image})}
    typed = "a lantern:1 a kite:3"
    recipe = recipe_of({**said, "Dream": f"{typed} -s 14 -S 9 -C 4.5 -A euler"})
    assert (recipe.prompt, recipe.model, recipe.seed) == (typed, "kite", str(SEED))
    assert recipe_of(said).prompt is None


def test_a_grid_of_invokeai_has_no_seed() -> None:
    cells = [{**INVOKE_2["image"], "seed": seed} for seed in (9, 10)]  # type: ignore[dict-item]
    said = {name: value for name, value in OF_COMMAND_LINE.items() if name != "image"}
    dream = "a lantern [mist] -s 14 -S 9 -C 4.5 --grid -A euler # model_id=kite # [9, 10]"
    both = {"sd-metadata": json.dumps({**said, "images": cells}), "Dream": dream}
    for texts in (both, {"Dream": dream}, {"sd-metadata": both["sd-metadata"]}):
        recipe = recipe_of(texts)
        assert (recipe.seed, recipe.varied, recipe.steps) == (None, ("seed",), 14)
        assert (recipe.prompt, recipe.model) == ("a lantern", "kite")


@pytest.mark.parametrize("text", ["convert -s 5 -S 6", "see -s 5 -S there -A", '"a" -s 5'])
def test_a_command_of_another_program_says_nothing(text: str) -> None:
    assert recipe_of({"Dream": text}).source is None


def test_what_invokeai_leaves_out_is_unknown() -> None:
    """An upscaled picture, or one of a workflow that has no prompt."""
    without = {name: value for name, value in INVOKE.items() if name != "positive_prompt"}
    recipe = recipe_of({"invokeai_metadata": json.dumps(without)})
    assert (recipe.source, recipe.prompt, recipe.seed) == ("invokeai", None, str(SEED))
    for other in ({"app_version": "1"}, {"negative_prompt": "a", "cfg_scale": 1}):
        assert recipe_of({"parameters": json.dumps(other)}).source is None


def test_the_model_that_made_a_film_of_a_picture_is_one_of_the_models() -> None:
    said = {"sui_image_params": {**SWARM["sui_image_params"], "videomodel": "reel"}}
    assert recipe_of({"comment": json.dumps(said)}).models == ("kite", "reel")


@pytest.mark.parametrize(
    ("combined", "loras"),
    [("ink : 0.6", INK), ("True : ink : 0.6", INK), ("False : ink : 0.6", ()), ("None : 1.0", ())],
)
def test_a_lora_that_fooocus_lists_is_there_once_and_only_if_it_is_on(
    combined: str, loras: tuple[LoraUse, ...]
) -> None:
    said = {**FOOOCUS_COMBINED, "lora_combined_1": combined}
    assert recipe_of({"parameters": json.dumps(said)}).loras == loras
    if loras:
        said["loras"] = [["ink", 0.6, "ab12"]]
        assert recipe_of({"parameters": json.dumps(said)}).loras == loras


def test_loras_that_a_prompt_of_invokeai_calls_are_known() -> None:
    prompt = [{"prompt": "a lantern withLora(ink, 0.6) withLora(soft)", "weight": 1.0}]
    said = {**INVOKE_2, "image": {**INVOKE_2["image"], "prompt": prompt}}  # type: ignore[dict-item]
    recipe = recipe_of({"sd-metadata": json.dumps(said)})
    assert recipe.loras == (*INK, LoraUse(name="soft"))


def said_by(tool: str, more: dict[str, Any]) -> Recipe:
    """What the JSON of a tool says with more fields."""
    ((name, text),) = TOOLS[tool][1].items()
    return recipe_of({name: json.dumps({**json.loads(text), **more})})


@pytest.mark.parametrize("tool", ["SwarmUI", "InvokeAI", "Draw Things", "Fooocus, none"])
def test_what_lora_manager_adds_to_json_is_passed_over(tool: str) -> None:
    ((name, text),) = TOOLS[tool][1].items()
    added = ' \n Recipe metadata: {"title": "kites", "loras": [], "gen_params": {"steps": 9}}'
    one, other = recipe_of({name: text}), recipe_of({name: text + added})
    assert one.seed is not None
    assert one.metadata() == {**other.metadata(), "texts": one.texts}


def test_a_second_pass_of_invokeai_is_one_of_its_samplers() -> None:
    base = SamplerUse(node="base", seed=str(SEED), steps=14, cfg=4.5, sampler="euler")
    enlarged = {"hrf_enabled": True, "hrf_method": "ESRGAN", "hrf_strength": 0.45}
    assert said_by("InvokeAI", enlarged).samplers == (base, SamplerUse(node="hires", denoise=0.45))
    assert said_by("InvokeAI", {**enlarged, "hrf_enabled": False}).samplers == ()
    low = {"wan_transformer_low_noise": {"name": "low"}, "wan_guidance_scale_low_noise": 3}
    recipe = said_by("InvokeAI", low)
    assert recipe.models == ("kite", "low")
    assert recipe.samplers == (base, SamplerUse(node="refiner", cfg=3))


@pytest.mark.parametrize(
    ("given", "said"), [((48, 7), (48, 7.0)), (("auto", "auto"), (None, None))]
)
def test_a_model_of_invokeai_with_settings_of_its_own_is_read(
    given: tuple[object, object], said: tuple[object, object]
) -> None:
    more = {"ideogram4_steps": given[0], "ideogram4_guidance_scale": given[1]}
    recipe = said_by("InvokeAI", {"steps": None, "cfg_scale": None, **more})
    assert (recipe.steps, recipe.cfg) == said


@pytest.mark.parametrize(("is_enlarged", "passes"), [(True, 2), (False, 0)])
def test_a_picture_that_draw_things_enlarges_is_sampled_twice(
    is_enlarged: bool, passes: int
) -> None:
    recipe = said_by("Draw Things", {"v2": {"hiresFix": is_enlarged, "hiresFixStrength": 0.7}})
    assert len(recipe.samplers) == passes
    assert recipe.samplers[1:] == (SamplerUse(node="hires", denoise=0.7),) * (passes // 2)


@pytest.mark.parametrize(
    ("more", "scheduler"),
    [
        ({"scheduler_name": "simple"}, "simple"),
        ({"Scheduler": "karras"}, "karras"),
        ({"scheduler_name": "None"}, None),
    ],
)
def test_the_scheduler_of_easy_diffusion_is_known(
    more: dict[str, str], scheduler: str | None
) -> None:
    recipe = recipe_of({"prompt": "a", "use_stable_diffusion_model": "kite", **more})
    assert (recipe.model, recipe.scheduler) == ("kite", scheduler)


@pytest.mark.parametrize(
    ("loras", "said"),
    [
        (
            "Loras:<ink:0.6>,<soft light:-0.25>,<no:0.0>",
            (*INK, LoraUse(name="soft light", strength=-0.25)),
        ),
        ("<ink:0.6>,<None:1>,<None:0.5>", INK),
        ("", ()),
    ],
)
def test_loras_that_ruinedfooocus_lists_in_a_text_are_known(
    loras: str, said: tuple[LoraUse, ...]
) -> None:
    assert said_by("RuinedFooocus", {"loras": loras}).loras == said


def test_a_refiner_of_ruinedfooocus_is_one_of_the_models() -> None:
    assert said_by("RuinedFooocus", {"refiner_model_name": "gull"}).models == ("kite", "gull")
    assert said_by("RuinedFooocus", {"refiner_model_name": "None"}).models == ()


WANGP = {
    "prompt": "a lantern",
    "negative_prompt": "mist",
    "resolution": "832x480",
    "seed": 31,
    "num_inference_steps": 14,
    "guidance_scale": 4.5,
    "sample_solver": "unipc",
    "activated_loras": ["loras/ink", "https://example.org/soft", "off", "last"],
    "loras_multipliers": "# high;low\n0.6 1;0\n0",
    "model_type": "t2v_2_2",
    "model_filename": "https://example.org/resolve/main/kite",
    "type": "WanGP v10.70 by DeepBeepMeep - Wan2.2 Text2video 14B",
}


@pytest.mark.parametrize("name", ["comment", "Comment", "UserComment"])
def test_what_wangp_writes_is_understood(name: str) -> None:
    recipe = recipe_of(tag_texts({name: json.dumps(WANGP)}))
    said = (recipe.source, recipe.prompt, recipe.negative_prompt, recipe.seed, recipe.steps)
    assert said == ("wangp", "a lantern", "mist", "31", 14)
    assert (recipe.cfg, recipe.sampler, recipe.model) == (4.5, "unipc", "kite")
    assert recipe.loras == (*INK, LoraUse(name="soft"), LoraUse(name="last", strength=1))
    assert (recipe.width, recipe.height) == (832, 480)


def test_a_model_of_wangp_without_a_file_is_called_as_it_calls_it() -> None:
    said = {**WANGP, "model_filename": "", "loras_multipliers": "", "activated_loras": []}
    recipe = recipe_of({"comment": json.dumps(said)})
    assert (recipe.model, recipe.loras) == ("t2v_2_2", ())


MFLUX = {
    "mflux_version": "0.18.0",
    "model": "black-forest-labs/FLUX.1-dev",
    "base_model": "None",
    "seed": 31,
    "steps": 14,
    "guidance": 3.5,
    "lora_paths": ["/home/a/loras/ink", "C:\\loras\\off"],
    "lora_scales": [0.6, 0.0],
    "prompt": "a lantern",
    "negative_prompt": None,
    "width": 64,
    "height": 48,
}


def test_what_mflux_writes_is_understood() -> None:
    recipe = recipe_of({"UserComment": json.dumps(MFLUX)})
    assert (recipe.source, recipe.prompt, recipe.negative_prompt) == ("mflux", "a lantern", None)
    assert (recipe.seed, recipe.steps, recipe.guidance, recipe.cfg) == ("31", 14, 3.5, None)
    assert (recipe.model, recipe.loras) == ("black-forest-labs/FLUX.1-dev", INK)
    other = {**MFLUX, "model": "Qwen/Qwen-Image"}
    assert recipe_of({"UserComment": json.dumps(other)}).guidance is None


def test_a_picture_that_mflux_has_enlarged_is_what_it_was_made_with() -> None:
    kept = {f"original_{name}": MFLUX[name] for name in ("model", "seed", "steps", "guidance")}
    large = {**MFLUX, "model": "SeedVR2", "seed": 5, "steps": 1, "lora_paths": None}
    photo = recipe_of({"UserComment": json.dumps({**large, "prompt": ""})})
    assert (photo.model, photo.seed, photo.prompt) == ("SeedVR2", "5", None)
    recipe = recipe_of({"UserComment": json.dumps({**large, **kept})})
    assert (recipe.model, recipe.seed, recipe.steps) == (MFLUX["model"], "31", 14)
    assert recipe.models == (MFLUX["model"], "SeedVR2")
    assert [use.steps for use in recipe.samplers] == [14, 1]


JOB = "Job ID: 8323d5b0-1888-4fd7-a239-9d4bb8222ce3"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (" --ar 2:3 --no mist, fog --seed 31 --v 7", ("mist, fog", "31", "v 7")),
        (" --raw --chaos 5 --niji 6", (None, None, "niji 6")),
        (" --version 6.1 --style raw", (None, None, "v 6.1")),
        ("", (None, None, None)),
    ],
)
def test_words_and_options_of_midjourney_are_told_apart(
    options: str, said: tuple[str | None, ...]
) -> None:
    text = f"a lantern, by a canal -- at night{options} {JOB}"
    recipe = recipe_of({"Description": text, "Author": "u1"})
    assert (recipe.source, recipe.prompt) == ("midjourney", "a lantern, by a canal -- at night")
    assert (recipe.negative_prompt, recipe.seed, recipe.model) == said
    assert recipe.texts["Description"] == text


def test_a_film_of_ruinedfooocus_has_its_settings_or_its_prompt_alone() -> None:
    for said in (RUINED, {"prompt": "a lantern", "software": "RuinedFooocus"}):
        texts = tag_texts({"metadata": json.dumps(json.dumps(said))})
        recipe = recipe_of(texts)
        assert (recipe.source, recipe.prompt) == ("ruinedfooocus", "a lantern")


def test_a_refiner_that_is_none_is_no_model() -> None:
    said = {**FOOOCUS, "refiner_model": "None"}
    assert recipe_of({"parameters": json.dumps(said)}).models == ()


GRAPH = {"1": {"class_type": "KSampler", "inputs": {}}}


@pytest.mark.parametrize(
    "exif",
    [
        {0x0110: f"prompt:{json.dumps(GRAPH)}"},
        {0x010F: f"Prompt: {json.dumps(GRAPH)}"},
        {0x010E: json.dumps({"Prompt": GRAPH})},
        {0x9286: json.dumps({"prompt": json.dumps(GRAPH)}).encode()},
        {0x9286: f"prompt:{json.dumps(GRAPH)}".encode()},
        {0x9286: b"UNICODE\0" + f"Prompt: {json.dumps(GRAPH)}".encode("utf-16-be")},
        {0x9286: b"UNICODE\0" + json.dumps({"prompt": GRAPH}).encode("utf-16-le")},
        {0x9286: b"UNICODE\0" + json.dumps({"prompt": GRAPH}).encode("utf-16-be")},
        {0x9C9C: json.dumps({"prompt": GRAPH}).encode("utf-16-le")},
    ],
)
def test_a_graph_is_found_in_whichever_tag_it_was_saved(exif: dict[int, object]) -> None:
    assert json.loads(exif_texts(exif)["prompt"]) == GRAPH


@pytest.mark.parametrize("encoding", ["iso2022_jp", "shift_jis"])
def test_a_comment_in_the_japanese_encodings_of_exif_is_read(encoding: str) -> None:
    comment = b"JIS\0\0\0\0\0" + "夜\nSteps: 3, Seed: 1".encode(encoding)
    assert recipe_of(comment_texts(comment)).prompt == "夜"


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["夜\nSteps: 3, Seed: 1", "夜の街"])
def test_a_comment_in_utf_16_is_read_in_either_order(text: str, order: str) -> None:
    read = comment_texts(b"UNICODE\0" + text.encode(order))["parameters"]
    assert read == text or (order, text) == ("utf-16-le", "夜の街")  # which nothing tells apart


@pytest.mark.parametrize(
    "comment",
    [
        b"Unicode\0" + "夜\nSteps: 3".encode("utf-16-le"),
        bytes(8) + "夜\nSteps: 3".encode(),
        bytes(8) + "Steps: 3".encode("utf-16-le"),
        b"ASCII\0\0\0" + "Steps: 3".encode("utf-16-be"),
        "夜\nSteps: 3".encode().decode("latin-1"),  # as Pillow reads a text
        "夜\nSteps: 3",
        b"parameters: Steps: 3",  # of a JPEG that was a PNG
    ],
)
def test_a_comment_is_read_whatever_it_calls_its_encoding(comment: bytes | str) -> None:
    assert comment_texts(comment)["parameters"] in {"夜\nSteps: 3", "Steps: 3"}


def test_utf_8_in_a_tag_is_read_as_such() -> None:
    shouted = {"1": {"class_type": "Text", "inputs": {"text": "夜の街"}}}
    told = json.dumps(shouted, ensure_ascii=False).encode().decode("latin-1")
    assert json.loads(exif_texts({0x010F: f"prompt:{told}"})["prompt"]) == shouted
    assert exif_texts({0x010E: "caf\xe9"}) == {"ImageDescription": "café"}


def test_utf_8_that_is_called_unicode_is_read_as_such() -> None:
    for text in ("夜\nSteps: 3, Seed: 1", "a cat\nSteps: 3\0"):
        assert comment_texts(b"UNICODE\0" + text.encode()) == {"parameters": text.strip("\0")}


@pytest.mark.parametrize("prompt", ["{red|blue} bicycle", "{}|", "[a:b:0.5]"])
def test_a_prompt_that_looks_like_json_is_but_one_of_the_settings(prompt: str) -> None:
    recipe = recipe_of(comment_texts(json.dumps({**FOOOCUS, "prompt": prompt})))
    assert (recipe.prompt, recipe.source, recipe.cfg) == (prompt, "fooocus", 4.5)


@pytest.mark.parametrize("prompt", ["prompt: {red|blue} cat", "scene: [day:night:0.5], cat"])
def test_a_prompt_that_looks_like_a_labelled_graph_is_a_prompt(prompt: str) -> None:
    for said in (
        comment_texts(f"{prompt}\nSteps: 3, Seed: 1"),
        exif_texts({0x010E: prompt + "\nSteps: 3"}),
    ):
        assert recipe_of(said).prompt == prompt


def test_a_graph_that_did_not_fit_into_a_tag_is_kept_as_it_is() -> None:
    cut_short = '{"1": {"class_type": "Text", "inputs": {"text": "a lantern'
    assert exif_texts({0x0110: f"prompt:{cut_short}"}) == {"prompt": cut_short}
    assert recipe_of({"prompt": cut_short}).texts == {"prompt": cut_short}


def test_settings_in_a_user_comment_stay_whole() -> None:
    assert recipe_of(comment_texts(json.dumps(SWARM))).source == "swarmui"
    assert recipe_of(comment_texts(json.dumps(FOOOCUS))).source == "fooocus"


def test_xmp_is_read_as_attributes_elements_and_alternatives() -> None:
    packet = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
      xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description
      xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
      xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Draw Things"><exif:UserComment>
      <rdf:Alt><rdf:li xml:lang="x-default">{"c": 1}</rdf:li></rdf:Alt></exif:UserComment>
      <dc:description>a lantern</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"""
    texts = xmp_texts(packet)
    assert texts["UserComment"] == '{"c": 1}'
    assert (texts["CreatorTool"], texts["description"]) == ("Draw Things", "a lantern")


@pytest.mark.parametrize(
    "packet",
    [
        *(None, 7, b"", "words", b"<a", "<?xml version='1.0' encoding='x'?><a/>"),
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"<a>" * 50_000,
    ],
)
def test_xmp_that_is_none_or_would_explode_is_left_out(packet: object) -> None:
    assert xmp_texts(packet) == {}


def test_tags_of_films_come_singly_from_a_comment() -> None:
    texts = tag_texts({"COMMENT": json.dumps({"prompt": GRAPH, "workflow": "{}"})})
    assert json.loads(texts["prompt"]) == GRAPH
    assert texts["workflow"] == "{}"


SIZE = (80, 60)  # of pictures that hide something


def pixels_hiding(name: bytes, text: bytes, mode: str = "RGBA") -> bytes:
    """Pixels with a text in their last bits, down the columns: of the alpha channel, or of all."""
    bands, depth = len(mode), 1 if mode == "RGBA" else 3
    said = name + (len(text) * 8).to_bytes(4, "big") + text
    pixels = bytearray(b"\xfe" * (bands * SIZE[0] * SIZE[1]))
    for number, bit in enumerate("".join(f"{byte:08b}" for byte in said)):
        place, band = divmod(number, depth)
        column, row = divmod(place, SIZE[1])
        pixels[(row * SIZE[0] + column) * bands + bands - depth + band] |= int(bit)
    return bytes(pixels)


@pytest.mark.parametrize(("mode", "name"), [("RGBA", b"stealth_png"), ("RGB", b"stealth_rgb")])
def test_texts_that_hide_in_pixels_are_found(mode: str, name: bytes) -> None:
    texts = {"Comment": json.dumps(NOVELAI), "Software": "NovelAI"}
    packed = gzip.compress(json.dumps(texts).encode())
    assert hidden_texts(pixels_hiding(name + b"comp", packed, mode), mode, *SIZE) == texts
    for plain in ("a\nSteps: 3", json.dumps(SWARM)):
        pixels = pixels_hiding(name + b"info", plain.encode(), mode)
        assert hidden_texts(pixels, mode, *SIZE) == {"parameters": plain}


@pytest.mark.parametrize(
    "pixels",
    [
        bytes(8000),
        b"\xff" * 8000,
        pixels_hiding(b"stealth_pngcomp", b"no gzip"),
        pixels_hiding(b"stealth_pngcomp", gzip.compress(bytes(100))[:-9]),
    ],
)
def test_pixels_that_hide_nothing_say_nothing(pixels: bytes) -> None:
    assert hidden_texts(pixels, "RGBA", *SIZE) == {}
    assert hidden_texts(pixels, "P", *SIZE) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = sorted(
    {*SWARM["sui_image_params"], *INVOKE, *INVOKE_2, *FOOOCUS, *RUINED, *DRAW_THINGS, *NOVELAI_4}
    | {*FOOOCUS_MRE, *OF_COMMAND_LINE, "images", "sui_image_params", "sui_extra_data"}
    | {"extraMetadata", "cfgScale", "resources", "baseModel", "hrf_enabled", "use_lora"}
    | {"resolution", "num_inference_steps", "use_upscaler", "Model", "v2", "scheduler_name"}
)


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_no_settings_raise(settings: dict[str, Any]) -> None:
    said = {"sui_image_params": settings, **settings}
    metadata = recipe_of({"parameters": json.dumps(said)}).metadata()
    assert json.loads(json.dumps(metadata, allow_nan=False)) == metadata


@given(st.dictionaries(st.integers(0, 70_000), st.text() | st.binary() | st.tuples(st.integers())))
def test_no_exif_raises(exif: dict[int, object]) -> None:
    recipe_of(exif_texts(exif))


@given(st.binary(max_size=400))
def test_no_pixels_raise(pixels: bytes) -> None:
    for mode, bands in (("RGBA", 4), ("RGB", 3)):
        whole = pixels[: len(pixels) // (20 * bands) * 20 * bands]
        hidden_texts(whole, mode, len(whole) // (20 * bands), 20)

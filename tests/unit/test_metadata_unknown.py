"""Graphs of which a part is not known, or looks like what it is not: nothing of it is guessed."""

import json
from typing import Any

import pytest

from anime.assets.metadata import LoraUse, SavedFile, recipe_of, recipe_of_graph
from anime.core.graphs import Graph
from anime.core.paths import FileKind
from tests.unit.test_metadata_graphs import (
    BASE,
    INK,
    NEGATIVE,
    PROMPT,
    encoder,
    graph_of,
    modelled,
    node,
    sampler,
    texted,
    told,
)

LLM = node("SomeTalker", prompt="NOT THIS", model="m", temperature=0.7)


def drawn(class_type: str = "KSampler", **changes: Any) -> Graph:
    """A graph whose sampler is otherwise, with the nodes that are given."""
    inputs = {name: value for name, value in changes.items() if not isinstance(value, dict)}
    nodes = {name: value for name, value in changes.items() if isinstance(value, dict)}
    return graph_of(draw=sampler(class_type, **inputs), **nodes)


def joined(**inputs: Any) -> Graph:
    return drawn(positive=["x", 0], x=node("CLIPTextEncodeSDXL", **inputs), llm=LLM, s=encoder("b"))


EASY_SETTINGS = {
    "steps": 12,
    "cfg": 5.5,
    "sampler_name": "dpmpp_2m",
    "scheduler": "karras",
    "denoise": 1.0,
}


def easy(**changes: Any) -> Graph:
    nodes = {
        "1": node(
            "easy fullLoader",
            ckpt_name="kite.safetensors",
            lora_name="None",
            positive=PROMPT,
            negative=NEGATIVE,
        ),
        "2": node("easy preSampling", pipe=["1", 0], seed=31, **EASY_SETTINGS),
        "3": node("easy kSampler", pipe=["2", 0], image_output="Save", save_prefix="kite"),
    }
    return {**nodes, **changes}


def loaded(**inputs: Any) -> Graph:
    """A graph whose loader holds the words."""
    load = {"ckpt_name": "kite.safetensors", "positive": PROMPT, "negative": NEGATIVE, **inputs}
    return graph_of(
        load=node("Efficient Loader", **load),
        draw=sampler(positive=["load", 1], negative=["load", 2], latent_image=["load", 3]),
        llm=LLM,
    )


def sdxl(**nodes: Any) -> Graph:
    """A graph whose loader gives all in one tuple."""
    graph = graph_of(
        load=node(
            "Eff. Loader SDXL",
            base_ckpt_name="kite.safetensors",
            refiner_ckpt_name="refiner.safetensors",
            positive=PROMPT,
            negative=NEGATIVE,
        ),
        draw=sampler(
            "KSampler SDXL (Eff.)",
            model=...,
            positive=...,
            negative=...,
            seed=...,
            denoise=...,
            noise_seed=31,
            sdxl_tuple=["load", 0],
            latent_image=["load", 1],
        ),
    )
    graph["decode"]["inputs"]["samples"] = ["draw", 1]
    return {**graph, **nodes}


NO_PROMPT = {"prompt": None}
GRAPHS: dict[str, tuple[Graph, dict[str, Any]]] = {
    "one of two texts of an encoder": (joined(text_g=["llm", 0], text_l="dusk"), NO_PROMPT),
    "one of two conditionings that are joined": (
        drawn(
            positive=["x", 0],
            x=node("ConditioningConcat", conditioning_to=["a", 0], conditioning_from=["b", 0]),
            a=encoder(["llm", 0]),
            b=encoder("dusk"),
            llm=LLM,
        ),
        NO_PROMPT,
    ),
    "a conditioning that is none of the graph": (
        drawn(
            positive=["x", 0],
            x=node("ConditioningCombine", conditioning_1=["gone", 0], conditioning_2=["yes", 0]),
        ),
        NO_PROMPT,
    ),
    "an encoder with nothing to read beside another": (
        drawn(
            positive=["x", 0],
            x=node("ConditioningCombine", conditioning_1=["a", 0], conditioning_2=["yes", 0]),
            a=node("LoadConditioning", file="words.bin"),
        ),
        NO_PROMPT,
    ),
    "an encoder without words beside another": (
        drawn(
            positive=["x", 0],
            x=node("ConditioningCombine", conditioning_1=["a", 0], conditioning_2=["yes", 0]),
            a=encoder(""),
        ),
        {},
    ),
    "an encoder that is given another conditioning": (
        drawn(
            positive=["x", 0],
            x=node("CLIPTextEncodeX", text=["llm", 0], conditioning=["yes", 0]),
            llm=LLM,
        ),
        NO_PROMPT,
    ),
    "own words beside another conditioning": (
        drawn(
            positive=["x", 0],
            x=node("CLIPTextEncodeX", text="dusk", clip=["load", 1], conditioning=["yes", 0]),
        ),
        NO_PROMPT,
    ),
    "properties beside a default": (
        drawn(
            positive=["x", 0],
            negative=["x", 1],
            x=node(
                "PairConditioningSetPropertiesAndCombine",
                positive=["yes", 0],
                negative=["no", 0],
                positive_NEW=["b", 0],
                negative_NEW=["no", 0],
            ),
            b=encoder("dusk"),
        ),
        {"prompt": f"{PROMPT}\ndusk"},
    ),
    "one of two models that are merged": (
        modelled(
            patch=node("ModelMergeSimple", model1=["s", 0], model2=["load", 0]),
            s=node("Any Model Switch", which="b", model1=["load", 0], model2=["patch", 0]),
        ),
        {"model": None},
    ),
    "the first of two names of a seed": (
        drawn(seed=["llm", 0], noise_seed=7, llm=LLM),
        {"seed": None},
    ),
    "a loader whose words are written by another": (loaded(positive=["llm", 0]), NO_PROMPT),
    "a loader whose other words are written by another": (
        loaded(negative=["llm", 0]),
        {"negative_prompt": None},
    ),
    "a loader of an unknown pack with such words": (
        drawn(
            positive=["x", 1],
            negative=["x", 2],
            x=node("My Loader", ckpt_name="a", positive=["llm", 0], negative=NEGATIVE),
            llm=LLM,
        ),
        NO_PROMPT,
    ),
    "an encoder of both sides whose words are written elsewhere": (
        drawn(
            positive=["x", 0],
            negative=["x", 1],
            x=node("Two Encodes", clip=["load", 1], positive=["t", 0], negative=["u", 0]),
            t=node("PrimitiveString", value=PROMPT),
            u=node("PrimitiveString", value=NEGATIVE),
        ),
        {},
    ),
    "such an encoder of which one side is not known": (
        drawn(
            positive=["x", 0],
            negative=["x", 1],
            x=node("Two Encodes", clip=["load", 1], positive=["llm", 0], negative=["u", 0]),
            llm=LLM,
            u=node("PrimitiveString", value=NEGATIVE),
        ),
        NO_PROMPT,
    ),
    "a loader with wildcards": (
        easy(**{"1": {**easy()["1"], "inputs": {**easy()["1"]["inputs"], "positive": "{a|b}"}}}),
        NO_PROMPT,
    ),
    "a schedule that gives both sides": (
        drawn(
            positive=["x", 0],
            negative=["x", 1],
            x=node("BatchPromptSchedule", text='"0": "a", "9": "b"', max_frames=9),
        ),
        {"prompt": '"0": "a", "9": "b"', "negative_prompt": None},
    ),
    "an encoder that draws words": (
        drawn(positive=["x", 0], x=node("CLIPTextEncode (NSP)", text="a __color__ kite", seed=5)),
        NO_PROMPT,
    ),
    "an encoder of an unknown pack that draws words": (
        drawn(positive=["x", 0], x=node("Dice Encode", text="a {red|blue} kite", seed=5)),
        NO_PROMPT,
    ),
    "an encoder with a seed that has filled in its words": (
        drawn(
            positive=["x", 0],
            x=node("Dice Encode", text="a {red|blue} kite", populated_text=PROMPT, seed=5),
        ),
        {},
    ),
    "a song with a seed of its own": (
        drawn(
            positive=["x", 0],
            x=node("TextEncodeAceStepAudio1.5", tags=PROMPT, lyrics="la", seed=5, bpm=120),
        ),
        {},
    ),
    "a number beside another": (
        drawn(seed=["n", 0], n=node("Offset", seed=31, offset=5)),
        {"seed": None},
    ),
    "a number that a list draws": (
        drawn(
            seed=["n", 0],
            n=node("easy seedList", min_num=0, max_num=9, method="random", total=1, seed=5),
        ),
        {"seed": None},
    ),
    "steps beside a ratio": (
        drawn(steps=["n", 1], n=node("Split Steps", steps=20, ratio=0.6)),
        {"steps": None},
    ),
    "noise that another node decides": (
        drawn("KSamplerAdvanced", add_noise=["llm", 0], llm=LLM),
        {},
    ),
    "settings of an unknown node": (
        drawn(
            steps=["n", 1],
            seed=["n", 0],
            n=node("All Settings", seed=31, steps=12, cfg=5.5, width=512),
        ),
        {},
    ),
    "a number that is turned round": (
        drawn(seed=["n", 0], n=node("CM_IntUnaryOperation", op="Neg", a=31)),
        {"seed": None},
    ),
    "a boolean that is turned round": (
        texted(
            words=node("ComfySwitchNode", switch=["n", 0], on_true="NOT THIS", on_false=PROMPT),
            n=node("ImpactNeg", value=True),
        ),
        NO_PROMPT,
    ),
    "a LoRA of a list with no strength": (
        modelled(
            patch=node(
                "Power Lora Loader (rgthree)",
                model=["load", 0],
                lora_1={"on": True, "lora": "no.safetensors", "strength": 0},
                lora_2={"on": True, "lora": "ink.safetensors", "strength": 0.6},
                lora_3={"on": True, "lora": "clip.safetensors", "strength": 0, "strengthTwo": 1},
            )
        ),
        {"loras": (*INK, LoraUse(name="clip.safetensors", strength=0))},
    ),
    "a LoRA in words with no strength": (
        modelled(
            patch=node(
                "LoRA Text Loader (LoraManager)",
                model=["load", 0],
                lora_syntax="<lora:no:0> <lora:ink.safetensors:0.6> <lora:no:0:0>",
            )
        ),
        {"loras": INK},
    ),
    "a LoRA of a hook": (
        graph_of(
            yes={**encoder(PROMPT), "inputs": {"text": PROMPT, "clip": ["clip", 0]}},
            clip=node("SetClipHooks", clip=["load", 1], hooks=["hook", 0], apply_to_conds=True),
            hook=node(
                "CreateHookLora", lora_name="ink.safetensors", strength_model=0.6, strength_clip=1.0
            ),
        ),
        {"loras": INK},
    ),
    "a LoRA of a hook before other nodes of the encoder": (
        graph_of(
            yes={**encoder(PROMPT), "inputs": {"text": PROMPT, "clip": ["last", 0]}},
            last=node("CLIPSetLastLayer", clip=["clip", 0], stop_at_clip_layer=-2),
            clip=node("SetClipHooks", clip=["load", 1], hooks=["hook", 0], apply_to_conds=True),
            hook=node("CreateHookLora", lora_name="ink.safetensors", strength_model=0.6),
        ),
        {"loras": INK},
    ),
    "LoRAs in the words of a loader": (
        easy(
            **{
                "1": node(
                    "easy fullLoader",
                    ckpt_name="kite.safetensors",
                    lora_name="None",
                    positive=f"{PROMPT} <lora:ink.safetensors:0.6>",
                    negative=NEGATIVE,
                )
            }
        ),
        {"loras": INK, "prompt": f"{PROMPT} <lora:ink.safetensors:0.6>"},
    ),
    "a sampler backwards": (
        drawn(
            latent_image=["back", 0],
            denoise=0.9,
            back=node("BNK_Unsampler", steps=7, cfg=1.0, positive=["p", 0], latent_image=["e", 0]),
            p=encoder("NOT THIS"),
            e=node("VAEEncode", pixels=["l", 0], vae=["load", 2]),
            l=node("LoadImage", image="in.png"),
        ),
        {},
    ),
    "two texts of another encoder": (
        drawn(
            positive=["x", 0],
            x=node("CLIPTextEncodeKandinsky5", clip_l=PROMPT, qwen25_7b="dusk"),
        ),
        {"prompt": f"{PROMPT}\ndusk"},
    ),
    "a tuple of all": (sdxl(), {}),
    "a tuple that was unpacked": (
        sdxl(
            out=node("Unpack SDXL Tuple", sdxl_tuple=["load", 0]),
            draw=sampler(model=["out", 0], positive=["out", 2], negative=["out", 3]),
            decode=node("VAEDecode", samples=["draw", 0], vae=["load", 2]),
        ),
        {},
    ),
    "a sampler of regions": (
        drawn(
            "RegionalSampler",
            model=...,
            positive=...,
            negative=...,
            latent_image=...,
            cfg=...,
            sampler_name=...,
            scheduler=...,
            samples=["empty", 0],
            base_sampler=["base", 0],
            base=node(
                "KSamplerAdvancedProvider",
                cfg=5.5,
                sampler_name="dpmpp_2m",
                scheduler="karras",
                basic_pipe=["bundle", 0],
            ),
            bundle=node("ToBasicPipe", model=["load", 0], positive=["yes", 0], negative=["no", 0]),
        ),
        {},
    ),
    "a picture that was only made larger": (
        graph_of(
            large=node(
                "MagnificImageUpscalerPreciseV2Node", image=["decode", 0], scale_factor="2x"
            ),
            save=node("SaveImage", images=["large", 0], filename_prefix="kite"),
        ),
        {},
    ),
    "a film that was only dubbed": (
        graph_of(
            film=node("CreateVideo", images=["decode", 0], fps=24.0),
            dubbed=node("HeyGenVideoTranslateNode", video=["film", 0], output_language="Japanese"),
            save=node("SaveVideo", video=["dubbed", 0], filename_prefix="kite"),
        ),
        {},
    ),
    "a picture that was resized in batches": (
        graph_of(
            large=node("Resize", image=["decode", 0], width=64, height=64, batch_size=4),
            save=node("SaveImage", images=["large", 0], filename_prefix="kite"),
        ),
        {},
    ),
    "a schedule of words": (
        drawn(
            positive=["x", 0],
            x=node("ScheduleToCond", clip=["load", 1], prompt_schedule=["s", 0]),
            s=node("PromptToSchedule", text=PROMPT),
        ),
        {},
    ),
    "a conditioning that takes the guidance away": (
        drawn(
            positive=["x", 0],
            x=node("FluxDisableGuidance", conditioning=["g", 0]),
            g=node("FluxGuidance", conditioning=["yes", 0], guidance=3.5),
        ),
        {},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_what_is_not_known_is_null(name: str) -> None:
    graph, changes = GRAPHS[name]
    assert told(graph) == {**BASE, **changes}


def test_a_guidance_that_was_taken_away_is_none() -> None:
    graph = GRAPHS["a conditioning that takes the guidance away"][0]
    assert recipe_of_graph(graph).guidance is None


def test_of_merged_models_the_known_one_is_listed() -> None:
    assert recipe_of_graph(GRAPHS["one of two models that are merged"][0]).models == (
        "kite.safetensors",
    )


WORDS: dict[str, tuple[dict[str, Any], int, str | None]] = {  # a node, its output and what it gives
    "the second of four": (node("Text String", text="NOT THIS", text_b="a kite"), 1, "a kite"),
    "a typed new line that stays": (
        node("StringConcatenate", string_a="a", string_b="b", delimiter="\\n"),
        0,
        "a\\nb",
    ),
    "a typed new line": (
        node("Text Concatenate", text_a="a", text_b="b", delimiter="\\n", clean_whitespace="true"),
        0,
        "a\nb",
    ),
    "a typed new line of an unknown pack": (
        node("My Text Concat", text1="a", text2="b", delimiter="\\n"),
        0,
        None,
    ),
    "words of a prompt with power": (node("Power Prompt (rgthree)", prompt="a kite"), 3, "a kite"),
    "words of a simple one": (
        node("Power Prompt - Simple (rgthree)", prompt="a kite"),
        1,
        "a kite",
    ),
    "a line that is selected": (
        node("ImpactStringSelector", strings="a\nb\nc", multiline=False, select=1),
        0,
        "b",
    ),
    "a part that is selected": (
        node("ImpactStringSelector", strings="#a\n#b", multiline=True, select=1),
        0,
        None,
    ),
    "one line of several": (
        node("easy promptLine", prompt="a\nb", start_index=1, max_rows=1),
        0,
        "b",
    ),
    "all lines in turn": (
        node("easy promptLine", prompt="a\nb", start_index=0, max_rows=1000),
        0,
        None,
    ),
    "joined without what is empty": (
        node("LayerUtility: TextJoinV2", text_1="a", text_2="", text_3="c", delimiter="; "),
        0,
        "a; c",
    ),
    "joined with commas": (node("LayerUtility: TextJoin", text_1="a", text_2="b"), 0, "a, b"),
    "a case": (
        node(
            "LayerUtility: SwitchCase",
            switch_condition="x",
            case_1="y",
            case_2="x",
            case_3="",
            input_default="NOT THIS",
            input_1="NOT THIS",
            input_2="a kite",
        ),
        0,
        "a kite",
    ),
    "none of the cases": (
        node(
            "LayerUtility: SwitchCase",
            switch_condition="z",
            case_1="y",
            case_2="x",
            case_3="",
            input_default="a kite",
            input_1="NOT THIS",
        ),
        0,
        "a kite",
    ),
    "replaced twice": (
        node("CR Text Replace", text="a b", find1="a", replace1="one", find2="b", replace2="two"),
        0,
        "one two",
    ),
    "joined without anything": (node("JWStringConcat", a="a ", b="kite"), 0, "a kite"),
    "the second output of an unknown node": (node("Keeper", text="a kite"), 1, None),
    "in other letters": (node("LowercaseText", text="A KITE"), 0, None),
    "by a language model": (node("DeepSeekChat", text="A KITE"), 0, None),
    "in another language": (node("ChineseToEnglish", text="A KITE"), 0, None),
    "of a file": (node("LoadText", text="kite.txt"), 0, None),
    "a template of another pack": (
        node("DPRandomGenerator", text="a {red|blue} kite", seed=5, autorefresh="No"),
        0,
        None,
    ),
    "an appended text": (
        node(
            "StringFunction|pysssss",
            action="append",
            tidy_tags="no",
            result="OLD RUN",
            text_a="a ",
            text_b="kite",
            text_c="",
        ),
        0,
        "a kite",
    ),
    "a tidied text": (
        node(
            "StringFunction|pysssss",
            action="append",
            tidy_tags="yes",
            result="OLD RUN",
            text_a="a",
            text_b="kite",
        ),
        0,
        "a, kite",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_text_is_that_of_the_output(name: str) -> None:
    words, slot, text = WORDS[name]
    assert told(graph_of(yes=encoder(["words", slot]), words=words))["prompt"] == text


SHOWING = {
    "ShowText|pysssss": {"text": ["t", 0], "text_0": "OLD RUN"},
    "easy showAnything": {"anything": ["t", 0], "text": "OLD RUN"},
    "PreviewAny": {"source": ["t", 0], "preview_text": "OLD RUN"},
}


@pytest.mark.parametrize("class_type", SHOWING)
def test_a_text_that_was_shown_before_is_not_that_of_this_run(class_type: str) -> None:
    graph = texted(
        words=node(class_type, **SHOWING[class_type]), t=node("PrimitiveString", value="NEW")
    )
    assert told(graph)["prompt"] == "NEW"


def test_a_text_that_only_the_run_gave_is_what_the_editor_was_told() -> None:
    graph = texted(words=node("ShowText|pysssss", **SHOWING["ShowText|pysssss"]), t=LLM)
    assert told(graph)["prompt"] == "OLD RUN"
    editor = {"nodes": [{"id": 1}, {"id": "words", "widgets_values": [["of this run"]]}]}
    for texts in ({"prompt": graph, "workflow": editor}, {"workflow": editor, "prompt": graph}):
        recipe = recipe_of({name: json.dumps(text) for name, text in texts.items()})
        assert recipe.prompt == "of this run"


def test_a_second_pass_by_a_pipe_comes_after_the_first() -> None:
    graph = easy(
        **{
            "3": node("easy kSampler", pipe=["2", 0], image_output="Hide", save_prefix="first"),
            "4": node("easy hiresFix", pipe=["3", 0], model_name="4x.pth", image_output="Hide"),
            "5": node(
                "easy preSampling", pipe=["4", 0], seed=44, **{**EASY_SETTINGS, "denoise": 0.5}
            ),
            "6": node("easy kSampler", pipe=["5", 0], image_output="Save", save_prefix="kite"),
        }
    )
    for between in (["4", 0], ["3", 0]):
        graph["5"]["inputs"]["pipe"] = between
        recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png", FileKind.IMAGES))
        assert (recipe.seed, recipe.models) == ("31", ("kite.safetensors",))
        assert [use.seed for use in recipe.samplers] == ["31", "44"]
    graph["5"]["inputs"]["denoise"] = 1.0
    assert [use.seed for use in recipe_of_graph(graph).samplers] == ["44"]


def test_a_face_that_is_mended_by_a_pipe_comes_after_the_picture() -> None:
    graph = easy(
        **{
            "3": node("easy kSampler", pipe=["2", 0], image_output="Hide", save_prefix="first"),
            "4": node(
                "easy preDetailerFix", pipe=["3", 0], seed=44, **{**EASY_SETTINGS, "denoise": 0.5}
            ),
            "5": node("easy detailerFix", pipe=["4", 0], image_output="Save", save_prefix="kite"),
        }
    )
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png", FileKind.IMAGES))
    assert [use.seed for use in recipe.samplers] == ["31", "44"]
    assert (recipe.prompt, recipe.model) == (PROMPT, "kite.safetensors")


@pytest.mark.parametrize("image_output", ["Hide", "Sender", "Disabled"])
def test_a_sampler_that_only_shows_saves_nothing(image_output: str) -> None:
    graph = easy(**{"3": node("easy kSampler", pipe=["2", 0], image_output=image_output)})
    graph |= {
        "4": node("easy preSampling", pipe=["1", 0], seed=44, **EASY_SETTINGS),
        "5": node("easy kSampler", pipe=["4", 0], image_output="Save", save_prefix="kite"),
    }
    assert recipe_of_graph(graph).seed == "44"


@pytest.mark.parametrize("by", ["SetLatentNoiseMask", "VAEEncodeForInpaint"])
def test_what_is_made_anew_under_a_mask_belongs_to_the_whole(by: str) -> None:
    graph = graph_of(
        m=node("LoadImageMask", image="mask.png"),
        inner=node(by, samples=["draw", 0], mask=["m", 0])
        if by == "SetLatentNoiseMask"
        else node(by, pixels=["decode", 0], mask=["m", 0], vae=["load", 2]),
        again=sampler(seed=7, positive=["hat", 0], latent_image=["inner", 0]),
        hat=encoder("blue hat"),
        second=node("VAEDecode", samples=["again", 0], vae=["load", 2]),
        save=node("SaveImage", images=["second", 0], filename_prefix="kite"),
    )
    assert told(graph) == BASE
    assert [use.seed for use in recipe_of_graph(graph).samplers] == ["31", "7"]


def second_branch(prefix: object, class_type: str = "SaveImage", **nodes: Any) -> Graph:
    """A graph that saves a second picture of another seed."""
    return graph_of(
        b=sampler(seed=8),
        d=node("VAEDecode", samples=["b", 0], vae=["load", 2]),
        other=node(class_type, images=["d", 0], filename_prefix=prefix),
        **nodes,
    )


def final(prefix: str) -> Graph:
    return second_branch(
        prefix, save=node("SaveImage", images=["decode", 0], filename_prefix="final_x")
    )


NAMED: dict[str, tuple[Graph, str, str | None]] = {  # a graph, a file that it saved and its seed
    "nothing but a date": (second_branch("%date:yyyy-MM-dd%"), "kite_00001_.png", "31"),
    "the date": (second_branch("%date:yyyy-MM-dd%"), "2026-04-12_00001_.png", "8"),
    "a date before the name": (final("%date:yyyy-MM-dd%_x"), "final_x_00001_.png", "31"),
    "a date and a name": (final("%date:yyyy-MM-dd%_x"), "2026-04-12_x_00001_.png", "8"),
    "letters before what is filled in": (
        second_branch("%KSampler.sampler_name%_longer_than_it"),
        "kite_00001_.png",
        "31",
    ),
    "a prefix of a prefix": (second_branch("kite_large"), "kite_large_00001_.png", "8"),
    "the shorter prefix": (second_branch("kite_large"), "kite_00001_.png", "31"),
    "a prefix that only a run gives": (second_branch(["t", 0], t=LLM), "kite_b_00001_.png", None),
    "a known prefix beside it": (second_branch(["t", 0], t=LLM), "kite_00001_.png", "31"),
    "many dates": (second_branch(60 * "%date%_"), "_".join(99 * "1") + "x.png", None),
    "a film's sound": (second_branch("kite_large"), "kite_00001-audio.mp4", "31"),
}


@pytest.mark.parametrize("name", NAMED)
def test_the_prefix_that_fits_best_tells_who_saved_the_file(name: str) -> None:
    graph, file_name, seed = NAMED[name]
    recipe = recipe_of_graph(graph, SavedFile(file_name, FileKind.IMAGES))
    assert (recipe.seed, recipe.prompt) == (seed, PROMPT)


def test_a_saving_node_that_no_rule_knows_may_have_saved_it() -> None:
    graph = second_branch("step")
    graph["save"] = node("My Keeper", images=["decode", 0], folder="out")
    assert recipe_of_graph(graph, SavedFile("out_1.png", FileKind.IMAGES)).seed is None
    assert recipe_of_graph(graph, SavedFile("step_00001_.png", FileKind.IMAGES)).seed == "8"
    graph["save"]["class_type"] = "My Previewer"
    assert recipe_of_graph(graph, SavedFile("out_1.png", FileKind.IMAGES)).seed == "8"


def test_a_picture_that_nothing_in_the_graph_made_has_no_recipe() -> None:
    graph = graph_of(
        save=node("PreviewImage", images=["decode", 0]),
        given=node("LoadImage", image="in.png"),
        large=node("ImageScaleBy", image=["given", 0], scale_by=2.0),
        keep=node("SaveImage", images=["large", 0], filename_prefix="kite"),
    )
    for name in ("kite_00001_.png", "renamed.png"):
        recipe = recipe_of_graph(graph, SavedFile(name, FileKind.IMAGES))
        assert (recipe.prompt, recipe.seed, recipe.model) == (None, None, None)


def test_a_saving_node_that_is_told_settings_makes_nothing() -> None:
    for told_by in ({"prompt": "NOT THIS"}, {"positive": ["t", 0]}):
        graph = graph_of(
            save=node(
                "My Saver", images=["decode", 0], filename_prefix="kite", seed=9, steps=3, **told_by
            ),
            t=node("PrimitiveString", value="NOT THIS"),
        )
        assert told(graph) == BASE


def with_mesh() -> Graph:
    return graph_of(
        shape=node("ImageOnlyCheckpointLoader", ckpt_name="hy3d.safetensors"),
        seen=node("CLIPVisionEncode", image=["decode", 0]),
        cond=node("Hunyuan3Dv2Conditioning", clip_vision_output=["seen", 0]),
        room=node("EmptyLatentHunyuan3Dv2", resolution=3072, batch_size=1),
        form=sampler(
            seed=77,
            model=["shape", 0],
            positive=["cond", 0],
            negative=["cond", 1],
            latent_image=["room", 0],
        ),
        voxel=node("VAEDecodeHunyuan3D", samples=["form", 0], vae=["shape", 2]),
        mesh=node("VoxelToMesh", voxel=["voxel", 0], algorithm="surface net", threshold=0.6),
        keep=node("SaveGLB", mesh=["mesh", 0], filename_prefix="mesh/kite"),
    )


@pytest.mark.parametrize(
    ("saved", "seed", "model"),
    [
        (SavedFile("kite_00001_.glb"), "77", "hy3d.safetensors"),
        (SavedFile("other.glb", FileKind.IMAGES), "77", "hy3d.safetensors"),
        (
            SavedFile("kite", FileKind.IMAGES, media_type="model/gltf-binary"),
            "77",
            "hy3d.safetensors",
        ),
        (SavedFile("kite_00001_.png", FileKind.IMAGES), "31", "kite.safetensors"),
    ],
)
def test_a_3d_model_is_not_the_picture_that_it_is_made_of(
    saved: SavedFile, seed: str, model: str
) -> None:
    recipe = recipe_of_graph(with_mesh(), saved)
    assert (recipe.seed, recipe.model) == (seed, model)


def test_a_3d_model_has_no_size_in_pixels() -> None:
    graph = graph_of(
        photo=node("ImageResize+", image=["decode", 0], width=518, height=518),
        shape=node("Hy3DModelLoader", model="hy3d.safetensors"),
        form=node(
            "Hy3DGenerateMesh",
            pipeline=["shape", 0],
            image=["photo", 0],
            guidance_scale=5.0,
            steps=50,
            seed=77,
        ),
        mesh=node("Hy3DVAEDecode", vae=["shape", 1], latents=["form", 0]),
        keep=node("Hy3DExportMesh", trimesh=["mesh", 0], filename_prefix="mesh/kite"),
    )
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.glb"))
    said = (recipe.seed, recipe.steps, recipe.cfg, recipe.model, recipe.width)
    assert said == ("77", 50, 5.0, "hy3d.safetensors", None)


@pytest.mark.parametrize("class_type", ["MMAudioSampler", "A Foley Of Somebody"])
def test_a_sound_made_for_a_film_has_a_recipe_of_its_own(class_type: str) -> None:
    graph = graph_of(
        wave=node(
            class_type,
            mmaudio_model=["m", 0],
            images=["decode", 0],
            prompt="wind",
            negative_prompt="music",
            steps=25,
            cfg=4.5,
            seed=9,
        ),
        m=node("MMAudioModelLoader", mmaudio_model="mmaudio.safetensors", base_precision="fp16"),
        keep=node("SaveAudio", audio=["wave", 0], filename_prefix="kite"),
    )
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.flac", FileKind.AUDIO))
    assert (recipe.prompt, recipe.negative_prompt, recipe.seed) == ("wind", "music", "9")
    assert (recipe.steps, recipe.cfg) == (25, 4.5)
    is_known = class_type == "MMAudioSampler"
    assert recipe.model == ("mmaudio.safetensors" if is_known else None)


def test_a_partner_that_is_told_something_unknown_has_no_prompt() -> None:
    graph = {
        "1": node(
            "KlingVideoNode",
            storyboard_1_prompt="a kite",
            storyboard_2_prompt=["llm", 0],
            seed=1,
        ),
        "2": node("SaveVideo", video=["1", 0], filename_prefix="kite"),
        "llm": LLM,
    }
    assert recipe_of_graph(graph).prompt is None

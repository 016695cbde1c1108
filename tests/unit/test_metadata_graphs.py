"""Graphs as people and their packs make them, and what made the file that each has saved."""

from typing import Any

import pytest

from anime.assets.metadata import LoraUse, Recipe, SavedFile, recipe_of_graph
from anime.core.graphs import Graph
from anime.core.paths import FileKind

PROMPT, NEGATIVE = "a kite over rice fields", "grain"
BASE: dict[str, Any] = {  # any field of a recipe
    "prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "seed": "31",
    "steps": 12,
    "cfg": 5.5,
    "sampler": "dpmpp_2m",
    "scheduler": "karras",
    "model": "kite.safetensors",
    "loras": (),
}
INK = (LoraUse(name="ink.safetensors", strength=0.6),)


def node(class_type: str, **inputs: Any) -> dict[str, Any]:  # inputs of any node
    return {"class_type": class_type, "inputs": inputs}


def sampler(class_type: str = "KSampler", **changes: Any) -> dict[str, Any]:
    inputs = {
        "seed": 31,
        "steps": 12,
        "cfg": 5.5,
        "sampler_name": "dpmpp_2m",
        "scheduler": "karras",
        "denoise": 1.0,
        "model": ["load", 0],
        "positive": ["yes", 0],
        "negative": ["no", 0],
        "latent_image": ["empty", 0],
    }
    merged = {**inputs, **changes}
    kept = {name: value for name, value in merged.items() if value is not ...}
    return node(class_type, **kept)


def encoder(text: object) -> dict[str, Any]:
    return node("CLIPTextEncode", text=text, clip=["load", 1])


def graph_of(**changes: Any) -> Graph:
    """A graph that makes one picture, with other or further nodes."""
    nodes = {
        "load": node("CheckpointLoaderSimple", ckpt_name="kite.safetensors"),
        "yes": encoder(PROMPT),
        "no": encoder(NEGATIVE),
        "empty": node("EmptyLatentImage", width=512, height=640, batch_size=1),
        "draw": sampler(),
        "decode": node("VAEDecode", samples=["draw", 0], vae=["load", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="kite"),
    }
    return {**nodes, **changes}


def texted(**nodes: Any) -> Graph:
    """A graph whose prompt comes from the node `words`."""
    return graph_of(yes=encoder(["words", 0]), **nodes)


def modelled(**nodes: Any) -> Graph:
    """A graph whose model comes from the node `patch`."""
    return graph_of(draw=sampler(model=["patch", 0]), **nodes)


def piped(pipe: dict[str, Any], **nodes: Any) -> Graph:
    return graph_of(
        bundle=node(
            "ToBasicPipe",
            model=["load", 0],
            clip=["load", 1],
            positive=["yes", 0],
            negative=["no", 0],
        ),
        pipe=pipe,
        draw=sampler(model=["out", 0], positive=["out", 3], negative=["out", 4]),
        out=node("FromBasicPipe", basic_pipe=["pipe", 0]),
        **nodes,
    )


def told(graph: Graph, name: str = "", kind: FileKind | None = None) -> dict[str, Any]:
    recipe: Recipe = recipe_of_graph(graph, SavedFile(name, kind))
    return {field: getattr(recipe, field) for field in BASE}


GUIDED = {
    "draw": node(
        "SamplerCustomAdvanced",
        noise=["noise", 0],
        guider=["guider", 0],
        sampler=["which", 0],
        sigmas=["sigmas", 0],
        latent_image=["empty", 0],
    ),
    "noise": node("RandomNoise", noise_seed=31),
    "which": node("KSamplerSelect", sampler_name="dpmpp_2m"),
    "sigmas": node("BasicScheduler", scheduler="karras", steps=12, denoise=1.0, model=["load", 0]),
}

SAME: dict[str, Graph] = {
    "plain": graph_of(),
    "numbers as text": graph_of(draw=sampler(seed="31", steps="12", cfg="5.5")),
    "seed of a node that gives fractions": graph_of(
        draw=sampler(seed=["n", 0]), n=node("PrimitiveFloat", value=31.0)
    ),
    "seed node": graph_of(draw=sampler(seed=["n", 0]), n=node("Seed (rgthree)", seed=31)),
    "reroute": graph_of(
        draw=sampler(seed=["r", 0], model=["m", 0]),
        r=node("Reroute", **{"": ["n", 0]}),
        m=node("Reroute", **{"": ["load", 0]}),
        n=node("PrimitiveInt", value=31),
    ),
    "pipe": piped(node("Reroute", **{"": ["bundle", 0]})),
    "pipe that was edited": piped(
        node("EditBasicPipe", basic_pipe=["bundle", 0], positive=["other", 0]),
        yes=encoder("NOT THIS"),
        other=encoder(PROMPT),
    ),
    "sampler with a pipe": graph_of(
        bundle=node("ToBasicPipe", model=["load", 0], positive=["yes", 0], negative=["no", 0]),
        draw=sampler(
            "ImpactKSamplerBasicPipe",
            basic_pipe=["bundle", 0],
            model=...,
            positive=...,
            negative=...,
        ),
    ),
    "context": graph_of(
        a=node("Context (rgthree)", model=["load", 0], positive=["yes", 0], seed=31),
        b=node("Context (rgthree)", base_ctx=["a", 0], negative=["no", 0]),
        draw=sampler(model=["b", 1], positive=["b", 4], negative=["b", 5], seed=["b", 8]),
    ),
    "contexts that were merged": graph_of(
        a=node("Context (rgthree)", model=["load", 0], positive=["p", 0], seed=7),
        p=encoder("NOT THIS"),
        b=node("Context (rgthree)", positive=["yes", 0], negative=["no", 0], seed=31),
        m=node("Context Merge (rgthree)", ctx_01=["a", 0], ctx_02=["b", 0]),
        draw=sampler(model=["m", 1], positive=["m", 4], negative=["m", 5], seed=["m", 8]),
    ),
    "words of which some are kept apart": graph_of(
        a=node("BNK_CutoffBasePrompt", text=PROMPT, clip=["load", 1]),
        b=node("BNK_CutoffSetRegions", region_text="a", target_text="NOT", clip_regions=["a", 0]),
        c=node("BNK_CutoffRegionsToConditioning", mask_token="", clip_regions=["b", 0]),
        draw=sampler(positive=["c", 0]),
    ),
    "sampler of two parts of a picture": graph_of(
        bundle=node("ToBasicPipe", model=["load", 0], positive=["yes", 0], negative=["no", 0]),
        a=node(
            "KSamplerProvider",
            basic_pipe=["bundle", 0],
            seed=31,
            steps=12,
            cfg=5.5,
            sampler_name="dpmpp_2m",
            scheduler="karras",
        ),
        draw=node(
            "TwoSamplersForMask",
            latent_image=["empty", 0],
            base_sampler=["a", 0],
            mask_sampler=["a", 0],
        ),
    ),
    "upscaler in several rounds": graph_of(
        bundle=node("ToBasicPipe", model=["load", 0], positive=["yes", 0], negative=["no", 0]),
        a=node(
            "PixelKSampleUpscalerProviderPipe",
            basic_pipe=["bundle", 0],
            seed=31,
            steps=12,
            cfg=5.5,
            sampler_name="dpmpp_2m",
            scheduler="karras",
        ),
        draw=node("IterativeLatentUpscale", samples=["i", 0], steps=3, upscaler=["a", 0]),
        i=node("VAEEncode", pixels=["l", 0], vae=["load", 2]),
        l=node("LoadImage", image="in.png"),
    ),
    "sliders": graph_of(
        draw=sampler(steps=["a", 0], cfg=["b", 0], seed=["c", 0]),
        a=node("mxSlider", Xi=12, Xf=12.4, isfloatX=0),
        b=node("mxSlider", Xi=6, Xf=5.5, isfloatX=1),
        c=node("LayerUtility: Integer", int_value=31),
    ),
    "switch with one side only": modelled(
        patch=node("ComfySoftSwitchNode", switch=False, on_true=["load", 0])
    ),
    "switch by a boolean in words": texted(
        words=node("If ANY execute A else B", ANY=["b", 0], IF_TRUE=PROMPT, IF_FALSE="NOT THIS"),
        b=node("Bool", bool="true"),
    ),
    "switch by a boolean": texted(
        words=node("ComfySwitchNode", switch=["is", 0], on_false="NOT THIS", on_true=["t", 0]),
        **{"is": node("PrimitiveBoolean", value=True)},
        t=node("PrimitiveString", value=PROMPT),
    ),
    "switch by an index": graph_of(
        draw=sampler(positive=["sw", 0]),
        sw=node("ImpactSwitch", select=2, input1=["other", 0], input2=["yes", 0]),
        other=encoder("NOT THIS"),
    ),
    "first that is connected": modelled(
        patch=node("Any Switch (rgthree)", any_02=["load", 0], any_03=["other", 0]),
        other=node("UNETLoader", unet_name="other.safetensors"),
    ),
    "joined": texted(
        words=node("StringConcatenate", string_a="a kite", string_b=["b", 0], delimiter=" over "),
        b=node("PrimitiveStringMultiline", value="rice fields"),
    ),
    "replaced": texted(
        words=node("StringReplace", string="a THING over rice fields", find="THING", replace="kite")
    ),
    "wildcards": texted(
        words=node("ImpactWildcardProcessor", wildcard_text="{a|b}", populated_text=PROMPT, seed=4)
    ),
    "text that was shown": texted(
        words=node("ShowText|pysssss", text=["llm", 0], text_0=PROMPT),
        llm=node("OllamaGenerate", prompt="NOT THIS", model="m"),
    ),
    "styler": graph_of(
        yes=encoder(["style", 0]),
        no=encoder(["style", 1]),
        style=node("SDXLPromptStyler", text_positive=PROMPT, text_negative=NEGATIVE, style="base"),
    ),
    "text box of an unknown pack": texted(words=node("Some Text Box", Text=PROMPT)),
    "control net": graph_of(
        net=node("ControlNetApplyAdvanced", positive=["yes", 0], negative=["no", 0], strength=1.0),
        draw=sampler(positive=["net", 0], negative=["net", 1]),
    ),
    "face that comes with a model": graph_of(
        face=node(
            "ApplyInstantID", model=["load", 0], positive=["yes", 0], negative=["no", 0], weight=0.8
        ),
        draw=sampler(model=["face", 0], positive=["face", 1], negative=["face", 2]),
    ),
    "unknown node with a model and both sides": graph_of(
        x=node("Inpainter", model=["load", 0], positive=["yes", 0], negative=["no", 0]),
        draw=sampler(model=["x", 0], positive=["x", 1], negative=["x", 2], latent_image=["x", 3]),
    ),
    "region of a reference": graph_of(
        region=node("IPAdapterRegionalConditioning", positive=["yes", 0], negative=["no", 0]),
        draw=sampler(positive=["region", 1], negative=["region", 2]),
    ),
    "styler with two texts a side": graph_of(
        yes=node("CLIPTextEncodeSDXL", text_g=["style", 0], text_l=["style", 1], clip=["load", 1]),
        no=encoder(["style", 5]),
        style=node(
            "SDXLPromptStylerAdvanced",
            text_positive_g=PROMPT,
            text_positive_l=PROMPT,
            text_negative=NEGATIVE,
            style="base",
        ),
    ),
    "switch by a selection": graph_of(
        draw=sampler(positive=["sw", 0]),
        sw=node(
            "Conditioning Switch (JPS)",
            selection=2,
            conditioning_1=["no", 0],
            conditioning_2=["yes", 0],
        ),
    ),
    "switch of an unknown pack with one input": graph_of(
        draw=sampler(positive=["sw", 0]),
        sw=node("My ConditioningSwitch", which=1, conditioning1=["yes", 0]),
    ),
    "reference picture": graph_of(
        ref=node("ReferenceLatent", conditioning=["yes", 0], latent=["e", 0]),
        e=node("VAEEncode", pixels=["l", 0], vae=["load", 2]),
        l=node("LoadImage", image="NOT THIS.png"),
        draw=sampler(positive=["ref", 0]),
    ),
    "instruct pix2pix": graph_of(
        ip=node(
            "InstructPixToPixConditioning",
            positive=["yes", 0],
            negative=["no", 0],
            pixels=["l", 0],
            vae=["load", 2],
        ),
        l=node("LoadImage", image="in.png"),
        draw=sampler(positive=["ip", 0], negative=["ip", 1], latent_image=["ip", 2]),
    ),
    "guider": graph_of(
        **GUIDED,
        guider=node(
            "CFGGuider", model=["load", 0], positive=["yes", 0], negative=["no", 0], cfg=5.5
        ),
    ),
    "lora that is none": modelled(
        patch=node("LoraLoader", lora_name="None", strength_model=1.0, model=["load", 0])
    ),
    # ComfyUI's loader gives back what it got: the LoRA has not acted.
    "lora of no strength": modelled(
        patch=node(
            "LoraLoader",
            lora_name="ink.safetensors",
            strength_model=0.0,
            strength_clip=0.0,
            model=["load", 0],
        )
    ),
    "preview of something else": graph_of(
        a_try=sampler(seed=1, positive=["p", 0]),
        p=encoder("NOT THIS"),
        d=node("VAEDecode", samples=["a_try", 0], vae=["load", 2]),
        show=node("PreviewImage", images=["d", 0]),
    ),
    "words that a refusal to average leaves out": graph_of(
        av=node(
            "ConditioningAverage",
            conditioning_to=["yes", 0],
            conditioning_from=["p", 0],
            conditioning_to_strength=1.0,
        ),
        p=encoder("NOT THIS"),
        draw=sampler(positive=["av", 0]),
    ),
    "picture made anew from another": graph_of(
        first=sampler(seed=1, positive=["p", 0]),
        p=encoder("NOT THIS"),
        draw=sampler(latent_image=["first", 0]),
    ),
    "motion module": modelled(
        patch=node("ADE_AnimateDiffLoaderGen1", model_name="NOT THIS.ckpt", model=["load", 0])
    ),
    "saver that is told the settings": graph_of(
        save=node(
            "Image Saver", images=["decode", 0], filename="kite", steps=99, positive=["t", 0]
        ),
        t=node("PrimitiveString", value="NOT THIS"),
    ),
    "settings of one node": graph_of(
        draw=sampler(steps=["c", 0], cfg=["c", 2], sampler_name=["c", 3], scheduler=["c", 4]),
        c=node(
            "KSampler Config (rgthree)",
            steps_total=12,
            refiner_step=9,
            cfg=5.5,
            sampler_name="dpmpp_2m",
            scheduler="karras",
        ),
    ),
    "switch by a condition": modelled(
        patch=node("SimpleCondition+", evaluate=False, on_true=["other", 0], on_false=["load", 0]),
        other=node("UNETLoader", unet_name="other.safetensors"),
    ),
    "switch of a layer pack": modelled(
        patch=node(
            "LayerUtility: If",
            if_condition=True,
            when_TRUE=["load", 0],
            when_FALSE=["other", 0],
        ),
        other=node("UNETLoader", unet_name="other.safetensors"),
    ),
    "both sides in one bundle": graph_of(
        draw=sampler(positive=..., negative=..., text_embeds=["bridge", 0]),
        bridge=node("WanVideoTextEmbedBridge", positive=["yes", 0], negative=["no", 0]),
    ),
    "a LoRA that is passed by": modelled(
        patch=node(
            "LoraLoaderBlockWeight //Inspire",
            lora_name="off.safetensors",
            strength_model=1.0,
            bypass=True,
            model=["load", 0],
        )
    ),
    "joined by another pack": texted(
        words=node("Text Concatenate (JPS)", delimiter=" over ", text1="a kite", text2=["b", 0]),
        b=node("Text Multiline", text="rice fields"),
    ),
    "loader with pictures": graph_of(
        load=node("CheckpointLoader|pysssss", ckpt_name={"content": "kite.safetensors"})
    ),
    "words for a box in the picture": graph_of(
        box=node("GLIGENTextBoxApply", conditioning_to=["yes", 0], text="NOT THIS", width=64),
        draw=sampler(positive=["box", 0]),
    ),
    "words for a control net": graph_of(
        net=node("CLIPTextEncodeControlnet", conditioning=["yes", 0], text="NOT THIS"),
        draw=sampler(positive=["net", 0]),
    ),
    "LoRA that another pack switches off": modelled(
        patch=node(
            "CR Load LoRA",
            switch="Off",
            lora_name="off.safetensors",
            strength_model=1.0,
            model=["load", 0],
        )
    ),
    "model that passes through": modelled(
        patch=node("VRAM_Debug", empty_cache=True, model_pass=["load", 0])
    ),
    "settings of a scheduler": graph_of(
        draw=sampler("WanVideoSamplerv2", steps=..., scheduler=["s", 0]),
        s=node("WanVideoSchedulerv2", scheduler="karras", steps=12, shift=5.0),
    ),
    "number in several steps": graph_of(
        draw=sampler(steps=["n", 0]),
        n=node("Number to Int", number=["c", 0]),
        c=node("Constant Number", number_type="integer", number=12.0, number_as_text=""),
    ),
    "styler of another pack": graph_of(
        yes=encoder(["style", 0]),
        no=encoder(["style", 1]),
        style=node("MilehighStyler", text_positive=PROMPT, text_negative=NEGATIVE, menu="x"),
    ),
    "encoder of both sides": graph_of(
        two=node(
            "CR SDXL Base Prompt Encoder",
            base_positive=PROMPT,
            base_negative=NEGATIVE,
            base_positive_l="",
            base_negative_l="",
        ),
        draw=sampler(positive=["two", 0], negative=["two", 1]),
    ),
    "pair of conditionings": graph_of(
        pair=node("PairConditioningSetProperties", positive_NEW=["yes", 0], negative_NEW=["no", 0]),
        draw=sampler(positive=["pair", 0], negative=["pair", 1]),
    ),
    "prompt that brings the model": graph_of(
        yes=node(
            "SDXL Power Prompt - Positive (rgthree)",
            prompt_g=PROMPT,
            prompt_l="",
            opt_model=["load", 0],
        ),
        draw=sampler(model=["yes", 1]),
    ),
    "switch by an index of another pack": modelled(
        patch=node("CR Model Input Switch", Input=1, model1=["load", 0], model2=["other", 0]),
        other=node("UNETLoader", unet_name="other.safetensors"),
    ),
    "switch that counts from zero": texted(
        words=node("easy textIndexSwitch", index=1, text0="no", text1=["t", 0], text11="no"),
        t=node("easy positive", positive=PROMPT),
    ),
    "face detailer": graph_of(
        face=sampler("FaceDetailer", seed=9, denoise=0.5, image=["decode", 0], latent_image=...),
        save=node("SaveImage", images=["face", 0], filename_prefix="kite"),
    ),
    "efficient": graph_of(
        load=node(
            "Efficient Loader",
            ckpt_name="kite.safetensors",
            lora_name="None",
            positive=PROMPT,
            negative=NEGATIVE,
        ),
        draw=sampler(
            "KSampler (Efficient)",
            positive=["load", 1],
            negative=["load", 2],
            latent_image=["load", 3],
        ),
        save=node("SaveImage", images=["draw", 5], filename_prefix="kite"),
    ),
    "easy-use": {
        "1": node(
            "easy fullLoader",
            ckpt_name="kite.safetensors",
            lora_name="None",
            positive=PROMPT,
            negative=NEGATIVE,
        ),
        "2": node(
            "easy preSampling",
            pipe=["1", 0],
            seed=31,
            steps=12,
            cfg=5.5,
            sampler_name="dpmpp_2m",
            scheduler="karras",
        ),
        "3": node("easy kSampler", pipe=["2", 0], image_output="Save", save_prefix="kite"),
    },
}


@pytest.mark.parametrize("name", SAME)
def test_what_made_the_file_is_found(name: str) -> None:
    assert told(SAME[name]) == BASE


def two_texts(joined_by: dict[str, Any]) -> Graph:
    return graph_of(draw=sampler(positive=["both", 0]), more=encoder("dusk"), both=joined_by)


STACKED = {
    "NunchakuFluxLoraStack": {
        "lora_name_1": "ink.safetensors",
        "lora_strength_1": 0.6,
        "lora_name_2": "None",
        "lora_strength_2": 1.0,
    },
    "CR LoRA Stack": {
        "switch_1": "On",
        "lora_name_1": "ink.safetensors",
        "model_weight_1": 0.6,
        "switch_2": "Off",
        "lora_name_2": "off.safetensors",
        "model_weight_2": 1.0,
        "switch_3": "On",
        "lora_name_3": "None",
    },
    "easy loraStack": {
        "toggle": True,
        "num_loras": 1,
        "lora_1_name": "ink.safetensors",
        "lora_1_strength": 0.6,
        "lora_2_name": "off.safetensors",
        "lora_2_strength": 1.0,
    },
    "LoRA Stacker": {
        "input_mode": "advanced",
        "lora_count": 1,
        "lora_name_1": "ink.safetensors",
        "lora_wt_1": 1.0,
        "model_str_1": 0.6,
        "clip_str_1": 1.0,
        "lora_name_2": "off.safetensors",
        "lora_wt_2": 1.0,
    },
    "LoRA Stacker of nobody": {"lora_name_1": "ink.safetensors", "lora_wt_1": 0.6},
}

DIFFERENT: dict[str, tuple[Graph, dict[str, Any]]] = {
    "two conditionings": (
        two_texts(
            node("ConditioningConcat", conditioning_to=["yes", 0], conditioning_from=["more", 0])
        ),
        {"prompt": f"{PROMPT}\ndusk"},
    ),
    "two conditionings, of which a text box leaves one empty": (
        graph_of(
            both=node("ConditioningConcat", conditioning_to=["yes", 0], conditioning_from=["m", 0]),
            m=encoder(["box", 0]),
            box=node("PrimitiveStringMultiline", value=""),
            draw=sampler(positive=["both", 0]),
        ),
        {},
    ),
    "two conditionings at different distances": (
        graph_of(
            area=node("ConditioningSetArea", conditioning=["yes", 0], width=64, height=64),
            both=node("ConditioningCombine", conditioning_1=["area", 0], conditioning_2=["m", 0]),
            m=encoder("dusk"),
            draw=sampler(positive=["both", 0]),
        ),
        {"prompt": f"{PROMPT}\ndusk"},
    ),
    "switch of an unknown pack": (
        graph_of(
            a=node(
                "My ConditioningSwitch", x="b", conditioning1=["no", 0], conditioning2=["yes", 0]
            ),
            draw=sampler(positive=["a", 0], model=["m", 0]),
            m=node("Some Model Switch", which="b", model1=["load", 0], model2=["o", 0]),
            o=node("UNETLoader", unet_name="other.safetensors"),
        ),
        {"prompt": None, "model": None},
    ),
    "loras that a run draws": (
        modelled(
            patch=node("CR Apply LoRA Stack", model=["load", 0], lora_stack=["s", 0]),
            s=node("CR Random LoRA Stack", lora_name_1="ink.safetensors", model_weight_1=0.6),
        ),
        {},
    ),
    "loras in the words of a loader": (
        modelled(
            patch=node("PCLazyLoraLoader", model=["load", 0], text="a kite <lora:ink:0.6>"),
        ),
        {"loras": (LoraUse(name="ink", strength=0.6),)},
    ),
    "two texts of one encoder": (
        graph_of(yes=node("CLIPTextEncodeSDXL", text_g=PROMPT, text_l="dusk", clip=["load", 1])),
        {"prompt": f"{PROMPT}\ndusk"},
    ),
    "language model": (
        texted(words=node("OllamaGenerate", prompt="a kite", model="m")),
        {"prompt": None},
    ),
    "language model in a joined text": (
        texted(
            words=node("StringConcatenate", string_a="a kite", string_b=["llm", 0], delimiter=" "),
            llm=node("TextGenerate", prompt="more", clip=["load", 1]),
        ),
        {"prompt": None},
    ),
    "unknown node between": (
        texted(words=node("Shuffle Words", text=["t", 0]), t=node("PrimitiveString", value="x")),
        {"prompt": None},
    ),
    "random number": (
        graph_of(
            draw=sampler(seed=["n", 0]),
            n=node("Random Number", minimum=0, maximum=9, seed=4, number_type="integer"),
        ),
        {"seed": None},
    ),
    "switch that a run decides": (
        texted(words=node("ComfySwitchNode", switch=["x", 0], on_false="a", on_true="b")),
        {"prompt": None},
    ),
    "silenced": (
        graph_of(no=node("ConditioningZeroOut", conditioning=["yes", 0])),
        {"negative_prompt": None},
    ),
    "two scales": (
        graph_of(
            **GUIDED,
            guider=node(
                "DualCFGGuider",
                model=["load", 0],
                cond1=["yes", 0],
                cond2=["no", 0],
                negative=["no", 0],
                cfg_conds=4.0,
                cfg_cond2_negative=2.0,
            ),
        ),
        {"cfg": 4.0},
    ),
    "guider without a scale": (
        graph_of(**GUIDED, guider=node("BasicGuider", model=["load", 0], conditioning=["yes", 0])),
        {"cfg": None, "negative_prompt": None},
    ),
    "rgthree's stack": (
        modelled(
            patch=node(
                "Lora Loader Stack (rgthree)",
                model=["load", 0],
                lora_01="ink.safetensors",
                strength_01=0.6,
                lora_02="None",
                strength_02=1.0,
            )
        ),
        {"loras": INK},
    ),
    "LoRA Manager": (
        modelled(
            patch=node(
                "Lora Loader (LoraManager)",
                model=["load", 0],
                text="<lora:ink.safetensors:0.6> <lora:off:1>",
                loras={
                    "__value__": [
                        {"name": "ink.safetensors", "strength": "0.6", "active": True},
                        {"name": "off", "strength": 1.0, "active": False},
                    ]
                },
            )
        ),
        {"loras": INK},
    ),
    "tags that a node loads": (
        graph_of(
            yes=node(
                "ImpactWildcardEncode",
                model=["load", 0],
                clip=["load", 1],
                wildcard_text="x",
                populated_text=f"{PROMPT} <lora:ink.safetensors:0.6>",
            ),
            draw=sampler(model=["yes", 0], positive=["yes", 2]),
        ),
        {"loras": INK, "prompt": f"{PROMPT} <lora:ink.safetensors:0.6>"},
    ),
    "tags that a loader takes": (
        {
            "load": node(
                "ttN pipeLoader_v2",
                ckpt_name="kite.safetensors",
                loras="<lora:ink.safetensors:0.6>",
                positive=PROMPT,
                negative=NEGATIVE,
                seed=31,
            ),
            "draw": node(
                "ttN pipeKSampler_v2",
                pipe=["load", 0],
                lora_name="None",
                steps=12,
                cfg=5.5,
                sampler_name="dpmpp_2m",
                scheduler="karras",
                seed=31,
                image_output="Save",
                save_prefix="kite",
            ),
        },
        {"loras": INK},
    ),
    "restorer": (
        graph_of(
            base=node("SUPIR_model_loader_v2", model=["load", 0], supir_model="restore.ckpt"),
            draw=sampler(model=..., SUPIR_model=["base", 0]),
        ),
        {},
    ),
    **{
        name: (
            modelled(
                patch=node("Apply Stack", model=["load", 0], lora_stack=["stack", 0]),
                stack=node(name, **inputs),
            ),
            {"loras": INK},
        )
        for name, inputs in STACKED.items()
    },
    "GGUF": (
        graph_of(
            draw=sampler(model=["g", 0]), g=node("UnetLoaderGGUF", unet_name="kite-Q4_K_S.gguf")
        ),
        {"model": "kite-Q4_K_S.gguf"},
    ),
    "Nunchaku": (
        graph_of(
            draw=sampler(model=["g", 0]),
            g=node("NunchakuFluxDiTLoader", model_path="svdq-kite.safetensors"),
        ),
        {"model": "svdq-kite.safetensors"},
    ),
    "song": (
        graph_of(
            yes=node("TextEncodeAceStepAudio", tags="calm piano", lyrics="la la", clip=["load", 1])
        ),
        {"prompt": "calm piano"},
    ),
    "partner": (
        {
            "1": node("GeminiImage2Node", prompt=PROMPT, model="gemini-3-pro-image", seed=31),
            "2": node("SaveImage", images=["1", 0], filename_prefix="kite"),
        },
        dict.fromkeys(BASE)
        | {"prompt": PROMPT, "seed": "31", "model": "gemini-3-pro-image", "loras": ()},
    ),
    "partner with inputs that come with a choice": (
        {
            "1": node("Wan2TextToVideoApi", seed=31, model="wan2.6", **{"model.prompt": PROMPT}),
            "2": node("SaveVideo", video=["1", 0], filename_prefix="kite", format="auto"),
        },
        dict.fromkeys(BASE) | {"prompt": PROMPT, "seed": "31", "model": "wan2.6", "loras": ()},
    ),
    "WanVideoWrapper": (
        {
            "load": node("WanVideoModelLoader", model="wan_fp8.safetensors", lora=["ink", 0]),
            "ink": node("WanVideoLoraSelect", lora="ink.safetensors", strength=0.6),
            "yes": node("WanVideoTextEncode", positive_prompt=PROMPT, negative_prompt=NEGATIVE),
            "draw": node(
                "WanVideoSampler",
                model=["load", 0],
                text_embeds=["yes", 0],
                steps=12,
                cfg=5.5,
                seed=31,
                scheduler="unipc",
            ),
            "decode": node("WanVideoDecode", samples=["draw", 0]),
            "save": node("VHS_VideoCombine", images=["decode", 0], filename_prefix="kite"),
        },
        {"model": "wan_fp8.safetensors", "loras": INK, "sampler": None, "scheduler": "unipc"},
    ),
}


WORDS: dict[str, tuple[dict[str, Any], str | None]] = {  # a node that gives the text, and it
    "cleaned": (
        node("Text Concatenate", delimiter=" ", clean_whitespace="true", text_a=" a ", text_b=""),
        "a",
    ),
    "as they are": (
        node("Text Concatenate", delimiter=" ", clean_whitespace="false", text_a=" a", text_b="b"),
        " a b",
    ),
    "of more than nine": (
        node("JoinStringMulti", delimiter="", string_2="b", string_10="c", string_1="a"),
        "abc",
    ),
    "a list": (node("JoinStringMulti", delimiter="", string_1="a", return_list=True), None),
    "a delimiter by its name": (
        node("Text Concatenate (JPS)", delimiter="comma", text1="a", text2="b"),
        None,
    ),
    "joined in a third way": (node("ttN concat", delimiter=" ", text1="a", text2="b"), "a b"),
    "trimmed": (node("StringTrim", string=" a ", mode="Both"), "a"),
    "trimmed at its end": (node("StringTrim", string=" a ", mode="Right"), " a"),
    "trimmed somehow": (node("StringTrim", string=" a ", mode="Middle"), None),
    "wildcards that nobody filled in": (node("easy wildcards", text="{a|b}", seed=1), None),
    "wildcards": (node("easy wildcards", text="{a|b}", populated_text="b", seed=1), "b"),
    "translated": (node("ArgosTranslateTextNode", text="a", from_translate="ru"), None),
    "changed by an unknown node": (node("Mangler", text="a", instruction="rewrite"), None),
    "kept by an unknown node": (node("Keeper", text="a", multiline=True), "a"),
    "chosen by a number": (node("easy textSwitch", input=2, text1="a", text2="b"), "b"),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_text_is_what_the_encoder_got_or_nothing(name: str) -> None:
    words, text = WORDS[name]
    assert told(texted(words=words)) == {**BASE, "prompt": text}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_otherwise_is_found_and_nothing_is_guessed(name: str) -> None:
    graph, changes = DIFFERENT[name]
    assert told(graph) == {**BASE, **changes}


def test_what_is_beside_the_common_settings_is_kept() -> None:
    song = DIFFERENT["song"][0]
    assert recipe_of_graph(song).lyrics == "la la"
    assert recipe_of_graph(DIFFERENT["two scales"][0]).cfg_second == 2.0
    flux = graph_of(
        g=node("FluxGuidance", conditioning=["yes", 0], guidance=3.5),
        draw=sampler(positive=["g", 0], cfg=1.0),
    )
    assert (recipe_of_graph(flux).cfg, recipe_of_graph(flux).guidance) == (1.0, 3.5)


def film_from_keyframe() -> Graph:
    return graph_of(
        save=node("PreviewImage", images=["decode", 0]),
        wan=node("UNETLoader", unet_name="film.safetensors"),
        act=encoder("the kite dives"),
        begin=node(
            "WanImageToVideo",
            positive=["act", 0],
            negative=["no", 0],
            start_image=["decode", 0],
            width=512,
            height=640,
            length=17,
            batch_size=1,
        ),
        film=sampler(
            seed=77,
            model=["wan", 0],
            positive=["begin", 0],
            negative=["begin", 1],
            latent_image=["begin", 2],
        ),
        frames=node("VAEDecode", samples=["film", 0], vae=["load", 2]),
        keep=node("SaveAnimatedWEBP", images=["frames", 0], filename_prefix="film"),
    )


def test_a_film_is_not_what_its_keyframe_is() -> None:
    recipe = recipe_of_graph(film_from_keyframe())
    assert (recipe.prompt, recipe.seed, recipe.model) == (
        "the kite dives",
        "77",
        "film.safetensors",
    )
    assert recipe.models == ("film.safetensors",)
    assert [use.seed for use in recipe.samplers] == ["77"]


def av_film() -> Graph:
    """A film with sound, as long as a depth map that another model has drawn."""
    graph = graph_of(
        depth=sampler(seed=1, model=["lotus", 0]),
        lotus=node("UNETLoader", unet_name="lotus.safetensors"),
        map=node("VAEDecode", samples=["depth", 0], vae=["load", 2]),
        size=node("GetImageSize", image=["map", 0]),
        frames=node("EmptyLTXVLatentVideo", width=["size", 0], height=["size", 1], length=9),
        quiet=node("LTXVEmptyLatentAudio", frames_number=["size", 2], frame_rate=25),
        both=node("LTXVConcatAVLatent", video_latent=["frames", 0], audio_latent=["quiet", 0]),
        apart=node("LTXVSeparateAVLatent", av_latent=["draw", 0]),
    )
    graph["draw"]["inputs"].update(latent_image=["both", 0], denoise=0.9)
    graph["decode"]["inputs"].update(samples=["apart", 0])
    return graph


def test_what_only_gives_a_number_has_no_part_in_the_film() -> None:
    assert told(av_film()) == BASE
    assert recipe_of_graph(av_film()).models == ("kite.safetensors",)


@pytest.mark.parametrize("size", ["GetImageSize", "GetImageSizeAndCount", "Get Image Size (JPS)"])
def test_a_picture_that_was_only_measured_is_none_of_the_chain(size: str) -> None:
    slot = {"GetImageSize": 0, "GetImageSizeAndCount": 1, "Get Image Size (JPS)": 0}[size]
    graph = av_film()
    graph["size"]["class_type"] = size
    graph["frames"] = node("Empty Latent by Ratio", pixels_wide=["size", slot])
    assert told(graph) == BASE


@pytest.mark.parametrize(("kind", "model"), [(None, "kite"), (FileKind.AUDIO, "eleven")])
def test_a_voice_that_a_film_is_given_did_not_draw_it(kind: FileKind | None, model: str) -> None:
    graph = av_film()
    graph["quiet"] = node("LTXVAudioVAEEncode", audio=["voice", 0], audio_vae=["load", 2])
    graph["voice"] = node("ElevenLabsTextToSpeech", text="hello", seed=9, model="eleven")
    graph["save"] = node("SaveVideo", video=["film", 0], filename_prefix="kite")
    graph["film"] = node("CreateVideo", images=["decode", 0], audio=["heard", 0], fps=24)
    graph["heard"] = node("LTXVAudioVAEDecode", samples=["apart", 1], audio_vae=["load", 2])
    graph["keep"] = node("SaveAudio", audio=["voice", 0], filename_prefix="voice")
    recipe = recipe_of_graph(graph, SavedFile(kind=kind or FileKind.VIDEOS))
    assert (recipe.model or "").startswith(model)


def both_saved() -> Graph:
    film = film_from_keyframe()
    film["save"] = node("SaveImage", images=["decode", 0], filename_prefix="stills/key%date:yyyy%")
    return film


@pytest.mark.parametrize(
    ("name", "kind", "seed"),
    [
        ("key2026_00001_.png", None, "31"),
        ("film_00001_.webp", None, "77"),
        ("renamed.png", FileKind.IMAGES, "31"),
        ("renamed.webp", FileKind.VIDEOS, "77"),
        ("renamed", None, None),
    ],
)
def test_of_several_saving_nodes_name_and_kind_decide(
    name: str, kind: FileKind | None, seed: str | None
) -> None:
    recipe = recipe_of_graph(both_saved(), SavedFile(name, kind))
    assert recipe.seed == seed
    assert recipe.negative_prompt == NEGATIVE  # of both


def test_the_node_that_saved_it_is_known_of_files_of_ours() -> None:
    assert recipe_of_graph(both_saved(), SavedFile(node_id="save")).seed == "31"


def test_a_preview_that_somebody_kept_is_what_was_previewed() -> None:
    graph = graph_of(
        a_try=sampler(seed=1),
        d=node("VAEDecode", samples=["a_try", 0], vae=["load", 2]),
        show=node("PreviewImage", images=["d", 0]),
    )
    kept = SavedFile("ComfyUI_temp_abcde_00001_.png", FileKind.IMAGES)
    assert recipe_of_graph(graph, kept).seed == "1"


def test_all_samplers_and_models_of_a_chain_are_kept_in_order() -> None:
    low = node("UNETLoader", unet_name="low.safetensors")
    second = sampler(
        "KSamplerAdvanced",
        seed=...,
        noise_seed=0,
        add_noise="disable",
        start_at_step=6,
        model=["low", 0],
        latent_image=["high", 0],
        denoise=...,
    )
    first = sampler("KSamplerAdvanced", seed=..., noise_seed=31, add_noise="enable", denoise=...)
    first["inputs"] |= {"start_at_step": 0, "end_at_step": 6}
    recipe = recipe_of_graph(graph_of(low=low, high=first, draw=second))
    assert (recipe.seed, recipe.model) == ("31", "kite.safetensors")
    assert recipe.models == ("kite.safetensors", "low.safetensors")
    assert [use.seed for use in recipe.samplers] == ["31", "0"]


def test_a_second_pass_over_a_decoded_picture_is_part_of_the_chain() -> None:
    graph = graph_of(
        bigger=node("ImageUpscaleWithModel", image=["decode", 0], upscale_model=["u", 0]),
        encode=node("VAEEncode", pixels=["bigger", 0], vae=["load", 2]),
        again=sampler(seed=5, denoise=0.4, latent_image=["encode", 0]),
        second=node("VAEDecode", samples=["again", 0], vae=["load", 2]),
        save=node("SaveImage", images=["second", 0], filename_prefix="kite"),
    )
    recipe = recipe_of_graph(graph)
    assert (recipe.seed, recipe.steps, recipe.width) == ("31", 12, 512)
    assert [use.seed for use in recipe.samplers] == ["31", "5"]
    assert [use.denoise for use in recipe.samplers] == [1.0, 0.4]


def test_of_a_batch_from_two_samplers_only_what_both_say_is_said() -> None:
    graph = graph_of(
        other=sampler(seed=8),
        d=node("VAEDecode", samples=["other", 0], vae=["load", 2]),
        batch=node("ImageBatch", image1=["decode", 0], image2=["d", 0]),
        save=node("SaveImage", images=["batch", 0], filename_prefix="kite"),
    )
    assert told(graph) == {**BASE, "seed": None}


def test_a_second_stage_that_is_conditioned_by_the_first_comes_after_it() -> None:
    graph = graph_of(
        b=node("UNETLoader", unet_name="stage_b.safetensors"),
        given=node(
            "StableCascade_StageB_Conditioning", conditioning=["yes", 0], stage_c=["draw", 0]
        ),
        last=sampler(seed=8, cfg=1.1, model=["b", 0], positive=["given", 0]),
        decode=node("VAEDecode", samples=["last", 0], vae=["load", 2]),
    )
    recipe = recipe_of_graph(graph)
    assert told(graph) == BASE
    assert recipe.models == ("kite.safetensors", "stage_b.safetensors")
    assert [use.seed for use in recipe.samplers] == ["31", "8"]


def test_a_guider_that_is_given_the_prompt_as_its_negative_side_has_another_one() -> None:
    guider = node("DualCFGGuider", model=["load", 0], cond1=["yes", 0], cond2=["no", 0])
    guider["inputs"] |= {"negative": ["yes", 0], "cfg_conds": 5.5, "cfg_cond2_negative": 2.0}
    assert told(graph_of(**GUIDED, guider=guider)) == BASE


def test_of_a_picture_and_its_refinement_under_one_name_the_common_part_is_said() -> None:
    graph = graph_of(
        other=node("UNETLoader", unet_name="other.safetensors"),
        again=sampler(seed=5, denoise=0.4, latent_image=["draw", 0], model=["other", 0]),
        second=node("VAEDecode", samples=["again", 0], vae=["load", 2]),
        keep=node("SaveImage", images=["second", 0], filename_prefix="kite"),
    )
    recipe = recipe_of_graph(graph)
    assert told(graph) == BASE
    assert recipe.models == ("kite.safetensors",)
    assert [use.seed for use in recipe.samplers] == ["31"]


@pytest.mark.parametrize(
    ("size", "samplers"),
    [((512, 640), ["31"]), ((768, 960), ["31", "5"]), ((1, 1), ["31"]), (None, ["31"])],
)
def test_of_several_saving_nodes_under_one_name_the_size_decides_where_it_can(
    size: tuple[int, int] | None, samplers: list[str]
) -> None:
    graph = graph_of(
        larger=node("LatentUpscale", samples=["draw", 0], width=768, height=960, crop="disabled"),
        again=sampler(seed=5, denoise=0.4, latent_image=["larger", 0]),
        second=node("VAEDecode", samples=["again", 0], vae=["load", 2]),
        keep=node("SaveImage", images=["second", 0], filename_prefix="kite"),
    )
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png", FileKind.IMAGES, size=size))
    assert [use.seed for use in recipe.samplers] == samplers
    graph["larger"] = node("LatentUpscaleBy", samples=["draw", 0], scale_by=1.5)
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png", FileKind.IMAGES, size=size))
    assert [use.seed for use in recipe.samplers] == ["31"]


COMPUTED = node("SimpleMath+", value="a > 1", a=["empty", 0])  # what only a run shows
LARGER = node("LatentUpscaleBy", samples=["draw", 0], scale_by=1.5)
AGAIN: dict[str, Any] = {"seed": 5, "steps": 6, "denoise": 0.4}


def forked(on_true: str, on_false: str, **nodes: Any) -> Graph:
    """A graph with a switch between two nodes, and only a run shows which of them it takes."""
    fork = node("ComfySwitchNode", switch=["n", 0], on_true=[on_true, 0], on_false=[on_false, 0])
    return graph_of(
        n=COMPUTED,
        fork=fork,
        given=node("LoadImage", image="in.png"),
        seen=node("VAEEncode", pixels=["given", 0], vae=["load", 2]),
        larger=LARGER,
        again=sampler(**AGAIN, latent_image=["fork", 0]),
        second=node("VAEDecode", samples=["again", 0], vae=["load", 2]),
        **nodes,
    )


SECOND = {"save": node("SaveImage", images=["second", 0], filename_prefix="kite")}
ONE_OF_TWO = {
    "save": node("SaveImage", images=["fork", 0], filename_prefix="kite"),
    "again": sampler(**AGAIN, latent_image=["larger", 0]),
}
FORKS: dict[str, tuple[Graph, str | None, int | None, list[str | None]]] = {
    "a second pass over one of two pictures": (
        forked("larger", "seen", **SECOND),
        None,
        None,
        [],
    ),
    "a second pass over the first, larger or not": (
        forked("larger", "draw", **SECOND),
        "31",
        12,
        ["31", "5"],
    ),
    "a second pass over one of two pictures that were given": (
        forked("seen", "empty", **SECOND),
        "5",
        6,
        ["5"],
    ),
    "what one or two passes have made": (
        {**forked("second", "decode"), **ONE_OF_TWO},
        "31",
        12,
        ["31"],
    ),
    "what was made, under one of two pictures": (
        {
            **forked("given", "larger"),
            "paste": node("ImageCompositeMasked", destination=["decode", 0], source=["fork", 0]),
            "larger": node("LoadImage", image="other.png"),
            "save": node("SaveImage", images=["paste", 0], filename_prefix="kite"),
        },
        "31",
        12,
        ["31"],
    ),
    "what was made, or a picture that was given": (
        {**forked("given", "decode"), **ONE_OF_TWO},
        None,
        None,
        [],
    ),
}


@pytest.mark.parametrize("name", FORKS)
def test_of_what_a_switch_may_take_only_what_both_say_is_said(name: str) -> None:
    graph, seed, steps, samplers = FORKS[name]
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png", FileKind.IMAGES, size=(1, 1)))
    assert (recipe.seed, recipe.steps) == (seed, steps)
    assert [use.seed for use in recipe.samplers] == samplers
    assert recipe.prompt == (
        PROMPT if seed or "seen" in graph["fork"]["inputs"]["on_false"] else None
    )


def test_of_pictures_with_many_forks_before_them_nothing_is_said() -> None:
    """To follow each fork from each other one would take minutes."""
    graph = graph_of(n=COMPUTED, save=node("SaveImage", images=["b0", 0], filename_prefix="kite"))
    for number in range(200):
        ways = {f"image{way}": [f"b{(number + way) % 200}", 0] for way in range(20)}
        graph[f"b{number}"] = node("ImageBatch", image1=[f"s{number}", 0], image2=["decode", 0])
        graph[f"s{number}"] = node("Some Switch", index=["n", 0], **ways)
    graph["b0"]["inputs"]["image2"] = ["given", 0]
    graph["given"] = node("LoadImage", image="in.png")
    assert told(graph) == {name: () if name == "loras" else None for name in BASE}


def test_merged_models_are_all_kept() -> None:
    graph = modelled(
        patch=node("ModelMergeSimple", model1=["load", 0], model2=["b", 0], ratio=0.5),
        b=node("CheckpointLoaderSimple", ckpt_name="b.safetensors"),
    )
    assert recipe_of_graph(graph).models == ("kite.safetensors", "b.safetensors")


def test_the_first_of_several_models_is_the_first_however_it_is_patched() -> None:
    merged = modelled(
        patch=node("ModelMergeSimple", model1=["ink", 0], model2=["b", 0], ratio=0.5),
        ink=node("LoraLoaderModelOnly", lora_name="ink.safetensors", model=["load", 0]),
        b=node("CheckpointLoaderSimple", ckpt_name="b.safetensors"),
    )
    guided = graph_of(
        **GUIDED,
        guider=node("DualModelGuider", model=["over", 0], model_negative=["b", 0], cfg=5.5),
        over=node("CFGOverride", model=["load", 0], cfg=3.0, start_percent=0.7, end_percent=1.0),
        b=node("UNETLoader", unet_name="b.safetensors"),
    )
    for graph in (merged, guided):
        recipe = recipe_of_graph(graph)
        assert (recipe.model, recipe.models[1:]) == ("kite.safetensors", ("b.safetensors",))


def test_loras_of_the_first_of_several_models_come_first() -> None:
    names = ("both", "ink", "mist")
    both, ink, mist = (node("LoraLoaderModelOnly", lora_name=name, model=...) for name in names)
    both["inputs"]["model"] = ["load", 0]
    ink["inputs"]["model"] = mist["inputs"]["model"] = ["both", 0]
    drawn = sampler("WanMoeKSampler", model=..., model_high_noise=["ink", 0])
    drawn["inputs"]["model_low_noise"] = ["mist", 0]
    recipe = recipe_of_graph(graph_of(draw=drawn, both=both, ink=ink, mist=mist))
    assert tuple(lora.name for lora in recipe.loras) == names


@pytest.mark.parametrize("number", range(3))
def test_circles_come_to_an_end(number: int) -> None:
    circles: list[dict[str, Any]] = [
        {"words": node("StringConcatenate", string_a=["words", 0], string_b="b", delimiter="")},
        {"words": node("ComfySwitchNode", switch=["words", 0], on_true="a", on_false="b")},
        {"words": node("Reroute", **{"": ["words", 0]})},
    ]
    assert told(texted(**circles[number])) == {**BASE, "prompt": None}


DEEP = 3_000
CHAINS: dict[str, dict[str, Any]] = {  # a node, whose link `next` leads to another of its kind
    "switches": node("ComfySwitchNode", switch="next", on_true="a", on_false="b"),
    "choices": node("ImpactSwitch", select="next", input1="next", input2="next"),
    "primitives": node("PrimitiveString", value="next"),
    "texts": node("StringConcatenate", string_a="next", string_b="next", delimiter=""),
    "contexts": node("Context Merge (rgthree)", ctx_01="next", ctx_02="next"),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_of_any_length_come_to_an_end(name: str) -> None:
    inputs, class_type = CHAINS[name]["inputs"], CHAINS[name]["class_type"]
    chain = {
        f"n{n}": node(
            class_type,
            **{key: [f"n{n + 1}", 0] if held == "next" else held for key, held in inputs.items()},
        )
        for n in range(DEEP)
    }
    chain["words"] = chain.pop("n0")
    assert told(texted(**chain)) == {**BASE, "prompt": None}


def test_a_text_that_doubles_at_every_node_stays_small() -> None:
    doubling = {
        f"t{n}": node(
            "StringConcatenate", string_a=[f"t{n + 1}", 0], string_b=[f"t{n + 1}", 0], delimiter=""
        )
        for n in range(40)
    }
    graph = texted(words=doubling.pop("t0"), **doubling, t40=node("PrimitiveString", value="kite"))
    assert told(graph)["prompt"] is None

"""What nodes of packs choose, draw, replace and pass over, each as its own code does it."""

from typing import Any

import pytest

from anime.assets.metadata import LoraUse, SavedFile, recipe_of_graph
from anime.core.graphs import Graph, Node
from tests.unit.test_metadata_graphs import (
    BASE,
    GUIDED,
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

INK_TAG = "<lora:ink.safetensors:0.6>"
SETTINGS: dict[str, Any] = {
    "cfg": 5.5,
    "denoise": 1.0,
    "sampler_name": "dpmpp_2m",
    "scheduler": "karras",
}
FROM_PIPE: dict[str, Any] = {"model": ..., "positive": ..., "negative": ..., "lora_name": "None"}
TYPED = {"positive_prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": 5}


def sided(positive: object, negative: object, **nodes: Node) -> Graph:
    """A graph that encodes these words for both sides."""
    return graph_of(yes=encoder(positive), no=encoder(negative), **nodes)


def saved(link: list[Any], **nodes: Node) -> Graph:
    """A graph with nothing but these nodes, whose film or picture is saved."""
    return {**nodes, "save": node("SaveImage", images=link, filename_prefix="kite")}


def mikey(positive: str) -> Graph:
    words = {**TYPED, "positive_prompt": positive, "style": "anime"}
    return sided(["words", 1], ["words", 2], words=node("Prompt With Style", **words))


ZERO = {"steps": 0, "cfg_scale": 0.0, "sampler_name": "NO", "scheduler": "NO", "denoise": 0.4}


def bmab(*later: Node, **changes: dict[str, Any]) -> Graph:
    """A bundle that samplers of BMAB hand on, each with an image beside it."""
    context = {"seed": 31, "steps": 12, "cfg_scale": 5.5, "sampler_name": "NO", "scheduler": "NO"}
    words = {"prompt": PROMPT, "negative_prompt": NEGATIVE}
    begin = {
        "model": ["load", 0],
        "clip": ["load", 1],
        "context": ["set", 0],
        "latent": ["empty", 0],
    }
    graph = graph_of(
        set=node("BMAB Context", **{**context, **changes.get("set", {})}),
        say=node("BMAB Integrator", **begin, **{**words, **changes.get("say", {})}),
        draw=node("BMAB KSampler", bind=["say", 0], lora=["lora", 0], **{**ZERO, "denoise": 1.0}),
        lora=node("BMAB LoRA Loader", lora_name="ink.safetensors", strength_model=0.6),
    )
    last = "draw"
    for number, each in enumerate(later):
        graph[f"later{number}"] = node(each["class_type"], bind=[last, 0], **each["inputs"])
        last = f"later{number}"
    del graph["decode"]
    return {**graph, "save": node("BMAB Save Image", images=[last, 1], filename_prefix="kite")}


def of_context(mode: str, detailer: str = "FaceDetailer 💬ED") -> Graph:
    """A sampler of Efficiency Nodes ED with settings of its own beside those of its context."""
    load = {**SETTINGS, "seed": 31, "positive": PROMPT, "negative": NEGATIVE}
    own = {**SETTINGS, "seed": 4, "cfg": 1.0, "sampler_name": "own", "scheduler": "own"}
    return saved(
        ["face", 2 if "SEGS" in detailer else 1],
        load=node("Efficient Loader 💬ED", ckpt_name={"content": "kite.safetensors"}, **load),
        draw=node(
            "KSampler (Efficient) 💬ED",
            context=["load", 0],
            set_seed_cfg_sampler=mode,
            steps=12,
            **own,
        ),
        face=node(
            detailer,
            context=["draw", 0],
            set_seed_cfg_sampler="from context",
            steps=7,
            **{**own, "denoise": 0.5},
        ),
    )


UNNAMED: dict[str, Any] = {"sampler": None, "scheduler": None, "loras": INK}
SDXL = {
    "ckpt_name": "kite.safetensors",
    "loras": "",
    "refiner_ckpt_name": "refiner.safetensors",
    "positive_g": PROMPT,
    "positive_l": "",
    "negative_g": NEGATIVE,
    "negative_l": "",
    "seed": 31,
}


def tinyterra(**nodes: Node) -> Graph:
    """A sampler that has all from a pipe, which the node `x` hands on."""
    words = {"ckpt_name": "kite.safetensors", "positive": PROMPT, "negative": NEGATIVE}
    pipe = node("ttN pipeLoader_v2", loras="", **words)
    return graph_of(
        pipe=pipe, draw=sampler("ttN pipeKSampler_v2", pipe=["x", 0], **FROM_PIPE), **nodes
    )


def managed(stack: Node, **nodes: Node) -> Graph:
    """A model that is patched by a stack of LoRA Manager."""
    loader = node("Lora Loader (LoraManager)", model=["load", 0], loras=[], lora_stack=["s", 0])
    return modelled(patch=loader, s=stack, **nodes)


def stacked(name: str) -> Node:
    held = [{"name": name, "strength": 1.0, "active": True}]
    return node("Lora Stacker (LoraManager)", text="", loras=held)


def styled(positive: str, beside: str, **inputs: Any) -> Graph:
    """Words that a styler has for both encoders of SDXL."""
    words = {"text_positive_g": positive, "text_positive_l": beside, "text_negative": NEGATIVE}
    return graph_of(
        style=node("SDXLPromptStylerAdvanced", **words, **inputs),
        yes=node("CLIPTextEncodeSDXL", text_g=["style", 0], text_l=["style", 1]),
        no=encoder(["style", 5]),
    )


def searge(**changes: dict[str, Any]) -> Graph:
    """The magic boxes of Searge, with what they are told in the stream that they hand on."""
    box = {"input_from": "data stream", "output_to": "data stream"}
    size = {"image_width": 1024, "image_height": 1024}
    chain: dict[str, tuple[str, dict[str, Any]]] = {
        "say": (
            "SeargePromptAdapterV2",
            {
                "main_prompt": ["main", 0],
                "secondary_prompt": ["main", 0],
                "negative_main_prompt": NEGATIVE,
            },
        ),
        "mode": ("SeargeOperatingMode", {"prompting_mode": "default - all prompts"}),
        "set": (
            "SeargeGenerationParameters",
            {**SETTINGS, **size, "seed": 31, "steps": 12, "sampler_preset": "none - use settings"},
        ),
        "other": ("SeargeImage2ImageAndInpainting", {"denoise": 0.5}),
        "models": (
            "SeargeModelSelector",
            {"base_checkpoint": "kite.safetensors", "refiner_checkpoint": "refiner"},
        ),
        "loras": ("SeargeLoras", {"lora_1": "ink.safetensors", "lora_1_strength": 0.6}),
        "start": ("SeargePipelineStart", {"wf_version": "4.3"}),
        "load": ("SeargeMagicBox", {**box, "stage": "load checkpoints"}),
        "draw": ("SeargeMagicBox", {**box, "stage": "sampling"}),
        "write": ("SeargeMagicBox", {**box, "stage": "image saving"}),
        "end": ("SeargePipelineTerminator", {}),
    }
    nodes: Graph = {"main": node("SeargeTextInputV2", prompt=PROMPT)}
    before = ""
    for name, (class_type, inputs) in chain.items():
        given = {"data": [before, 0]} if before else {}
        nodes[name] = node(class_type, **given, **{**inputs, **changes.get(name, {})})
        before = name
    return nodes


def fooocus(loader: dict[str, Any] | None = None, **changes: Any) -> Graph:
    """A picture by Fooocus_Nodes."""
    words = {"positive": PROMPT, "negative": NEGATIVE, "resolution": "832 x 1216"}
    models = {"base_model_name": "kite.safetensors", "refiner_model_name": "None"}
    load = {**words, **models, "refiner_switch": 0.5, "optional_lora_stack": ["loras", 0]}
    first = {"lora_1_name": "ink.safetensors", "lora_1_strength": 0.6}
    second = {"lora_2_name": "NO", "lora_2_strength": 1.0}
    settings = {**SETTINGS, "seed": 31, "steps": 12, **changes}
    return {
        "load": node("Fooocus Loader", **{**load, **(loader or {})}),
        "loras": node("Fooocus LoraStack", toggle=True, num_loras=1, **first, **second),
        "set": node("Fooocus PreKSampler", pipe=["load", 0], **settings),
        "draw": node("Fooocus KSampler", pipe=["set", 0], image_output="Hide", save_prefix="x"),
        "large": node("Fooocus Upscale", pipe=["draw", 0], steps=18, image_output="Save"),
    }


LIT = node("CheckpointLoaderSimple", ckpt_name="kite.safetensors")
SPOKEN: dict[str, Any] = {
    **{name: None for name in BASE if name not in {"seed", "loras"}},
    "prompt": PROMPT,
    "seed": "31",
    "loras": (),
}
OF_FILM: dict[str, Any] = {"negative_prompt": None, "cfg": None, "sampler": None}
BOTH_SIDES = {"positive": ["yes", 0], "negative": ["no", 0]}
GUIDER = node("CFGGuider", model=["load", 0], **BOTH_SIDES, cfg=5.5)
NOISED: dict[str, Any] = {"model": ["load", 0], "negative": ["no", 0], "latent_image": ["x", 0]}
RANDOM = {"select_at_random": True, "base_model": "Any"}

GRAPHS: dict[str, tuple[Graph, dict[str, Any]]] = {
    "words that a style is put to": (mikey(PROMPT), {}),
    "words with a number that is drawn": (mikey("a <random:0.1:0.9> kite"), {"prompt": None}),
    "words with the day of the run": (mikey("a kite of %date:yyyy%"), {"prompt": None}),
    "words for each of two encoders": (
        graph_of(
            words=node("Prompt With SDXL", **TYPED, positive_style="dusk", negative_style=""),
            yes=node("CLIPTextEncodeSDXL", text_g=["words", 1], text_l=["words", 3]),
            no=encoder(["words", 2]),
        ),
        {"prompt": f"{PROMPT}\ndusk"},
    ),
    "words that an option joins": (
        graph_of(
            words=node("Prompt With SDXL", **TYPED, output_option="prompt+style -> clip_g"),
            yes=encoder(["words", 1]),
        ),
        {"prompt": None},
    ),
    "conditionings with a style": (
        graph_of(
            mix=node("Prompt With Style V2", clip_base=["load", 1], style="anime", **TYPED),
            draw=sampler(positive=["mix", 1], negative=["mix", 2]),
        ),
        {},
    ),
    "words of a conditioning with a style": (
        sided(["mix", 6], ["mix", 7], mix=node("Prompt With Style V3", **TYPED)),
        {},
    ),
    "a model that is handed on beside both sides": (
        graph_of(
            net=node(
                "ACN_AdvancedControlNetApply_v2",
                **BOTH_SIDES,
                strength=1.0,
                model_optional=["load", 0],
            ),
            draw=sampler(model=["net", 2], positive=["net", 0], negative=["net", 1]),
        ),
        {},
    ),
    "a pipe of tinyterra for two models": (
        {
            "pipe": node("ttN pipeLoaderSDXL_v2", **SDXL),
            "draw": node(
                "ttN pipeKSamplerSDXL_v2",
                sdxl_pipe=["pipe", 0],
                base_steps=12,
                refiner_steps=5,
                image_output="Save",
                save_prefix="kite",
                **SETTINGS,
            ),
        },
        {},
    ),
    "what a loader for two models gives apart": (
        graph_of(
            pipe=node("ttN pipeLoaderSDXL_v2", **SDXL),
            draw=sampler(
                model=["pipe", 1], positive=["pipe", 2], negative=["pipe", 3], seed=["pipe", 11]
            ),
        ),
        {},
    ),
    "sides that a sampler hands on": (
        graph_of(
            first=sampler("ttN KSampler_v2", seed=1, clip=["load", 1], image_output="Hide"),
            draw=sampler(model=["first", 0], positive=["first", 1], negative=["first", 2]),
        ),
        {},
    ),
    "LoRAs that are put into a pipe, as far as they are counted": (
        tinyterra(
            x=node(
                "ttN pipeLoraStack",
                optional_pipe=["pipe", 0],
                toggle=True,
                mode="advanced",
                num_loras=1,
                lora_1_name="ink.safetensors",
                lora_1_strength=9.0,
                lora_1_model_strength=0.6,
                lora_2_name="NO",
                lora_2_strength=1.0,
            )
        ),
        {"loras": INK},
    ),
    "the last of several lines": (
        texted(words=node("ttN textCycleLine", text=f"NO\n{PROMPT}", index=7)),
        {},
    ),
    "one of several LoRAs": (
        modelled(
            patch=node("easy loraStackApply", model=["load", 0], lora_stack=["s", 0]),
            s=node(
                "easy loraSwitcher",
                toggle=True,
                select=2,
                num_loras=3,
                lora_strength=0.6,
                lora_1_name="NO",
                lora_2_name="ink.safetensors",
                lora_3_name="NO",
            ),
        ),
        {"loras": INK},
    ),
    "LoRAs that words name": (
        graph_of(
            tagged=node("easy loraPromptApply", model=["load", 0], positive=INK_TAG),
            yes=encoder(["tagged", 2]),
            draw=sampler(model=["tagged", 0]),
        ),
        {"loras": INK, "prompt": INK_TAG},
    ),
    "words whose LoRAs are taken out": (
        graph_of(
            tagged=node("LoraSyntaxProcessor", model=["load", 0], text=INK_TAG, seed=5),
            yes=encoder(["tagged", 2]),
            draw=sampler(model=["tagged", 0]),
        ),
        {"loras": INK, "prompt": INK_TAG},
    ),
    "a LoRA by a path that a run shows": (
        modelled(
            patch=node(
                "DiTBlockLoraLoader", model=["load", 0], lora_name="NO", opt_lora_path=["p", 0]
            )
        ),
        {},
    ),
    "LoRAs of a node for hooks": (
        graph_of(
            hooks=node("PCLoraHooksFromText", text=INK_TAG),
            clip=node("SetClipHooks", clip=["load", 1], hooks=["hooks", 0]),
            yes=node("CLIPTextEncode", text=PROMPT, clip=["clip", 0]),
        ),
        {"loras": INK},
    ),
    "a model or another with its LoRA": (
        graph_of(
            both=node(
                "Lora Input Switch", model_a=["load", 0], model_b=["inked", 0], boolean=False
            ),
            inked=node("LoraLoader", model=["load", 0], lora_name="ink.safetensors", strength=0.6),
            draw=sampler(model=["both", 0]),
        ),
        {"loras": INK},
    ),
    "a checkpoint that is drawn": (
        graph_of(load=node("Random Checkpoint Loader (LoraManager)", ckpt_name="NO", **RANDOM)),
        {"model": None},
    ),
    "a model that is drawn": (
        graph_of(load=node("Random Unet Loader (LoraManager)", unet_name="NO", **RANDOM)),
        {"model": None},
    ),
    "a checkpoint that is not drawn": (
        graph_of(
            load=node(
                "Random Checkpoint Loader (LoraManager)",
                ckpt_name="kite.safetensors",
                select_at_random=False,
            )
        ),
        {},
    ),
    "LoRAs that are drawn": (
        managed(
            node(
                "Lora Randomizer (LoraManager)",
                randomizer_config={"roll_mode": "always", "execution_seed": 4},
                loras=[{"name": "NO", "strength": 1.0, "active": True}],
            )
        ),
        {},
    ),
    "stacks of LoRAs that are put together": (
        managed(
            node("Lora Stack Combiner (LoraManager)", lora_stack1=["a", 0], lora_stack2=["b", 0]),
            a=stacked("a"),
            b=stacked("b"),
        ),
        {"loras": (LoraUse(name="a", strength=1.0), LoraUse(name="b", strength=1.0))},
    ),
    "LoRAs of WanVideo that words name": (
        saved(
            ["draw", 0],
            model=node("WanVideoModelLoader", model="kite.safetensors", lora=["lora", 0]),
            lora=node("WanVideo Lora Select From Text (LoraManager)", lora_syntax=INK_TAG),
            words=node("WanVideoTextEncode", positive_prompt=PROMPT, negative_prompt=NEGATIVE),
            draw=node(
                "WanVideoSampler",
                model=["model", 0],
                text_embeds=["words", 0],
                seed=31,
                steps=12,
                cfg=5.5,
                scheduler="unipc",
            ),
        ),
        {"loras": INK, "sampler": None, "scheduler": "unipc"},
    ),
    "words to choose from": (
        graph_of(yes=node("Prompt (LoraManager)", text="a {red|blue} kite", clip=["load", 1])),
        {"prompt": None},
    ),
    "words that any LoRA asks for": (
        graph_of(yes=node("Prompt (LoraManager)", text=PROMPT, trigger_words7=["a", 2])),
        {"prompt": None},
    ),
    "words with a seed for what they leave open": (
        texted(words=node("Text (LoraManager)", text=PROMPT, seed=["s", 0])),
        {},
    ),
    "words for both encoders": (
        styled(PROMPT, "dusk", copy_to_l=False),
        {"prompt": f"{PROMPT}\ndusk"},
    ),
    "words for both encoders, copied": (styled(PROMPT, "NO", copy_to_l=True), {}),
    "words for both encoders, in one": (
        graph_of(
            words=node("SDXL Prompt Styler (JPS)", text_positive_g="a", text_positive_l="dusk"),
            yes=encoder(["words", 2]),
        ),
        {"prompt": None},
    ),
    "words with other ones for the second encoder": (
        graph_of(yes=node("HYDiTTextEncode", text="a kite", text_t5="dusk", CLIP=["c", 0])),
        {"prompt": "a kite\ndusk"},
    ),
    "words of a preset": (
        graph_of(
            two=node(
                "CR SDXL Base Prompt Encoder",
                pos_g=PROMPT,
                pos_l="",
                neg_g=NEGATIVE,
                neg_l="",
                preset="preset A",
            ),
            draw=sampler(positive=["two", 0], negative=["two", 1]),
        ),
        {},
    ),
    "words of another preset": (
        graph_of(
            two=node("CR SDXL Base Prompt Encoder", pos_g="a", pos_l="b", preset="preset B"),
            draw=sampler(positive=["two", 0]),
        ),
        {"prompt": None},
    ),
    "wildcards that a loader has filled in": (
        graph_of(
            pipe=node(
                "MakeBasicPipe //Inspire",
                ckpt_name="kite.safetensors",
                positive_wildcard_text="a {red|blue} kite",
                positive_populated_text=PROMPT,
                negative_populated_text=NEGATIVE,
                seed=3,
            ),
            out=node("FromBasicPipe", basic_pipe=["pipe", 0]),
            draw=sampler(model=["out", 0], positive=["out", 3], negative=["out", 4]),
        ),
        {},
    ),
    "words in a pair": (
        sided(
            ["pair", 0],
            ["pair", 1],
            pair=node("UnzipPrompt //Inspire", zipped_prompt=["zip", 0]),
            zip=node("ZipPrompt //Inspire", positive=PROMPT, negative=NEGATIVE),
        ),
        {},
    ),
    "a loader for two stages": (
        graph_of(
            load=node(
                "StableCascade_CheckpointLoader //Inspire",
                stage_b="NO",
                stage_c="kite.safetensors",
            ),
            draw=sampler(model=["load", 2]),
        ),
        {},
    ),
    "a sampler of Kolors": (
        saved(
            ["draw", 0],
            model=node("DownloadAndLoadKolorsModel", model="kite.safetensors"),
            words=node("KolorsTextEncode", prompt=PROMPT, negative_prompt=NEGATIVE),
            draw=node(
                "KolorsSampler",
                kolors_model=["model", 0],
                kolors_embeds=["words", 0],
                seed=31,
                steps=12,
                cfg=5.5,
                scheduler="karras",
            ),
        ),
        {"sampler": None},
    ),
    "a seed and another to vary it": (
        graph_of(
            draw=sampler("KSamplerVariationsWithNoise+", seed=..., main_seed=31, variation_seed=5)
        ),
        {},
    ),
    "a node that does all by itself": (
        saved(
            ["draw", 0],
            draw=node(
                "ailab_OmniGen",
                prompt=PROMPT,
                num_inference_steps=12,
                guidance_scale=5.5,
                seed=31,
            ),
        ),
        {"negative_prompt": None, "sampler": None, "scheduler": None, "model": None},
    ),
    "a number of steps that sigmas stand in for": (
        saved(
            ["draw", 0],
            model=node("MochiModelLoader", model_name="kite.safetensors"),
            words=node("MochiTextEncode", prompt=PROMPT),
            draw=node(
                "MochiSampler",
                model=["model", 0],
                positive=["words", 0],
                steps=50,
                seed=31,
                opt_sigmas=["sigmas", 0],
            ),
            sigmas=node("MochiSigmaSchedule", num_steps=30, denoise=0.6),
        ),
        {**OF_FILM, "steps": None, "scheduler": None},
    ),
    "words for each part of a film": (
        graph_of(
            **{**GUIDED, "guider": GUIDER},
            yes=encoder("NO"),
            parts=node("LTXVMultiPromptProvider", prompts=PROMPT, clip=["load", 1]),
            film=node(
                "LTXVLoopingSampler",
                noise=["noise", 0],
                sampler=["which", 0],
                sigmas=["sigmas", 0],
                guider=["guider", 0],
                latents=["empty", 0],
                optional_positive_conditionings=["parts", 0],
            ),
            decode=node("VAEDecode", samples=["film", 0], vae=["load", 2]),
        ),
        {},
    ),
    "words with times": (
        saved(
            ["draw", 0],
            model=node("LoadFramePackModel", model="kite.safetensors"),
            words=node("FramePackTimestampedTextEncode", text=PROMPT, negative_text=NEGATIVE),
            draw=node(
                "FramePackSampler_F1",
                model=["model", 0],
                positive_timed_data=["words", 0],
                negative=["words", 1],
                seed=31,
                steps=12,
                cfg=5.5,
                guidance_scale=10.0,
                sampler="unipc_bh1",
            ),
        ),
        {"sampler": "unipc_bh1", "scheduler": None},
    ),
    "words that are spoken": (
        saved(
            ["draw", 0],
            draw=node(
                "VibeVoiceTTS",
                model_name="kite.safetensors",
                text=PROMPT,
                cfg_scale=5.5,
                inference_steps=12,
                seed=31,
            ),
        ),
        {"negative_prompt": None, "sampler": None, "scheduler": None},
    ),
    "noise made of a picture by sigmas that rise": (
        graph_of(
            **{**GUIDED, "guider": GUIDER},
            back=node("SamplerCustom", **NOISED, positive=["source", 0], sigmas=["rising", 0]),
            rising=node("FlipSigmas", sigmas=["sigmas", 0]),
            source=encoder("NO"),
            again=sampler(latent_image=["back", 0], denoise=0.9),
            decode=node("VAEDecode", samples=["again", 0], vae=["load", 2]),
        ),
        {},
    ),
    "words that a language model extends": (
        saved(
            ["draw", 0],
            words=node("WanVideoTextEncodeCached", positive_prompt="NO", extender_args=["qwen", 0]),
            draw=node("WanVideoSampler", text_embeds=["words", 0], seed=31, steps=12),
        ),
        {**dict.fromkeys(BASE), "seed": "31", "steps": 12, "loras": ()},
    ),
    "words of regions beside the sampler's": (
        modelled(
            patch=node("AttentionCouplePPM", model=["flux", 0], cond_1=["a", 0], mask_1=["m", 0]),
            flux=node("ApplyRegionalConds", model=["load", 0], region_conds=["r2", 0]),
            r2=node("CreateRegionalCond", cond=["c", 0], prev_regions=["r1", 0]),
            r1=node("CreateRegionalCond", cond=["b", 0]),
            a=encoder("a tower"),
            b=encoder("dusk"),
            c=encoder("ink"),
        ),
        {"prompt": f"{PROMPT}\na tower\ndusk\nink"},
    ),
    "a pipe for two models": (
        graph_of(
            basic=node("ToBasicPipe", model=["load", 0], **BOTH_SIDES),
            other=node("ToBasicPipe", model=["NO", 0], positive=["no", 0], negative=["yes", 0]),
            pipe=node(
                "BasicPipeToDetailerPipeSDXL",
                base_basic_pipe=["basic", 0],
                refiner_basic_pipe=["other", 0],
            ),
            out=node("FromDetailerPipeSDXL", detailer_pipe=["pipe", 0]),
            draw=sampler(model=["out", 1], positive=["out", 4], negative=["out", 5]),
        ),
        {},
    ),
    "a positive side for low noise": (
        graph_of(
            film=node("WanFirstMiddleLastFrameToVideo", **BOTH_SIDES),
            draw=sampler(positive=["film", 1], negative=["film", 2]),
        ),
        {},
    ),
    "sides that are given behind a latent": (
        graph_of(
            film=node("PainterS2Vplus", **BOTH_SIDES),
            draw=sampler(positive=["film", 1], negative=["film", 2], latent_image=["film", 0]),
        ),
        {},
    ),
    "models for high and low noise": (
        graph_of(
            low=node("UNETLoader", unet_name="low"),
            film=node(
                "PainterAI2V",
                model_high_noise=["load", 0],
                model_low_noise=["low", 0],
                **BOTH_SIDES,
            ),
            draw=sampler(
                "PainterSampler",
                **dict.fromkeys(("model", "cfg"), ...),
                high_model=["film", 0],
                low_model=["film", 1],
                high_cfg=5.5,
                low_cfg=1.0,
                positive=["film", 2],
                negative=["film", 3],
            ),
        ),
        {},
    ),
    "sides that are taken the other way round": (
        graph_of(
            net=node("ControlNetApplyAdvanced", **BOTH_SIDES),
            draw=sampler(positive=["net", 1], negative=["net", 0]),
        ),
        {"prompt": None, "negative_prompt": None},
    ),
    "three stages with models of their own": (
        graph_of(
            high=LIT,
            fast=LIT,
            low=node("CheckpointLoaderSimple", ckpt_name="low"),
            draw=sampler(
                "TripleKSamplerAdvanced",
                **dict.fromkeys(("model", "steps", "cfg", "sampler_name", "scheduler"), ...),
                base_high=["high", 0],
                lightning_high=["fast", 0],
                lightning_low=["low", 0],
                base_steps=3,
                base_cfg=5.5,
                base_sampler="dpmpp_2m",
                base_scheduler="karras",
                lightning_start=1,
                lightning_steps=8,
                lightning_cfg=1.0,
                lightning_sampler="NO",
            ),
        ),
        {"steps": None},
    ),
    "samplers of which each picture has one": (
        graph_of(draw=sampler("FluxSamplerParams+", sampler_name=..., sampler="euler\ndpmpp_2m")),
        {"sampler": None},
    ),
    "three stages without the first": (
        graph_of(
            high=node("CheckpointLoaderSimple", ckpt_name="NO"),
            draw=sampler(
                "TripleKSamplerWan22Lightning",
                **dict.fromkeys(("model", "steps", "cfg"), ...),
                base_high=["high", 0],
                lightning_high=["load", 0],
                lightning_low=["load", 0],
                base_steps=-1,
                base_cfg=3.5,
                lightning_start=0,
                lightning_steps=12,
                lightning_cfg=5.5,
            ),
        ),
        {},
    ),
    "three stages of WanVideo": (
        graph_of(
            both=node("WanVideoTextEncode", positive_prompt=PROMPT, negative_prompt=NEGATIVE),
            draw=node(
                "TripleWVSampler",
                base_high=["load", 0],
                lightning_high=["load", 0],
                lightning_low=["load", 0],
                text_embeds=["both", 0],
                seed=31,
                base_cfg=5.5,
                base_scheduler="karras",
                lightning_start=1,
                lightning_steps=8,
                lightning_cfg=1.0,
            ),
        ),
        {"steps": None, "sampler": None},
    ),
    "words that an encoder of Qwen-Image gets": (
        graph_of(yes=node("QwenVLTextEncoder", clip=["load", 1], text=PROMPT, system_prompt="NO")),
        {},
    ),
    "words that a template of Qwen-Image stands in for": (
        graph_of(yes=node("QwenVLTextEncoder", text="NO", template_output=["template", 0])),
        {"prompt": None},
    ),
    "a scale by its name in Qwen-Image": (
        graph_of(draw=sampler("QwenInpaintSampler", cfg=..., true_cfg_scale=5.5)),
        {},
    ),
    "a model beside the one that rewrites words": (
        saved(
            ["draw", 0],
            load=node("HunyuanImage3QuantizedLoader", model_name="kite.safetensors"),
            draw=node(
                "HunyuanImage3Generate",
                model=["load", 0],
                prompt=PROMPT,
                seed=31,
                steps=12,
                guidance_scale=5.5,
                model_name="NO",
            ),
        ),
        {"negative_prompt": None, "sampler": None, "scheduler": None},
    ),
    "an instruction": (
        saved(
            ["draw", 0],
            draw=node("HunyuanInstructImageEdit", instruction=PROMPT, seed=31, image=["photo", 0]),
        ),
        SPOKEN,
    ),
    "words that a voice speaks": (
        saved(
            ["draw", 0],
            draw=node(
                "VibeVoiceSingleSpeakerNode",
                text=PROMPT,
                model="kite.safetensors",
                diffusion_steps=12,
                cfg_scale=5.5,
                seed=31,
            ),
        ),
        {**SPOKEN, "model": "kite.safetensors", "steps": 12, "cfg": 5.5},
    ),
    "words that a voice of a model speaks": (
        saved(
            ["draw", 0],
            load=node("DiaLoader", ckpt_name="kite.safetensors"),
            draw=node("DiaGenerate", dia_model=["load", 0], text=PROMPT, seed=31),
        ),
        {**SPOKEN, "model": "kite.safetensors"},
    ),
    "words that a voice of a sample speaks": (
        saved(["draw", 0], draw=node("F5TTSAudioInputs", speech=PROMPT, sample_text="NO", seed=31)),
        SPOKEN,
    ),
    "words that a voice of a description speaks": (
        saved(
            ["draw", 0], draw=node("FB_Qwen3TTSVoiceDesign", text=PROMPT, instruct="NO", seed=31)
        ),
        SPOKEN,
    ),
    "settings of a song": (
        saved(
            ["draw", 0],
            set=node("GenerationParameters", infer_step=12, guidance_scale=5.5, seed=1),
            draw=node(
                "ACEStepEdit", parameters=["set", 0], prompt="NO", edit_prompt=PROMPT, seed=31
            ),
        ),
        {**SPOKEN, "steps": 12, "cfg": 5.5},
    ),
    "a picture by a model of words": (
        saved(
            ["draw", 0],
            draw=node(
                "BagelTextToImage", prompt=PROMPT, seed=31, cfg_text_scale=5.5, num_timesteps=12
            ),
        ),
        {**SPOKEN, "steps": 12, "cfg": 5.5},
    ),
    "a film with sound": (
        saved(
            ["draw", 0],
            draw=node(
                "OviVideoGenerator",
                text_prompt=PROMPT,
                seed=31,
                sample_steps=12,
                video_guidance_scale=5.5,
                video_negative_prompt=NEGATIVE,
                audio_negative_prompt="NO",
            ),
        ),
        {**SPOKEN, "negative_prompt": NEGATIVE, "steps": 12, "cfg": 5.5},
    ),
    "a shape of a picture": (
        saved(
            ["draw", 0],
            draw=node("Hy3DMeshGenerator", model="kite.safetensors", steps=12, seed=31),
        ),
        {**SPOKEN, "prompt": None, "model": "kite.safetensors", "steps": 12},
    ),
    "settings that are put together": (
        saved(
            ["draw", 0],
            set=node(
                "LightX2VInferenceConfig",
                model_name="kite.safetensors",
                infer_steps=12,
                seed=31,
                cfg_scale=5.5,
            ),
            all=node("LightX2VConfigCombiner", inference_config=["set", 0]),
            draw=node(
                "LightX2VModularInference",
                combined_config=["all", 0],
                prompt=PROMPT,
                negative_prompt=NEGATIVE,
                image=["photo", 0],
            ),
        ),
        {"sampler": None, "scheduler": None},
    ),
    "a pipe that holds all that a generator is told": (
        saved(
            ["draw", 0],
            set=node(
                "LightX2VInferenceConfig",
                model_name="kite.safetensors",
                infer_steps=12,
                seed=31,
                cfg_scale=5.5,
            ),
            last=node("LightX2VLoRALoader", lora_name="last", strength=1.0, lora_chain=["lora", 0]),
            lora=node("LightX2VLoRALoader", lora_name="ink.safetensors", strength=0.6),
            all=node(
                "LightX2VConfigCombinerV2",
                inference_config=["set", 0],
                prompt=PROMPT,
                negative_prompt=NEGATIVE,
                lora_chain=["last", 0],
            ),
            draw=node("LightX2VModularInferenceV2", prepared_config=["all", 0]),
        ),
        {
            "sampler": None,
            "scheduler": None,
            "loras": (*INK, LoraUse(name="last", strength=1.0)),
        },
    ),
    "a LoRA of a voice": (
        saved(
            ["draw", 0],
            draw=node(
                "VibeVoiceSingleSpeakerNode",
                text=PROMPT,
                model="kite.safetensors",
                seed=31,
                cfg_scale=5.5,
                diffusion_steps=12,
                lora=["lora", 0],
            ),
            lora=node("VibeVoiceLoRANode", lora_name="ink.safetensors", llm_strength=0.6),
        ),
        {"negative_prompt": None, "sampler": None, "scheduler": None, "loras": INK},
    ),
    "a LoRA that is weighted by blocks": (
        modelled(
            patch=node(
                "ApplyLBW //Inspire",
                model=["load", 0],
                clip=["load", 1],
                lbw_model=["lora", 0],
                strength_model=0.6,
                strength_clip=1.0,
            ),
            lora=node("MakeLBW //Inspire", lora_name="ink.safetensors", block_vector="1,1"),
        ),
        {"loras": INK},
    ),
    "a LoRA that was weighted by blocks before": (
        modelled(
            patch=node(
                "ApplyLBW //Inspire",
                model=["load", 0],
                lbw_model=["lora", 0],
                strength_model=0.6,
                strength_clip=1.0,
            ),
            lora=node("LoadLBW //Inspire", lbw_model="ink.safetensors"),
        ),
        {"loras": INK},
    ),
    "settings of a context that go before its own": (of_context("from context"), {}),
    "settings of its own beside a context": (
        of_context("from node only"),
        {"seed": "4", "cfg": 1.0, "sampler": "own", "scheduler": "own"},
    ),
    "a bundle of BMAB": (bmab(), UNNAMED),
    "a bundle of BMAB with a seed of its own": (
        bmab(set={"seed": 5, "seed_in": ["n", 0]}) | {"n": node("BMAB SeedGenerator", seed=31)},
        UNNAMED,
    ),
    "a bundle of BMAB that files fill in": (
        bmab(say={"prompt": "a __colour__ kite"}),
        {**UNNAMED, "prompt": None},
    ),
    "a bundle of BMAB with other words": (
        bmab(node("BMAB Prompt", text="a face"), node("BMAB Face Detailer", **ZERO)),
        UNNAMED,
    ),
    "a pipe of Fooocus": (fooocus(), {"loras": INK}),
    "a sampler that changes what is set": (
        fooocus(sampler_name="lcm"),
        {"loras": INK, "sampler": "lcm", "scheduler": "sgm_uniform", "cfg": 1.0},
    ),
    "wildcards of Fooocus": (
        fooocus({"positive": "a __colour__ kite"}),
        {"loras": INK, "prompt": None},
    ),
    "channels of a pipe": (
        graph_of(
            first=node("CR 8 Channel In", ch1=["load", 0], ch2=["no", 0]),
            pipe=node("CR 8 Channel In", pipe=["first", 0], ch2=["yes", 0]),
            out=node("CR 8 Channel Out", pipe=["pipe", 0]),
            draw=sampler(model=["out", 1], positive=["out", 2]),
        ),
        {},
    ),
    "a switch by a setting": (
        texted(words=node("TwoWaySwitch", selection_setting=2, input_1="NO", input_2=PROMPT)),
        {},
    ),
    "magic boxes": (searge(), {"loras": INK}),
    "magic boxes with a preset": (
        searge(set={"sampler_preset": "2 - Euler a"}),
        {"loras": INK, "sampler": "euler_ancestral", "scheduler": "normal"},
    ),
    "magic boxes with a preset of another release": (
        searge(set={"sampler_preset": "9 - Something"}),
        {"loras": INK, "sampler": None, "scheduler": None},
    ),
    "magic boxes that use some of the words": (
        searge(mode={"prompting_mode": "main and neg. only"}),
        {"loras": INK, "prompt": None, "negative_prompt": None},
    ),
}


WORDS: dict[str, Any] = {"positive_prompt": PROMPT, "negative_prompt": ["words", 0], "width": 512}
MODELS = {"model_high_noise": ["load", 0], "model_low_noise": ["low", 0]}
SPLIT = {"steps_high_noise": 5, "steps_low_noise": 7, "cfg_high_noise": 5.5, "cfg_low_noise": 1.0}
GRAPHS |= {
    "words that an integrated sampler encodes": (
        saved(
            ["draw", 0],
            load=LIT,
            words=node("PrimitiveString", value=NEGATIVE),
            draw=node(
                "QwenImageIntegratedKSampler",
                **{**WORDS, **SETTINGS, "seed": 31, "steps": 12, "model": ["load", 0]},
                clip=["load", 1],
                generation_mode="text-to-image",
            ),
        ),
        {},
    ),
    "words and model of a speaker's film": (
        saved(
            ["draw", 0],
            load=node(
                "LongCat_Video_SM_Model", diffusion_models="kite.safetensors", gguf="none", vae="NO"
            ),
            words=node("LongCat_Video_SM_Encode", prompt=PROMPT, negative_prompt=NEGATIVE),
            draw=node(
                "LongCat_Video_SM_Sampler",
                model=["load", 0],
                te_cond=["words", 0],
                seed=31,
                steps=12,
                text_guidance_scale=5.5,
                audio_guidance_scale=1.0,
            ),
        ),
        {"sampler": None, "scheduler": None},
    ),
    "words that an integrated sampler of two models encodes": (
        saved(
            ["draw", 0],
            load=LIT,
            low=node("UNETLoader", unet_name="low.safetensors"),
            words=node("PrimitiveString", value=NEGATIVE),
            draw=node(
                "WanVideoIntegratedKSampler",
                **{**WORDS, **MODELS, **SPLIT, "noise_seed": 31, "length": 81, "height": 640},
                sampler_name="dpmpp_2m",
                scheduler="karras",
                clip=["load", 1],
            ),
        ),
        {"steps": None},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_value_is_what_the_code_of_the_pack_makes_of_it(name: str) -> None:
    graph, changes = GRAPHS[name]
    assert told(graph) == {**BASE, **changes}


def two(class_type: str = "KSampler", **changes: Any) -> Graph:
    """A picture by two samplers, of which the second is otherwise."""
    second = sampler(class_type, **{"seed": 9, "latent_image": ["draw", 0], **changes})
    return graph_of(again=second, decode=node("VAEDecode", samples=["again", 0], vae=["load", 2]))


TILED = {"latent_image": ..., "samples": ["draw", 0], "base_model": ["load", 0], "denoise": ...}


def extended() -> Graph:
    """A film that a second sampler makes longer."""
    guided = {**GUIDED["draw"]["inputs"], "latent_image": None}
    first = {**guided, "noise": ["first", 0], "width": 768, "height": 512, "num_frames": 97}
    return graph_of(
        **{**GUIDED, "guider": GUIDER, "first": node("RandomNoise", noise_seed=7)},
        base=node("LTXVBaseSampler", **first),
        longer=node("LTXVExtendSampler", **guided, latents=["base", 0], num_new_frames=80),
        decode=node("VAEDecode", samples=["longer", 0], vae=["load", 2]),
    )


def efficient(*scripts: Node, **changes: Any) -> Graph:
    """A picture by a sampler with scripts, each of which is given the next one."""
    named = {f"script{index}": script for index, script in enumerate(scripts)}
    for index in range(len(scripts) - 1):
        link = {"script": [f"script{index + 1}", 0]}
        named[f"script{index}"] = node(
            scripts[index]["class_type"], **scripts[index]["inputs"], **link
        )
    saving = node("SaveImage", images=["draw", 5], filename_prefix="kite")
    draw = sampler("KSampler (Efficient)", script=["script0", 0], **changes)
    return graph_of(draw=draw, save=saving, **named)


def hires(**changes: Any) -> Node:
    inputs = {"upscale_type": "latent", "iterations": 1, "hires_ckpt_name": "(use same)"}
    seeds = {"use_same_seed": False, "seed": 9, "hires_steps": 8, "denoise": 0.5}
    return node("HighRes-Fix Script", **{**inputs, **seeds, **changes})


def pasted() -> Graph:
    """A picture of which some pieces are made anew."""
    pipe = node("ToBasicPipe", model=["load", 0], positive=["yes", 0], negative=["no", 0])
    given = {**FROM_PIPE, "negative": ..., "latent_image": ..., "lora_name": ...}
    return graph_of(
        bundle=pipe,
        photo=node("VAEDecode", samples=["draw", 0], vae=["load", 2]),
        found=node("BboxDetectorSEGS", image=["photo", 0], threshold=0.5),
        again=sampler(
            "SEGSDetailer",
            **{**given, "seed": 9, "denoise": 0.3},
            image=["photo", 0],
            segs=["found", 0],
            basic_pipe=["bundle", 0],
        ),
        decode=node("SEGSPaste", image=["photo", 0], segs=["again", 0], feather=5),
    )


TILES = node("Tiled Upscaler Script", seed=7, tiling_steps=30, denoise=0.4)
CHAINS = {
    "one with a script": (efficient(hires()), ["31", "9"]),
    "one with a script and its seed": (efficient(hires(use_same_seed=True)), ["31", "31"]),
    "one with a script that only enlarges": (efficient(hires(upscale_type="pixel")), ["31"]),
    "one with scripts in any order": (efficient(TILES, hires()), ["31", "9", "7"]),
    "one of two that does nothing": (two(denoise=0.0), ["31"]),
    "one of a pack that does nothing": (
        {
            **two("KSampler (Efficient)", denoise=0.0),
            "decode": node("VAEDecode", samples=["again", 3], vae=["load", 2]),
        },
        ["31"],
    ),
    "one that does nothing by a number of another node": (
        {**two("easy kSampler", denoise=["zero", 0]), "zero": node("FloatConstant", value=0.0)},
        ["31"],
    ),
    "one that does nothing but by its script": (efficient(hires(), denoise=0.0), ["9"]),
    "one with a script that does nothing": (efficient(hires(denoise=0.0)), ["31"]),
    "one that is given no sigmas": (
        {
            **two("SamplerCustom", sigmas=["none", 0], denoise=...),
            "none": node("BasicScheduler", scheduler="simple", steps=5, denoise=0.0),
        },
        ["31"],
    ),
    "one that begins anew": (two("MikeySamplerTiledAdvanced", denoise_image=1.0, **TILED), ["9"]),
    "one that goes on": (two("MikeySamplerTiledAdvanced", denoise_image=0.4, **TILED), ["31", "9"]),
    "one that is given a picture instead": (
        two("MikeySamplerTiledAdvanced", denoise_image=0.4, image_optional=["photo", 0], **TILED),
        ["9"],
    ),
    "one that makes a film longer": (extended(), ["7", "31"]),
    "one that goes back to noise": (two("easy unSampler"), ["31"]),
    "one whose pieces are put into the picture": (pasted(), ["31", "9"]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_only_what_has_made_a_part_of_the_picture_is_among_the_samplers(name: str) -> None:
    graph, seeds = CHAINS[name]
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png"))
    assert [use.seed for use in recipe.samplers] == seeds


def test_a_script_tells_its_own_model_steps_and_denoise() -> None:
    graph = efficient(hires(hires_ckpt_name="other.safetensors"))
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png"))
    last = recipe.samplers[-1]
    assert recipe.models == ("kite.safetensors", "other.safetensors")
    assert (last.steps, last.denoise, last.cfg, last.sampler) == (8, 0.5, 5.5, "dpmpp_2m")


def test_what_only_a_script_samples_is_of_its_settings() -> None:
    graph = efficient(hires(), denoise=0.0)
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png"))
    assert (recipe.seed, recipe.steps, recipe.prompt) == ("9", 8, PROMPT)


def sdxl_tuple(begins: object, **loader: Any) -> Graph:
    """A picture by a sampler of Efficiency Nodes for two models."""
    words = {"positive": PROMPT, "negative": NEGATIVE, "base_ckpt_name": "kite.safetensors"}
    pair = node("Eff. Loader SDXL", **words, refiner_ckpt_name="refiner", **loader)
    draw = sampler(
        "KSampler SDXL (Eff.)", **FROM_PIPE, sdxl_tuple=["pair", 0], refine_at_step=begins
    )
    return saved(["draw", 3], pair=pair, draw=draw)


def tiny_pair(**changes: Any) -> Graph:
    second = {"refiner_steps": 5, "refiner_cfg": 4.0, "refiner_denoise": 0.9}
    draw = {**SETTINGS, **second, "base_steps": 12, "image_output": "Save", **changes}
    return {
        "pipe": node("ttN pipeLoaderSDXL_v2", **SDXL),
        "draw": node("ttN pipeKSamplerSDXL_v2", sdxl_pipe=["pipe", 0], **draw),
    }


def detailed(ratio: float) -> Graph:
    second = node("CheckpointLoaderSimple", ckpt_name="refiner")
    pipe = {"model": ["load", 0], "positive": ["yes", 0], "negative": ["no", 0]}
    other = node("ToBasicPipe", **{**pipe, "model": ["second", 0]})
    detail = sampler(
        "DetailerForEachPipe",
        **{**FROM_PIPE, "latent_image": ..., "denoise": 1.0},
        image=["photo", 0],
        basic_pipe=["bundle", 0],
        refiner_basic_pipe_opt=["other", 0],
        refiner_ratio=ratio,
    )
    bundle = node("ToBasicPipe", **pipe)
    return graph_of(second=second, other=other, bundle=bundle, decode=detail)


BOTH = ("kite.safetensors", "refiner")
PAIRS: dict[str, tuple[Graph, tuple[str, ...]]] = {
    "of Efficiency Nodes": (sdxl_tuple(10), BOTH),
    "of Efficiency Nodes that never begins": (sdxl_tuple(-1), BOTH[:1]),
    "of Efficiency Nodes that begins after the end": (sdxl_tuple(12), BOTH[:1]),
    "of Efficiency Nodes that begins nobody knows when": (sdxl_tuple(["x", 0]), BOTH[:1]),
    "of tinyterra": (tiny_pair(), ("kite.safetensors", "refiner.safetensors")),
    "of tinyterra without steps": (tiny_pair(refiner_steps=0), BOTH[:1]),
    "of Searge": (searge(set={"base_vs_refiner_ratio": 0.8}), BOTH),
    "of Searge that has no share": (searge(set={"base_vs_refiner_ratio": 1.0}), BOTH[:1]),
    "of Searge that is none": (
        searge(set={"base_vs_refiner_ratio": 0.8}, models={"refiner_checkpoint": "none"}),
        BOTH[:1],
    ),
    "of Fooocus": (fooocus({"refiner_model_name": "refiner"}), BOTH),
    "of Fooocus that a sampler leaves out": (
        fooocus({"refiner_model_name": "refiner"}, sampler_name="lcm"),
        BOTH[:1],
    ),
    "of a detailer": (detailed(0.2), BOTH),
    "of a detailer that has no share": (detailed(0.0), BOTH[:1]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_refiner_is_among_the_models_if_it_has_done_some_of_the_steps(name: str) -> None:
    graph, models = PAIRS[name]
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png"))
    assert (recipe.models, recipe.model, len(recipe.samplers)) == (models, models[0], len(models))


@pytest.mark.parametrize(
    ("mode", "seeds"), [("from context", ["31", "31"]), ("from node only", ["4", "31"])]
)
@pytest.mark.parametrize(
    "detailer", ["FaceDetailer 💬ED", "MaskDetailer 💬ED", "Detailer (SEGS) 💬ED"]
)
def test_a_detailer_with_a_context_has_the_settings_of_that(
    mode: str, seeds: list[str], detailer: str
) -> None:
    recipe = recipe_of_graph(of_context(mode, detailer), SavedFile("kite_00001_.png"))
    assert [use.seed for use in recipe.samplers] == seeds
    assert [use.steps for use in recipe.samplers] == [12, 7]


def test_a_context_that_others_only_pass_on_has_the_same_settings() -> None:
    graph = of_context("from context")
    graph["draw"]["inputs"]["context"] = ["switch", 0]
    graph["face"]["inputs"]["context"] = ["dot", 0]
    passed = {
        **graph,
        "dot": node("Reroute", **{"": ["draw", 0]}),
        "switch": node("ImpactSwitch", select=2, input1=["dot", 0], input2=["any", 0]),
        "any": node("Any Switch (rgthree)", any_01=["load", 0]),
    }
    recipes = [
        recipe_of_graph(each, SavedFile("kite_00001_.png"))
        for each in (of_context("from context"), passed)
    ]
    assert recipes[1].samplers == recipes[0].samplers


def test_what_a_bundle_of_bmab_goes_through_is_told_in_its_order() -> None:
    graph = bmab(
        node("BMAB KSamplerHiresFix", **{**ZERO, "steps": 7, "cfg_scale": 4.0}),
        node("BMAB ControlNet", image=["photo", 0]),
        node("BMAB Face Detailer", **ZERO),
    )
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_31_.png"))
    assert [(use.steps, use.cfg, use.denoise) for use in recipe.samplers] == [
        (12, 5.5, 1.0),
        (7, 4.0, 0.4),
        (12, 5.5, 0.4),
    ]
    assert ({use.seed for use in recipe.samplers}, recipe.loras) == ({"31"}, INK)


def test_models_for_high_and_low_noise_that_one_node_hands_on_are_both_told() -> None:
    graph, _ = GRAPHS["models for high and low noise"]
    assert recipe_of_graph(graph, SavedFile("kite_00001_.png")).models == (
        "kite.safetensors",
        "low",
    )


def test_a_refiner_has_steps_and_scales_of_its_own() -> None:
    recipe = recipe_of_graph(tiny_pair(), SavedFile("kite_00001_.png"))
    assert [(use.steps, use.cfg, use.denoise) for use in recipe.samplers] == [
        (12, 5.5, 1.0),
        (5, 4.0, 0.9),
    ]


def loaded(**inputs: Any) -> Graph:
    pipe = node("easy fullLoader", ckpt_name="k", positive="a", negative="b", **inputs)
    size = {"width": 1024, "height": 1024, "rescale": "by percentage", "latent_image": ...}
    return graph_of(
        pipe=pipe, draw=sampler("ttN pipeKSampler_v2", pipe=["pipe", 0], **FROM_PIPE, **size)
    )


def preset_of(class_type: str, slot: int = 0, **inputs: Any) -> Graph:
    """A latent whose sides come from a node with presets, from that output on."""
    sides = {"width": ["size", slot], "height": ["size", slot + 1]}
    return graph_of(
        size=node(class_type, **inputs), empty=node("EmptyLatentImage", **sides, batch_size=1)
    )


PORTRAIT: dict[str, Any] = {"width": 512, "height": 640, "aspect_ratio": "3:4 portrait 896x1152"}
CUSTOM = {"empty_latent_width": 512, "empty_latent_height": 640}
GENERATED = {"ckpt_name": "k", "seed": 1, "steps": 2, "cfg": 3.0, "aspect_ratio": "3:4 portrait"}
SIZES = {
    "of settings beside which a preset stands": (
        graph_of(
            all=node("SDParameterGenerator", **GENERATED, width=512, height=640),
            empty=node("EmptyLatentImage", width=["all", 13], height=["all", 14], batch_size=1),
        ),
        (None, None),
    ),
    "of a preset": (loaded(resolution="832 x 1216", **CUSTOM), (832, 1216)),
    "typed": (loaded(resolution="width x height (custom)", **CUSTOM), (512, 640)),
    "of a preset that is put otherwise": (
        preset_of("CR SDXL Aspect Ratio", **PORTRAIT),
        (896, 1152),
    ),
    "of a preset that lies on its side": (
        preset_of("CR SDXL Aspect Ratio", **PORTRAIT, swap_dimensions="On"),
        (1152, 896),
    ),
    "of a preset with a factor": (
        preset_of("CR Aspect Ratio", **PORTRAIT, prescale_factor=1.5),
        (1344, 1728),
    ),
    "of a preset with a factor that is not known": (
        preset_of("CR Aspect Ratio", **PORTRAIT, prescale_factor=["x", 0]),
        (None, None),
    ),
    "of a preset that gives another one": (
        preset_of("CR Aspect Ratio Banners", aspect_ratio="Banner - 468x60", prescale_factor=1.0),
        (168, 60),
    ),
    "of paper": (
        preset_of(
            "CR_Aspect Ratio For Print",
            aspect_ratio="Letter (8.5 x 11 inches) - 2550x3300",
            prescale_factor=1.0,
        ),
        (2550, 3300),
    ),
    "typed beside presets": (
        preset_of("CR SDXL Aspect Ratio", width=512, height=640, aspect_ratio="custom"),
        (512, 640),
    ),
    "typed over a preset": (
        preset_of(
            "SDXLEmptyLatentSizePicker+",
            resolution="832x1216 (0.68)",
            width_override=768,
            height_override=0,
            slot=1,
        ),
        (768, 1216),
    ),
    "of a preset in a latent": (
        graph_of(
            empty=node("SDXL Empty Latent Image (rgthree)", dimensions=" 832 x 1216  (portrait)")
        ),
        (832, 1216),
    ),
    "of a preset behind other words": (
        preset_of("Flux2EmptyLatentPresets", preset="1MP | 3:2 | 1216 x 832", invert=True, slot=1),
        (832, 1216),
    ),
    "of a preset, upright": (
        preset_of("FL_KsamplerSettings", Aspect_Ratio="16:9_SVD 576x1024", rotation="portrait"),
        (576, 1024),
    ),
    "of a preset, as far as a latent goes": (
        preset_of("easy pixels", resolution="816 x 1920", scale=0.51, **{"flip_w/h": True}),
        (976, 416),
    ),
    "of a preset that a picture stands in for": (
        preset_of("WanResolutions", resolution="Preview — 512×768", image=["photo", 0]),
        (None, None),
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_size_is_that_of_the_latent_or_nothing(name: str) -> None:
    graph, size = SIZES[name]
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png"))
    assert (recipe.width, recipe.height) == size

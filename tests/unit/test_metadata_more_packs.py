"""Further nodes that graphs have: what only hands on, and what a setting is called there."""

from typing import Any

import pytest

from anime.core.graphs import Graph, Node
from tests.unit.test_metadata_graphs import (
    BASE,
    GUIDED,
    INK,
    PROMPT,
    encoder,
    graph_of,
    modelled,
    node,
    sampler,
    texted,
    told,
)

HANDING_ON: dict[str, tuple[Node, int]] = {
    "a node that frees memory": (node("easy cleanGpuUsed", anything=["x", 0]), 0),
    "a node that empties a cache": (node("easy clearCacheAll", anything=["x", 0]), 0),
    "a node that unloads models": (node("UnloadModel", value=["x", 0], model=["load", 0]), 0),
    "a reroute of a pack": (node("LayerUtility: AnyRerouter", any=["x", 0]), 0),
    "a node that only plays a sound": (
        node("PlaySound|pysssss", any=["x", 0], mode="always", volume=0.5, file="notify.mp3"),
        0,
    ),
    "a node that waits for another": (
        node("ImpactExecutionOrderController", signal=["no", 0], value=["x", 0]),
        1,
    ),
    "a node that another waits for": (
        node("ImpactExecutionOrderController", signal=["x", 0], value=["no", 0]),
        0,
    ),
    "a lazy switch": (
        node("InversionDemoLazySwitch", switch=False, on_true=["no", 0], on_false=["x", 0]),
        0,
    ),
    "a bridge that is open": (
        node("ImpactControlBridge", value=["x", 0], mode=True, behavior="Stop"),
        0,
    ),
    "a switch with the same on both sides": (
        node("ComfySwitchNode", switch=["q", 0], on_true=["x", 0], on_false=["x", 0]),
        0,
    ),
}


@pytest.mark.parametrize("name", HANDING_ON)
def test_what_a_node_only_hands_on_is_followed(name: str) -> None:
    through, slot = HANDING_ON[name]
    given = ["through", slot]
    model = modelled(patch=node("Reroute", **{"": given}), through=through, x=graph_of()["load"])
    sides = graph_of(draw=sampler(positive=given), through=through, x=encoder(PROMPT))
    words = texted(
        words=node("Reroute", **{"": given}),
        through=through,
        x=node("PrimitiveString", value=PROMPT),
    )
    seed = graph_of(draw=sampler(seed=given), through=through, x=node("PrimitiveInt", value=31))
    assert [told(graph) for graph in (model, sides, words, seed)] == [BASE] * 4


@pytest.mark.parametrize("class_type", ["PromptRelayEncode", "LTXDirector"])
@pytest.mark.parametrize(
    ("local", "prompt"),
    [("over rice | fields at dusk", "a kite\nover rice | fields at dusk"), ("", "a kite")],
)
def test_a_relay_of_prompts_is_told_as_it_was_typed(
    class_type: str, local: str, prompt: str
) -> None:
    words = {"global_prompt": "a kite", "local_prompts": local, "segment_lengths": "40, 41"}
    graph = graph_of(
        relay=node(class_type, model=["load", 0], clip=["load", 1], **words),
        draw=sampler(model=["relay", 0], positive=["relay", 1]),
    )
    assert told(graph) == {**BASE, "prompt": prompt}


def scheduled(class_type: str) -> Graph:
    nodes: dict[str, Any] = {
        **GUIDED,
        "guider": node(
            "CFGGuider", model=["load", 0], positive=["yes", 0], negative=["no", 0], cfg=5.5
        ),
        "sigmas": node(class_type, steps=12, sigma_max=14.6, sigma_min=0.03),
    }
    return graph_of(**nodes)


def of_sage(**changes: Node) -> Graph:
    """As people put it together of SageUtils' nodes."""
    nodes: dict[str, Any] = {
        "pick": node("Sage_CheckpointSelector", ckpt_name="kite.safetensors"),
        "stack": node(
            "Sage_TripleQuickLoraStack",
            enabled_1=False,
            lora_1_name="dry.safetensors",
            model_1_weight=1.0,
            enabled_2=True,
            lora_2_name="ink.safetensors",
            model_2_weight=0.6,
        ),
        "load": node("Sage_ModelLoraStackLoader", model_info=["pick", 0], lora_stack=["stack", 0]),
        "words": node("Sage_SetText", prefix=["before", 0], str=PROMPT[2:]),
        "before": node("Sage_SetText", str=PROMPT[:2]),
        "unwanted": node("Sage_SetText", str=BASE["negative_prompt"]),
        "both": node(
            "Sage_DualCLIPTextEncode",
            clip=["load", 1],
            pos=["words", 0],
            neg=["unwanted", 0],
            clean=False,
        ),
        "settings": node(
            "Sage_SamplerInfo",
            seed=31,
            steps=12,
            cfg=5.5,
            sampler_name="dpmpp_2m",
            scheduler="karras",
        ),
        "draw": node(
            "Sage_KSamplerTiledDecoder",
            model=["load", 0],
            sampler_info=["settings", 0],
            positive=["both", 0],
            negative=["both", 1],
            latent_image=["empty", 0],
            vae=["load", 2],
            denoise=1.0,
        ),
        "save": node("Sage_SaveImageWithMetadata", images=["draw", 1], filename_prefix="kite"),
    }
    return graph_of(**{**nodes, **changes})


NO_NEGATIVE = {"negative_prompt": None}

GRAPHS: dict[str, tuple[Graph, dict[str, Any]]] = {
    "sigmas of Karras": (scheduled("KarrasScheduler"), {}),
    "exponential sigmas": (scheduled("ExponentialScheduler"), {"scheduler": "exponential"}),
    "sigmas of a scheduler that no sampler knows": (
        scheduled("AlignYourStepsScheduler"),
        {"scheduler": None},
    ),
    "words that are written on the picture": (
        graph_of(
            what=node("PrimitiveString", value="take 3"),
            write=node("Write on PIL image", text=["what", 0], input_image=["decode", 0]),
            save=node("SaveImage", images=["write", 0], filename_prefix="kite"),
        ),
        {},
    ),
    "one encoding for both sides": (graph_of(draw=sampler(negative=["yes", 0])), NO_NEGATIVE),
    "one encoding for both sides of a mask": (
        graph_of(
            mask=node("InpaintModelConditioning", positive=["yes", 0], negative=["yes", 0]),
            draw=sampler(positive=["mask", 0], negative=["mask", 1], latent_image=["mask", 2]),
        ),
        NO_NEGATIVE,
    ),
    "the same words encoded once for each side": (
        graph_of(no=encoder(PROMPT)),
        {"negative_prompt": PROMPT},
    ),
    "the first context that is given something": (
        modelled(
            muted=node("Context (rgthree)"),
            without=node("Context (rgthree)", base_ctx=["muted", 0]),
            full=node("Context (rgthree)", model=["load", 0]),
            which=node(
                "Context Switch (rgthree)",
                ctx_01=["muted", 0],
                ctx_02=["without", 0],
                ctx_03=["full", 0],
            ),
            patch=node("Reroute", **{"": ["which", 1]}),
        ),
        {},
    ),
    "the first context, though it has no model": (
        modelled(
            words=node("Context (rgthree)", clip=["load", 1]),
            full=node("Context (rgthree)", model=["load", 0]),
            which=node("Context Switch (rgthree)", ctx_01=["words", 0], ctx_03=["full", 0]),
            patch=node("Reroute", **{"": ["which", 1]}),
        ),
        {"model": None},
    ),
    "a switch of WAS before it knew booleans": (
        texted(
            words=node(
                "Text Input Switch", text_a=["one", 0], text_b=["two", 0], boolean_number=["n", 0]
            ),
            one=node("Text Multiline", text="NO"),
            two=node("Text Multiline", text=PROMPT),
            n=node("Logic Boolean", boolean_number=0),
        ),
        {},
    ),
    "a text whose commas at its end are cut": (
        texted(words=node("Simple Text 💬ED", text=f"{PROMPT},\n")),
        {},
    ),
    "a text that is put before another": (
        texted(
            words=node("Simple Text 💬ED", text=PROMPT, text_a=["t", 0]),
            t=node("PrimitiveString", value="dusk"),
        ),
        {"prompt": None},
    ),
    "a text that is trimmed, by a node that no rule names": (
        texted(words=node("Trim Text _O", text=f" {PROMPT} ")),
        {"prompt": None},
    ),
    "a text that is only displayed": (
        texted(
            words=node("DisplayAny", input=["t", 0], mode="raw value"),
            t=node("Fooocus positive", positive=PROMPT),
        ),
        {},
    ),
    "words that a style of PhotoMaker is put to": (
        graph_of(
            yes=encoder(["style", 0]),
            no=encoder(["style", 1]),
            style=node("PhotoMakerStyles", style_name="Neon", positive=PROMPT, negative="grain"),
        ),
        {},
    ),
    "a loader with a switch": (
        graph_of(
            load=node("CheckpointLoaderSimpleWithSwitch", ckpt_name="kite.safetensors", load=True)
        ),
        {},
    ),
    "frames in reverse": (
        graph_of(
            turn=node("ReverseImageBatch", images=["decode", 0]),
            save=node("SaveImage", images=["turn", 0], filename_prefix="kite"),
        ),
        {},
    ),
    "details of a photo on a picture": (
        graph_of(
            photo=node("LoadImage", image="photo.png"),
            mix=node("easy imageDetailTransfer", target=["decode", 0], source=["photo", 0]),
            save=node("SaveImage", images=["mix", 0], filename_prefix="kite"),
        ),
        {},
    ),
    "one of several conditionings": (
        graph_of(
            which=node("Conditioning Switch (JPS)", select=2, con_1=["no", 0], con_2=["yes", 0]),
            draw=sampler(positive=["which", 0]),
        ),
        {},
    ),
    "the input that a switch names": (
        graph_of(
            other=sampler(seed=5, positive=["no", 0]),
            which=node(
                "CR Hires Fix Process Switch",
                Input="image_upscale",
                latent_upscale=["other", 0],
                image_upscale=["draw", 0],
            ),
            decode=node("VAEDecode", samples=["which", 0], vae=["load", 2]),
        ),
        {},
    ),
    "the input that a switch names with a blank": (
        graph_of(
            photo=node("LoadImage", image="photo.png"),
            which=node(
                "CR Batch Process Switch",
                Input="image batch",
                image=["photo", 0],
                image_batch=["decode", 0],
            ),
            save=node("SaveImage", images=["which", 0], filename_prefix="kite"),
        ),
        {},
    ),
    "a switch of Fill-Nodes": (
        graph_of(
            which=node("FL_Switch", switch=False, on_true=["no", 0], on_false=["yes", 0]),
            draw=sampler(positive=["which", 0]),
        ),
        {},
    ),
    "settings and sides in pipes of JPS": (
        graph_of(
            draw=sampler(
                model=["sides", 1],
                positive=["sides", 5],
                negative=["sides", 6],
                seed=["sides", 9],
                steps=["settings", 5],
                cfg=["settings", 7],
                sampler_name=["settings", 3],
                scheduler=["settings", 4],
            ),
            sides=node(
                "SDXL Fundamentals MultiPipe (JPS)",
                model_base=["load", 0],
                model_refiner=["second", 0],
                pos_base=["yes", 0],
                neg_base=["no", 0],
                pos_refiner=["no", 0],
                seed=31,
            ),
            second=node("CheckpointLoaderSimple", ckpt_name="refiner.safetensors"),
            settings=node("SDXL Basic Settings Pipe (JPS)", sdxl_basic_settings=["typed", 0]),
            typed=node(
                "SDXL Basic Settings (JPS)",
                sampler_name="dpmpp_2m",
                scheduler="karras",
                steps_total=12,
                base_percentage=80,
                cfg_base=5.5,
                cfg_refiner=3.0,
            ),
        ),
        {},
    ),
    "an example of a LoRA that was left": (
        modelled(
            patch=node("LoraSyntaxProcessor", model=["load", 0], text="<lora:filename:weight>")
        ),
        {},
    ),
    "a box whose text is given to it": (
        texted(
            words=node("Textbox", text="of the run before", passthrough=["t", 0]),
            t=node("PrimitiveString", value=PROMPT),
        ),
        {},
    ),
    "a sampler of a pack that no rule names": (
        graph_of(
            draw=node(
                "Some_SM_Sampler",
                model=["load", 0],
                te_cond=["yes", 0],
                image=["photo", 0],
                seed=31,
                steps=12,
                text_guidance_scale=1.0,
            ),
            photo=node("LoadImage", image="photo.png"),
            save=node("SaveImage", images=["draw", 0], filename_prefix="kite"),
        ),
        dict.fromkeys(("prompt", "negative_prompt", "cfg", "sampler", "scheduler")),
    ),
    "settings that a pack that no rule names only keeps": (
        graph_of(
            keep=node("Some Settings", seed=4, steps=3, images=["decode", 0]),
            save=node("SaveImage", images=["keep", 0], filename_prefix="kite"),
        ),
        {},
    ),
    "a generator with a sampler": (
        graph_of(
            draw=node(
                "SomeGenerator",
                prompt=PROMPT,
                seed=31,
                steps=12,
                cfg=5.5,
                sampler_name="dpmpp_2m",
                scheduler="karras",
                model="kite.safetensors",
            ),
            save=node("SaveImage", images=["draw", 0], filename_prefix="kite"),
        ),
        NO_NEGATIVE,
    ),
    "a voice": (
        graph_of(
            draw=node("Qwen3CustomVoice", model=["voice", 0], text=PROMPT, seed=31),
            voice=node("Qwen3Loader", repo_id="kite.safetensors", local_model_path=""),
            save=node("SaveAudio", audio=["draw", 0], filename_prefix="kite"),
        ),
        dict.fromkeys(("negative_prompt", "steps", "cfg", "sampler", "scheduler")),
    ),
    "words for both encoders, of both sides": (
        graph_of(
            both=node(
                "CLIP Positive-Negative XL (WLSH)",
                clip=["load", 1],
                positive_g=PROMPT,
                positive_l="soft",
                negative_g=BASE["negative_prompt"],
                negative_l=BASE["negative_prompt"],
            ),
            draw=sampler(positive=["both", 0], negative=["both", 1]),
        ),
        {"prompt": f"{PROMPT}\nsoft"},
    ),
    "the seed of the run before": (
        graph_of(draw=sampler(seed=["seeds", 2]), seeds=node("Bjornulf_GlobalSeedManager", seed=5)),
        {"seed": None},
    ),
    "a text whose lines a node numbers": (
        texted(words=node("Bjornulf_AddLineNumbers", text=PROMPT)),
        {"prompt": None},
    ),
    "a checkpoint that was chosen by its picture": (
        graph_of(
            load=node("PrimereCKPTLoader", ckpt_name=["pick", 0], use_yaml=False),
            pick=node("PrimereVisualCKPT", base_model="kite.safetensors", show_modal=True),
        ),
        {},
    ),
    "nodes of Chibi": (
        graph_of(
            load=node("Loader", Checkpoint="kite.safetensors", Vae="Included"),
            yes=node(
                "Prompts", Positive=PROMPT, Negative=BASE["negative_prompt"], clip=["load", 2]
            ),
            draw=sampler(negative=["yes", 1]),
            sized=node("ImageSizeInfo", image=["decode", 0]),
            save=node("SaveImages", images=["sized", 0], filename_type="Fixed"),
        ),
        {},
    ),
    "nodes of SageUtils": (of_sage(), {"loras": INK}),
    "nodes of SageUtils that clean the words": (
        of_sage(both=node("Sage_DualCLIPTextEncode", pos=["words", 0], clean=True)),
        {"loras": INK, "prompt": None, "negative_prompt": None},
    ),
    "a LoRA of SageUtils": (
        of_sage(
            stack=node(
                "Sage_LoraStack",
                enabled=True,
                lora_name="ink.safetensors",
                model_weight=0.6,
                clip_weight=1.0,
            ),
            load=node(
                "Sage_ModelLoraStackLoader", model_info=["bundle", 0], lora_stack=["stack", 0]
            ),
            bundle=node("Sage_UnetClipVaeToModelInfo", unet_info=["pick", 0]),
            pick=node("Sage_UNETSelector", unet_name="kite.safetensors", weight_dtype="default"),
        ),
        {"loras": INK},
    ),
    "a stack of Primere": (
        modelled(
            patch=node(
                "PrimereLORA",
                model=["load", 0],
                use_lora_1=True,
                lora_1="ink.safetensors",
                lora_1_model_weight=0.6,
                lora_1_clip_weight=0.9,
                use_lora_2=False,
                lora_2="dry.safetensors",
                lora_2_model_weight=1.0,
            ),
        ),
        {"loras": INK},
    ),
    "a script that no sampler is given": (
        {
            "script": node("HighRes-Fix Script", hires_steps=5, denoise=0.5),
            **graph_of(save=node("PreviewImage", images=["decode", 0])),
        },
        {},
    ),
    "steps that are a sigma": (
        graph_of(
            draw=sampler(steps=["sigma", 0]),
            sigma=node("BNK_GetSigma", model=["load", 0], steps=20, start_at_step=0, end_at_step=9),
        ),
        {"steps": None},
    ),
    "a LoRA with a weight": (
        modelled(
            patch=node("CR Apply LoRA Stack", model=["load", 0], lora_stack=["stack", 0]),
            stack=node(
                "LoraLoaderStackedAdvanced",
                lora_name={"content": "ink.safetensors", "image": None},
                lora_weight=0.6,
            ),
        ),
        {"loras": INK},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_tells_what_made_its_file(name: str) -> None:
    graph, changes = GRAPHS[name]
    assert told(graph) == {**BASE, **changes}

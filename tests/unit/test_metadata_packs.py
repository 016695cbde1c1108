"""What nodes of common packs do to a value between where it is typed and where it is used."""

from typing import Any

import pytest

from anime.assets.metadata import LoraUse, SavedFile, recipe_of_graph
from anime.core.graphs import Graph
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

ALL = {"model": ["load", 0], "positive": ["yes", 0], "negative": ["no", 0], "latent": ["empty", 0]}
SETTINGS = {"seed": ["seed", 0], "steps": ["steps", 0], "cfg": ["cfg", 0]}
CHOICES = {"sampler": ["config", 3], "scheduler": ["config", 4]}


def contexts(passed_on: dict[str, Any]) -> Graph:
    """A sampler that has all from the outputs of one node, which is given the node `ctx`."""
    slots = {
        "model": 1,
        "positive": 4,
        "negative": 5,
        "latent_image": 6,
        "seed": 8,
        "steps": 9,
        "cfg": 11,
        "sampler_name": 13,
        "scheduler": 14,
    }
    given: dict[str, Any] = {name: ["out", slot] for name, slot in slots.items()}
    return graph_of(
        ctx=node("Context Big (rgthree)", **ALL, **SETTINGS, **CHOICES),
        out=passed_on,
        other=node("Context Big (rgthree)", seed=["cfg", 0]),
        seed=node("Seed (rgthree)", seed=31),
        steps=node("Power Primitive (rgthree)", value=12, type="INT"),
        cfg=node("PrimitiveFloat", value=5.5),
        config=node(
            "KSampler Config (rgthree)",
            steps_total=30,
            cfg=8.0,
            sampler_name="dpmpp_2m",
            scheduler="karras",
        ),
        draw=sampler(**given),
    )


def detailed(class_type: str = "FaceDetailer", **inputs: Any) -> Graph:
    """A face that is mended in a picture from elsewhere."""
    return graph_of(
        draw=sampler(class_type, latent_image=..., image=["photo", 0], **inputs),
        photo=node("LoadImage", image="photo.png"),
        pipe=node("ToDetailerPipe", wildcard="[ASC] a {smile|frown}", **ALL),
        save=node("SaveImage", images=["draw", 0], filename_prefix="kite"),
    )


def guided(**changes: Any) -> Graph:
    """A sampler that is put together from parts."""
    scale = {"model": ["load", 0], "positive": ["yes", 0], "negative": ["no", 0], "cfg": 5.5}
    return graph_of(**{**GUIDED, "guider": node("CFGGuider", **scale), **changes})


def loras(**inputs: Any) -> Graph:
    return modelled(patch=node("Loras Of Somebody", model=["load", 0], **inputs))


def easy(**loader: Any) -> Graph:
    inputs = {"ckpt_name": "kite.safetensors", "lora_name": "None"}
    words = {"positive": PROMPT, "negative": NEGATIVE}
    settings = {"steps": 12, "cfg": 5.5, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    return {
        "load": node("easy fullLoader", **{**words, **inputs, **loader}),
        "unet": node("UNETLoader", unet_name="kite.safetensors"),
        "edit": node(
            "easy pipeEdit", pipe=["load", 0], optional_positive="", conditioning_mode="concat"
        ),
        "set": node("easy preSampling", pipe=["edit", 0], seed=31, denoise=1.0, **settings),
        "draw": node("easy kSampler", pipe=["set", 0], image_output="Save", save_prefix="kite"),
    }


def easy_edit(text: str) -> Graph:
    graph = easy()
    graph["edit"]["inputs"]["optional_positive"] = text
    return graph


COUNTED = {"seed": 30, "increment": 1}
INK_TAG = "<lora:ink.safetensors:0.6>"
SEARGE_WORDS = {
    "pos_g": ["words", 0],
    "pos_l": "ink",
    "pos_r": "no",
    "neg_g": NEGATIVE,
    "neg_l": "",
}
WAN = {"sampler": None, "scheduler": "unipc"}


def upscaled(**changes: Any) -> Graph:
    """A picture that is enlarged, with half of what would stand in for the node's own settings."""
    return graph_of(
        draw=sampler("UltimateSDUpscaleCustomSample", **changes),
        other=node("KSamplerSelect", sampler_name="euler"),
        rest=node("BasicScheduler", scheduler="normal", steps=3, denoise=0.2, model=["load", 0]),
    )


def saver_pipe(changed_by: str = "Reroute") -> Graph:
    """A sampler with settings that come with what is written into the picture."""
    held = {"seed": 31, "steps": 12, "cfg": 5.5, "sampler_name": "dpmpp_2m"}
    slots = {"seed": 9, "steps": 10, "cfg": 11, "sampler_name": 12, "scheduler": 13, "denoise": 14}
    given: dict[str, Any] = {name: ["read", slot] for name, slot in slots.items()}
    return graph_of(
        told=node(
            "Make Image Saver Metadata Config",
            modelname="other",
            positive=PROMPT,
            negative=NEGATIVE,
            scheduler_name="karras",
            denoise=1.0,
            **held,
        ),
        pipe=node("Make Image Saver Pipe", metadata_config=["told", 0]),
        edit=node(changed_by, pipe=["pipe", 0], positive="[original], ink", negative="[original]"),
        read=node("Read Image Saver Pipe", pipe=["edit", 0]),
        yes=encoder(["read", 5]),
        no=encoder(["read", 6]),
        draw=sampler(**given),
    )


def based(
    class_type: str, positive: str = "positive_cond_base", negative: str = "negative_cond_base"
) -> Graph:
    """A sampler that calls what it is given that of the base."""
    sides: dict[str, Any] = {positive: ["yes", 0], negative: ["no", 0]}
    left: dict[str, Any] = {"model": ..., "positive": ..., "negative": ...}
    return graph_of(draw=sampler(class_type, base_model=["load", 0], **left, **sides))


def styled(style: str) -> Graph:
    return graph_of(
        mix=node(
            "Style Conditioner Base Only",
            style=style,
            positive_cond_base=["yes", 0],
            negative_cond_base=["no", 0],
            use_seed="false",
            seed=5,
        ),
        draw=sampler(positive=["mix", 0], negative=["mix", 1]),
    )


def wan(scheduler: dict[str, Any] | None = None, *, is_apart: bool = False) -> Graph:
    settings: dict[str, Any] = {"seed": 31, "cfg": 5.5, "scheduler": ["plan", 0]}
    settings |= {"model": ["fun", 0], "text_embeds": ["words", 0], "image_embeds": ["size", 0]}
    graph = graph_of(
        fun=node("WanVideoModelLoader", model="kite.safetensors"),
        words=node("WanVideoTextEncode", positive_prompt=PROMPT, negative_prompt=NEGATIVE),
        size=node("WanVideoEmptyEmbeds", width=512, height=640, num_frames=81),
        plan=node(
            "WanVideoSchedulerv2",
            **{"scheduler": "unipc", "steps": 12, "shift": 5.0, **(scheduler or {})},
        ),
        sigmas=GUIDED["sigmas"],
        draw=node("WanVideoSamplerv2", **settings),
    )
    if is_apart:
        plan = {"scheduler": "unipc", "steps": 12}
        graph["set"] = node("WanVideoSamplerSettings", **{**settings, **plan})
        graph["draw"] = node("WanVideoSamplerFromSettings", sampler_inputs=["set", 0])
    return graph


GRAPHS: dict[str, tuple[Graph, dict[str, Any]]] = {
    "a switch of contexts": (
        contexts(node("Context Switch Big (rgthree)", ctx_01=["ctx", 0], ctx_02=["other", 0])),
        {},
    ),
    "contexts that are merged": (
        contexts(node("Context Merge Big (rgthree)", ctx_01=["other", 0], ctx_02=["ctx", 0])),
        {},
    ),
    "words of a detailer": (detailed(wildcard="a {smile|frown}"), {"prompt": None}),
    "words of a detailer's pipe": (
        detailed(
            "FaceDetailerPipe", model=..., positive=..., negative=..., detailer_pipe=["pipe", 0]
        ),
        {"prompt": None},
    ),
    "a detailer without words": (detailed(wildcard=""), {}),
    "lines that are joined": (
        texted(words=node("StringConstantMultiline", string="a\nb ", strip_newlines=True)),
        {"prompt": "ab"},
    ),
    "lines that are kept": (
        texted(words=node("StringConstantMultiline", string="a\nb", strip_newlines=False)),
        {"prompt": "a\nb"},
    ),
    "lines that are comments": (
        texted(words=node("Text Multiline", text=f"# no\n{PROMPT}\n #1 no")),
        {},
    ),
    "strings beyond the number that is joined": (
        texted(
            words=node(
                "JoinStringMulti",
                inputcount=2,
                string_1="a",
                string_2="b",
                string_3="c",
                delimiter=" ",
            )
        ),
        {"prompt": "a b"},
    ),
    "words that a LoRA asks for": (
        graph_of(yes=node("Prompt (LoraManager)", text=PROMPT, trigger_words=["a", 2])),
        {"prompt": None},
    ),
    "a text that is repeated": (
        texted(
            words=node("Repeater|pysssss", source=["t", 0], repeats=2, output="single"),
            t=node("PromptBuilder //Inspire", category="x", preset="#PRESET", text=PROMPT),
        ),
        {},
    ),
    "conditionings with masks": (
        graph_of(
            x=node(
                "ConditioningSetMaskAndCombine",
                positive_1=["yes", 0],
                negative_1=["no", 0],
                mask_1=["m", 0],
                positive_2=["more", 0],
                negative_2=["no", 0],
                mask_2=["m", 0],
            ),
            more=encoder("dusk"),
            draw=sampler(positive=["x", 0], negative=["x", 1]),
        ),
        {"prompt": f"{PROMPT}\ndusk"},
    ),
    "conditionings that are added": (
        graph_of(
            x=node(
                "ADE_PairedConditioningSetMaskAndCombine",
                positive=["yes", 0],
                negative=["no", 0],
                positive_ADD=["more", 0],
                negative_ADD=["no", 0],
            ),
            more=encoder("dusk"),
            draw=sampler(positive=["x", 0], negative=["x", 1]),
        ),
        {"prompt": f"{PROMPT}\ndusk"},
    ),
    "conditionings of either side": (
        graph_of(
            x=node("ADE_ConditioningCombine", cond_A=["yes", 0], cond_B=["more", 0]),
            y=node("ConditioningSetPropertiesAndCombine", cond=["no", 0], cond_NEW=["more", 0]),
            more=encoder("dusk"),
            draw=sampler(positive=["x", 0], negative=["y", 0]),
        ),
        {"prompt": f"{PROMPT}\ndusk", "negative_prompt": f"{NEGATIVE}\ndusk"},
    ),
    "words instead of those of a pipe": (
        graph_of(
            pipe=node("ttN pipeLoader_v2", ckpt_name="kite.safetensors", positive="NO"),
            draw=sampler(
                "ttN pipeKSampler_v2",
                pipe=["pipe", 0],
                model=...,
                positive=...,
                negative=...,
                optional_positive=["yes", 0],
                optional_negative=["no", 0],
            ),
        ),
        {},
    ),
    "a caption that is put before the words": (
        graph_of(
            yes=node("SUPIR_conditioner", positive_prompt=PROMPT, captions=["c", 0]),
            c=node("Florence2Run", task="caption", text_input=""),
        ),
        {"prompt": None},
    ),
    "a schedule with words around it": (
        graph_of(yes=node("BatchPromptSchedule", pre_text="ink", text='"0": "a"', app_text="dusk")),
        {"prompt": 'ink\n"0": "a"\ndusk'},
    ),
    "a layout of words": (
        graph_of(yes=node("OmostLayoutCondNode", positive=["a", 0]), a=encoder("style")),
        {"prompt": None},
    ),
    "words of regions that come by the model": (
        modelled(
            patch=node("AttentionCouple|cgem156", model=["load", 0], cond_1=["a", 0]),
            a=encoder("a tower"),
        ),
        {"prompt": f"{PROMPT}\na tower"},
    ),
    "a list with switches": (
        loras(enable_1=False, lora_1="off", strength_1=1, lora_2="ink.safetensors", strength_2=0.6),
        {"loras": INK},
    ),
    "a list with switches behind": (
        loras(
            lora_1_on=False, lora_1="off", strength_1=1, lora_2_on=True, lora_2="x", strength_2=2
        ),
        {"loras": (LoraUse(name="x", strength=2),)},
    ),
    "a loader that is off": (loras(enabled=False, lora_name="off", strength_model=1.0), {}),
    "a model instead of the loader's own": (
        easy(ckpt_name="other.safetensors", model_override=["unet", 0]),
        {},
    ),
    "a pipe that was edited": (easy(), {}),
    "words that are put into a pipe": (easy_edit("more"), {"prompt": None}),
    "a picture put into another": (
        graph_of(
            second=sampler(seed=9),
            both=node("LatentComposite", samples_to=["draw", 0], samples_from=["second", 0], x=0),
            decode=node("VAEDecode", samples=["both", 0], vae=["load", 2]),
        ),
        {"seed": None},
    ),
    "noise that is not the sampler's own": (
        graph_of(
            draw=sampler(
                "KSamplerAdvanced",
                seed=...,
                denoise=...,
                noise_seed=0,
                add_noise="disable",
                start_at_step=0,
                latent_image=["noise", 0],
            ),
            noise=node("BNK_NoisyLatentImage", source="CPU", seed=31, width=8, height=8),
        ),
        {"seed": None},
    ),
    "a sampler with settings of its own": (
        guided(which=node("SamplerEulerAncestral", eta=1.0, s_noise=1.0)),
        {"sampler": "euler_ancestral"},
    ),
    "noise of the processor": (
        guided(which=node("SamplerDPMPP_2M_SDE", noise_device="cpu")),
        {"sampler": "dpmpp_2m_sde"},
    ),
    "noise of the card": (
        guided(which=node("SamplerDPMPP_2M_SDE", noise_device="gpu")),
        {"sampler": "dpmpp_2m_sde_gpu"},
    ),
    "noise of one or the other": (
        guided(which=node("SamplerDPMPP_2M_SDE", noise_device=["gone", 0])),
        {"sampler": None},
    ),
    "sigmas as they are typed": (
        guided(sigmas=node("ManualSigmas", sigmas="1.0, 0.9875, .725,0.42, 0.0")),
        {"steps": 4, "scheduler": None},
    ),
    "sigmas without an end": (
        guided(sigmas=node("ManualSigmas", sigmas="." * 10**6)),
        {"steps": None, "scheduler": None},
    ),
    "sigmas that are put between others": (
        guided(
            sigmas=node("ExtendIntermediateSigmas", sigmas=["s", 0], steps=2),
            s=GUIDED["sigmas"],
        ),
        {"steps": None, "scheduler": None},
    ),
    "scales of pictures and sound": (
        guided(
            guider=node(
                "MultimodalGuider",
                model=["load", 0],
                positive=["yes", 0],
                negative=["no", 0],
                parameters=["sound", 0],
            ),
            sound=node("GuiderParameters", modality="AUDIO", cfg=7.0, parameters=["film", 0]),
            film=node("GuiderParameters", modality="VIDEO", cfg=5.5),
        ),
        {},
    ),
    "words that a picture is edited by": (
        guided(
            guider=node(
                "FlowEditCFGGuider",
                model=["load", 0],
                source_pos=["empty", 0],
                target_pos=["yes", 0],
                target_neg=["no", 0],
                source_cfg=1.0,
                target_cfg=5.5,
            )
        ),
        {},
    ),
    "a scale with a name of its own": (
        graph_of(draw=sampler("XlabsSampler", cfg=..., true_gs=5.5)),
        {},
    ),
    "a LoRA of the sampler's own": (
        graph_of(draw=sampler("ttN KSampler_v2", lora_name="ink.safetensors", lora_strength=0.6)),
        {"loras": INK},
    ),
    "a sampler that takes texts": (
        graph_of(
            fun=node("LoadWanModel", model="kite.safetensors", precision="bf16"),
            lora=node(
                "LoadWanLora", funmodels=["fun", 0], lora_name="ink.safetensors", strength_model=0.6
            ),
            words=node("FunTextBox", prompt=PROMPT),
            blurred=node("FunTextBox", prompt=NEGATIVE),
            draw=node(
                "WanT2VSampler",
                funmodels=["lora", 0],
                prompt=["words", 0],
                negative_prompt=["blurred", 0],
                seed=31,
                steps=12,
                cfg=5.5,
                scheduler="Flow",
            ),
            decode=node("ImageScale", image=["draw", 0], width=512, height=640),
        ),
        {"sampler": None, "scheduler": "Flow", "loras": INK},
    ),
    "noise made of a picture": (
        graph_of(
            draw=sampler("HyVideoReSampler", samples=["back", 0], latent_image=...),
            back=sampler("HyVideoInverseSampler", seed=9, samples=["empty", 0], latent_image=...),
        ),
        {},
    ),
    "settings that stand in for others": (
        graph_of(
            draw=sampler(
                "UltimateSDUpscaleCustomSample",
                sampler_name="euler",
                scheduler="normal",
                steps=3,
                custom_sampler=["which", 0],
                custom_sigmas=["sigmas", 0],
            ),
            which=GUIDED["which"],
            sigmas=GUIDED["sigmas"],
        ),
        {},
    ),
    "a schedule of a node that is not known": (
        graph_of(draw=sampler("FaceDetailer", scheduler_func_opt=["gits", 0])),
        {"scheduler": None},
    ),
    "noise from elsewhere": (
        graph_of(draw=sampler("KSamplerAdvanced //Inspire", noise_opt=["noise", 0])),
        {"seed": None},
    ),
    "a model that stands in for a loader's": (
        graph_of(
            pipe=node("ttN pipeLoader_v2", ckpt_name="NO", model_override=["load", 0]),
            draw=sampler(model=["pipe", 1]),
        ),
        {},
    ),
    "a bus": (
        graph_of(
            a=node("Bus Node", model=["load", 0], clip=["load", 1], positive=["no", 0]),
            b=node("Bus Node", bus=["a", 0], positive=["c", 0], negative=["no", 0]),
            c=node("ControlNetApply", conditioning=["yes", 0], strength=1.0),
            draw=sampler(model=["b", 1], positive=["b", 4], negative=["b", 5]),
        ),
        {},
    ),
    "a pipe of tinyterra that was edited": (
        graph_of(
            pipe=node(
                "ttN pipeLoader_v2", ckpt_name="kite.safetensors", positive="NO", negative=""
            ),
            edit=node("ttN pipeEDIT", pipe=["pipe", 0], pos=["yes", 0], neg=["no", 0]),
            draw=sampler(
                "ttN pipeKSampler_v2", pipe=["edit", 0], model=..., positive=..., negative=...
            ),
        ),
        {},
    ),
    "sides beside an encoder": (
        graph_of(
            paint=node(
                "PowerPaint",
                model=["load", 0],
                clip=["load", 1],
                positive=["yes", 0],
                negative=["no", 0],
            ),
            draw=sampler(model=["paint", 0], positive=["paint", 1], negative=["paint", 2]),
        ),
        {},
    ),
    "a sampler of a version": (
        guided(which=node("SamplerEulerCFGpp", version="regular")),
        {"sampler": "euler_cfg_pp"},
    ),
    "a sampler of another version": (
        guided(which=node("SamplerEulerCFGpp", version="alternative")),
        {"sampler": None},
    ),
    "LoRAs of which a run draws one": (
        easy(positive="{<lora:a:1>|<lora:b:1>} kite"),
        {"loras": (), "prompt": None},
    ),
    "a number drawn by a seed": (
        graph_of(draw=sampler(seed=["n", 1]), n=node("RandomGeneratorForList //Inspire", seed=31)),
        {"seed": None},
    ),
    "a sampler without its schedule": (
        upscaled(sampler_name="dpmpp_2m", custom_sampler=["other", 0]),
        {},
    ),
    "a schedule without its sampler": (
        upscaled(scheduler="karras", steps=12, custom_sigmas=["rest", 0]),
        {},
    ),
    "settings beside a schedule that is given": (
        graph_of(
            draw=sampler(
                "ClownsharKSampler_Beta", scheduler="beta57", steps=30, sigmas=["sigmas", 0]
            ),
            sigmas=GUIDED["sigmas"],
        ),
        {},
    ),
    "settings beside a schedule that is not known": (
        graph_of(draw=sampler("ClownsharKSampler_Beta", sigmas=["gone", 0])),
        {"steps": None, "scheduler": None},
    ),
    "a seed that is counted on": (
        graph_of(draw=sampler(seed=["n", 1]), n=node("SeedGenerator", seed=30)),
        {"seed": None},
    ),
    "a seed and what is added to it": (
        graph_of(draw=sampler(seed=["n", 0]), n=node("Seed Generator (Image Saver)", **COUNTED)),
        {"seed": None},
    ),
    "a seed and nothing added to it": (
        graph_of(
            draw=sampler(seed=["n", 0]),
            n=node("Seed Generator (Image Saver)", seed=31, increment=0),
        ),
        {},
    ),
    "settings that are read from a pipe of the saver": (saver_pipe(), {}),
    "settings that are edited in a pipe of the saver": (
        saver_pipe("Edit Image Saver Pipe"),
        dict.fromkeys(
            ("prompt", "negative_prompt", "seed", "steps", "cfg", "sampler", "scheduler")
        ),
    ),
    "a sampler with a base and a refiner": (based("Mikey Sampler Base Only Advanced"), {}),
    "a sampler of Searge's": (
        based("SeargeSDXLSampler", positive="base_positive", negative="base_negative"),
        {},
    ),
    "words of Searge's": (
        graph_of(
            words=node("SeargePromptText", prompt=PROMPT),
            both=node("SeargeSDXLPromptEncoder", **SEARGE_WORDS),
            which=node("SeargeConditioningMuxer2", input0=["both", 1], input_selector=0),
            draw=sampler(positive=["both", 0], negative=["which", 0]),
        ),
        {"prompt": f"{PROMPT}\nink"},
    ),
    "texts of which one is empty": (
        texted(words=node("TextConcat", delimiter=" ", text1="a", text2="", text3="b", text4="")),
        {"prompt": "a b"},
    ),
    "LoRAs that a text names": (
        modelled(patch=node("LoraSyntaxProcessor", model=["load", 0], text=INK_TAG, seed=1)),
        {"loras": INK},
    ),
    "a style that the words name": (
        graph_of(
            mix=node(
                "Prompt With Style V3",
                base_model=["load", 0],
                positive_prompt=f"a kite <style:anime> {INK_TAG}",
                negative_prompt=NEGATIVE,
                seed=5,
            ),
            draw=sampler(model=["mix", 0], positive=["mix", 2], negative=["mix", 3]),
        ),
        {"prompt": f"a kite <style:anime> {INK_TAG}", "loras": INK},
    ),
    "a style that is mixed in": (styled("anime"), {"prompt": None, "negative_prompt": None}),
    "a style that is none": (styled("none"), {}),
    "a value that Krita asks for": (
        graph_of(
            draw=sampler(steps=["steps", 0]),
            yes=encoder(["words", 0]),
            steps=node("ETN_Parameter", type="number (integer)", default=12, min=1, max=50),
            words=node("ETN_Parameter", type="prompt (positive)", default=PROMPT, min=0, max=1),
        ),
        {},
    ),
    "regions of Krita's": (
        modelled(
            patch=node("ETN_AttentionMask", model=["load", 0], regions=["r2", 0]),
            r2=node("ETN_DefineRegion", mask=["m", 0], conditioning=["b", 0], regions=["r1", 0]),
            r1=node("ETN_BackgroundRegion", conditioning=["a", 0]),
            a=encoder("a tower"),
            b=encoder("dusk"),
        ),
        {"prompt": f"{PROMPT}\na tower\ndusk"},
    ),
    "a schedule of WanVideo": (wan(), WAN),
    "sigmas of a schedule of WanVideo": (
        wan(scheduler={"steps": 30, "sigmas": ["sigmas", 0]}),
        WAN,
    ),
    "a schedule of WanVideo with more steps": (
        wan(scheduler={"enhance_hf": True}),
        {**WAN, "steps": None},
    ),
    "settings of WanVideo apart": (wan(is_apart=True), WAN),
    "a sampler whose work nobody uses": (
        graph_of(spare=sampler(seed=9, model=["gone", 0], positive=["no", 0])),
        {},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_value_is_what_the_sampler_got_of_it_or_nothing(name: str) -> None:
    graph, changes = GRAPHS[name]
    assert told(graph) == {**BASE, **changes}


def cascade(first: dict[str, Any], second: dict[str, Any], **nodes: Any) -> Graph:
    """A picture in two stages, whose settings and models a pipe holds."""
    loader = {"stage_c": "kite.safetensors", "stage_b": "stage_b.safetensors", "clip_name": "clip"}
    return {
        "load": node("easy cascadeLoader", positive=PROMPT, negative=NEGATIVE, **loader),
        "first": first,
        "last": second,
        **nodes,
    }


STAGE_C = {"seed": 31, "steps": 12, "cfg": 5.5, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
STAGE_B: dict[str, Any] = {
    "seed": 8,
    "steps": 10,
    "cfg": 1.1,
    "sampler_name": "euler",
    "scheduler": "simple",
}
SHOWN = {"denoise": 1.0, "image_output": "Hide", "save_prefix": "kite"}
OF_B = {"image_output": "Save", "save_prefix": "kite", "pipe": ["first", 0]}


def res4lyf(class_type: str = "ClownsharKSampler_Beta", **changes: Any) -> Graph:
    """A picture in two stages, by samplers that are given what the first has made."""
    return graph_of(
        b=node("UNETLoader", unet_name="stage_b.safetensors"),
        last=sampler(class_type, **{**STAGE_B, "model": ["b", 0], **changes}),
        size=node("SharkOptions_UltraCascade_Latent_Beta", width=60, height=36),
        options=node("ClownOptions_Combine", **{"options_group.options0": ["size", 0]}),
        decode=node("VAEDecode", samples=["last", 0], vae=["load", 2]),
    )


RESUMED = {"sampler_mode": "resample", "sampler_name": "euler", "steps_to_run": -1, "cfg": 1.0}


def two_of_wan() -> Graph:
    """Two passes of WanVideo, whose settings are put together apart from the samplers."""
    settings = {"scheduler": "karras", "cfg": 5.5, "steps": 12, "model": ["load", 0]}
    return graph_of(
        set=node("WanVideoSamplerSettings", seed=31, text_embeds=["yes", 0], **settings),
        draw=node("WanVideoSamplerFromSettings", sampler_inputs=["set", 0]),
        again=node("WanVideoSamplerSettings", seed=8, samples=["draw", 0], **settings),
        last=node("WanVideoSamplerFromSettings", sampler_inputs=["again", 0]),
        decode=node("WanVideoDecode", samples=["last", 0], vae=["load", 2]),
    )


GOING_ON: dict[str, Any] = {"options_group.options0": ["options", 0]}
BOTH = ("kite.safetensors", "stage_b.safetensors")
CHAINS: dict[str, tuple[Graph, list[str | None], tuple[str, ...]]] = {
    "stages with settings of their own": (
        cascade(
            node("easy fullCascadeKSampler", pipe=["load", 0], **STAGE_C, **SHOWN),
            node("easy fullkSampler", **STAGE_B, **OF_B, denoise=1.0),
        ),
        ["31", "8"],
        BOTH,
    ),
    "stages with settings in a pipe": (
        cascade(
            node("easy cascadeKSampler", pipe=["set", 0], image_output="Hide", save_prefix="c"),
            node("easy kSampler", **{**OF_B, "pipe": ["next", 0]}),
            set=node("easy preSamplingCascade", pipe=["load", 0], **STAGE_C, denoise=1.0),
            next=node("easy preSampling", pipe=["first", 0], **STAGE_B, denoise=0.9),
        ),
        ["31", "8"],
        BOTH,
    ),
    "stages taken out of a pipe": (
        cascade(
            node("easy fullCascadeKSampler", pipe=["load", 0], **STAGE_C, **SHOWN),
            sampler(
                **STAGE_B,
                model=["first", 1],
                positive=["out", 2],
                negative=["out", 3],
                latent_image=["first", 2],
            ),
            out=node("easy pipeOut", pipe=["first", 0]),
            decode=node("VAEDecode", samples=["last", 0], vae=["out", 5]),
            save=node("SaveImage", images=["decode", 0], filename_prefix="kite"),
        ),
        ["31", "8"],
        BOTH,
    ),
    "a stage with the other as its guide": (
        res4lyf("UltraSharkSampler", guide=["draw", 0]),
        ["31", "8"],
        BOTH,
    ),
    "a stage whose options say that it goes on": (
        res4lyf(latent_image=["draw", 0], **GOING_ON),
        ["31", "8"],
        BOTH,
    ),
    "a stage that is told to begin anew": (
        res4lyf(latent_image=["draw", 0]),
        ["8"],
        ("stage_b.safetensors",),
    ),
    "a stage conditioned in double precision": (
        {
            **res4lyf(positive=["given", 0]),
            "given": node(
                "StableCascade_StageB_Conditioning64", conditioning=["yes", 0], stage_c=["draw", 0]
            ),
        },
        ["31", "8"],
        BOTH,
    ),
    "samplers that go on where the former ended": (
        graph_of(
            go_on=node("ClownsharkChainsampler_Beta", latent_image=["draw", 0], **RESUMED),
            decode=node("VAEDecode", samples=["go_on", 0], vae=["load", 2]),
        ),
        ["31", "31"],
        BOTH[:1],
    ),
    "samplers that go on with noise made of a picture": (
        graph_of(
            back=sampler("ClownsharKSampler_Beta", seed=9, sampler_mode="unsample"),
            first=node("ClownsharkChainsampler_Beta", latent_image=["back", 0], **RESUMED),
            draw=node("ClownsharkChainsampler_Beta", latent_image=["first", 0], **RESUMED),
        ),
        ["9", "9"],
        BOTH[:1],
    ),
    "noise made of a picture by a mode": (
        graph_of(
            back=sampler("ClownsharKSampler_Beta", seed=9, sampler_mode="unsample"),
            draw=sampler(
                "ClownsharKSampler_Beta",
                sampler_mode="resample",
                denoise=0.9,
                latent_image=["back", 0],
            ),
        ),
        ["31"],
        BOTH[:1],
    ),
    "a sampler of another model that resumes the work of the former": (
        res4lyf(sampler_mode="resample", latent_image=["draw", 0]),
        ["31", "8"],
        BOTH,
    ),
    "passes with settings apart": (two_of_wan(), ["31", "8"], BOTH[:1]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_every_stage_is_told_in_its_order(name: str) -> None:
    graph, seeds, models = CHAINS[name]
    recipe = recipe_of_graph(graph, SavedFile("kite_00001_.png"))
    assert ([use.seed for use in recipe.samplers], recipe.models) == (seeds, models)
    assert (recipe.prompt, recipe.seed, recipe.model) == (PROMPT, seeds[0], models[0])
    assert recipe.steps is not None

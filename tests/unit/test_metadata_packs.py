"""What nodes of common packs do to a value between where it is typed and where it is used."""

from typing import Any

import pytest

from anime.assets.metadata import LoraUse
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
    settings = {"steps": 12, "cfg": 5.5, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    return {
        "load": node("easy fullLoader", positive=PROMPT, negative=NEGATIVE, **{**inputs, **loader}),
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
    "a number drawn by a seed": (
        graph_of(draw=sampler(seed=["n", 1]), n=node("RandomGeneratorForList //Inspire", seed=31)),
        {"seed": None},
    ),
    "a sampler whose work nobody uses": (
        graph_of(spare=sampler(seed=9, model=["gone", 0], positive=["no", 0])),
        {},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_value_is_what_the_sampler_got_of_it_or_nothing(name: str) -> None:
    graph, changes = GRAPHS[name]
    assert told(graph) == {**BASE, **changes}

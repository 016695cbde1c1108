"""Pictures of several cells or regions: what is said of one part is not said of the whole."""

import json
from typing import Any

import pytest

from anime.assets.metadata import LoraUse, SavedFile, recipe_of, recipe_of_graph
from anime.core.graphs import Graph
from tests.unit.test_metadata_graphs import BASE, NEGATIVE, PROMPT, encoder, graph_of, node, told

GRID = (
    "a <lora:ink:0.6>\nNegative prompt: b\nSteps: 3, Sampler: Euler, Schedule type: Karras, "
    "CFG scale: 4, Seed: 5, Size: 64x64, Model: kite, Hires upscale: 2, Script: X/Y/Z plot"
)
CELL: dict[str, Any] = {  # any field of a recipe
    "prompt": "a <lora:ink:0.6>",
    "negative_prompt": "b",
    "seed": "5",
    "model": "kite",
    "loras": (LoraUse(name="ink", strength=0.6),),
    "sampler": "Euler",
    "scheduler": "Karras",
    "steps": 3,
    "cfg": 4,
}


@pytest.mark.parametrize(
    ("axes", "varied"),
    [
        ('X Type: Seed, X Values: "5, 6"', {"seed"}),
        (
            'X Type: Steps, X Values: "3,4", Y Type: CFG Scale, Y Values: "4,5"',
            {"steps", "cfg"},
        ),
        (
            'X Type: Prompt S/R, X Values: "a,c"',
            {"prompt", "negative_prompt", "loras"},
        ),
        ('X Type: Sampler, X Values: "Euler,DDIM"', {"sampler", "scheduler"}),
        ('X Type: Checkpoint name, X Values: "kite,gull"', {"model"}),
        ('Z Type: VAE, Z Values: "x,y"', set()),
        ('X Type: Hires steps, X Values: "3,4", Y Type: Nothing', set()),
        ('X Type: AddNet Weight 1, X Values: "0.3,0.4"', {"loras"}),
        ('X Type: Something Of An Extension, X Values: "3,4"', set(CELL)),
        ("Version: v1", set(CELL)),
    ],
)
def test_of_a_grid_what_differs_between_its_cells_is_not_said(axes: str, varied: set[str]) -> None:
    recipe = recipe_of({"parameters": f"{GRID}, {axes}"})
    expected = {name: None if name in varied else value for name, value in CELL.items()}
    assert {name: getattr(recipe, name) or None for name in CELL} == expected
    assert recipe.samplers == ()


def test_what_a_grid_varies_no_other_text_fills_in() -> None:
    graph = {"1": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 3, "positive": "a"}}}
    texts = {"prompt": json.dumps(graph), "parameters": f'{GRID}, X Type: Seed, X Values: "5,6"'}
    recipe = recipe_of(texts)
    assert (recipe.seed, recipe.steps, recipe.varied) == (None, 3, ("seed",))


def test_the_sheet_of_a_batch_has_no_seed() -> None:
    text = "a\nSteps: 3, Seed: 5, Size: 64x64"

    def seed(name: str, size: tuple[int, int], more: str = "") -> str | None:
        return recipe_of({"parameters": text + more}, SavedFile(name, size=size)).seed

    assert seed("grid-0003.png", (128, 64)) is None
    assert seed("grid-0003-5-a.jpg", (128, 128)) is None
    assert (seed("grid-0003.png", (64, 64)), seed("00003-5.png", (128, 128))) == ("5", "5")
    assert (seed("renamed.png", (128, 64)), seed("renamed.png", (256, 192))) == (None, None)
    for size in ((64, 64), (128, 128), (128, 100), (32, 64)):  # enlarged, cut
        assert seed("renamed.png", size) == "5"
    assert seed("renamed.png", (128, 64), ", Hires resize: 128x64, Hires steps: 2") == "5"
    assert (
        recipe_of({"parameters": "a\nSteps: 3, Size: 0x0"}, SavedFile("a", size=(9, 9))).steps == 3
    )


def efficient(**axes: Any) -> Graph:
    """A sampler with a script between it and the plot."""
    loader = node(
        "Efficient Loader", ckpt_name="kite.safetensors", positive=PROMPT, negative=NEGATIVE
    )
    draw = node(
        "KSampler (Efficient)",
        **{name: ["load", slot] for slot, name in enumerate(["model", "positive", "negative"])},
        seed=31,
        steps=12,
        cfg=5.5,
        sampler_name="dpmpp_2m",
        scheduler="karras",
        denoise=1.0,
        latent_image=["load", 3],
        script=["sharper", 0],
    )
    return graph_of(
        load=loader,
        draw=draw,
        sharper=node("HighRes-Fix Script", upscale_by=2.0, script=["plot", 0]),
        plot=node(
            "XY Plot",
            ksampler_output_image="Plot",
            **{name: [name, 0] for name in axes if name in {"X", "Y"}},
        ),
        save=node("SaveImage", images=["draw", 5], filename_prefix="kite"),
        **axes,
    )


def easy_grid(**nodes: Any) -> Graph:
    settings = {"steps": 12, "cfg": 5.5, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    return {
        "1": node(
            "easy fullLoader", ckpt_name="kite.safetensors", positive=PROMPT, negative=NEGATIVE
        ),
        "2": node("easy preSampling", pipe=["1", 0], seed=31, denoise=1.0, **settings),
        "4": node("easy kSampler", pipe=["3", 0], image_output="Save", save_prefix="kite"),
        **nodes,
    }


ALL = frozenset(BASE)
PLOTS: dict[str, tuple[Graph, frozenset[str]]] = {
    "seeds": (efficient(X=node("XY Input: Seeds++ Batch", batch_count=3)), frozenset({"seed"})),
    "steps and scales": (
        efficient(X=node("XY Input: Steps"), Y=node("XY Input: CFG Scale")),
        frozenset({"steps", "cfg"}),
    ),
    "joined": (
        efficient(
            X=node("Join XY Inputs of Same Type", XY_1=["a", 0], XY_2=["b", 0]),
            a=node("XY Input: Checkpoint"),
            b=node("XY Input: Checkpoint"),
        ),
        frozenset({"model"}),
    ),
    "anything": (efficient(Y=node("XY Input: Manual XY Entry", plot_value="?")), ALL),
    "weights of a LoRA's blocks": (
        efficient(X=node("XY Input: Lora Block Weight //Inspire", lora_name="ink")),
        frozenset({"loras"}),
    ),
    "nothing that is told": (efficient(Y=node("XY Input: VAE")), frozenset()),
    "no axis": (efficient(), frozenset()),
    "easy-use": (
        easy_grid(
            **{
                "3": node("easy XYPlotAdvanced", pipe=["2", 0], X=["x", 0], Y=["y", 0]),
                "x": node("easy XYInputs: PromptSR"),
                "y": node("easy XYInputs: Sampler/Scheduler"),
            }
        ),
        frozenset({"prompt", "negative_prompt", "loras", "sampler", "scheduler"}),
    ),
    "easy-use, simple": (easy_grid(**{"3": node("easy XYPlot", pipe=["2", 0])}), ALL),
}


@pytest.mark.parametrize("name", PLOTS)
def test_of_a_plot_only_what_all_of_its_pictures_have_is_said(name: str) -> None:
    graph, varied = PLOTS[name]
    expected = {name: None if name in varied else value or None for name, value in BASE.items()}
    assert {name: value or None for name, value in told(graph).items()} == expected
    recipe = recipe_of_graph(graph)
    assert {*recipe.varied} & ALL == varied
    settings = varied & {"seed", "steps", "cfg", "sampler", "scheduler"}
    assert {getattr(recipe.samplers[0], each) for each in settings} <= {None}


def regions(**nodes: Any) -> Graph:
    settings = {"cfg": 5.5, "sampler_name": "dpmpp_2m", "scheduler": "karras"}

    def pipe(positive: str) -> dict[str, Any]:
        return node("ToBasicPipe", model=["load", 0], positive=[positive, 0], negative=["no", 0])

    common = {
        "draw": node(
            "RegionalSampler",
            seed=31,
            steps=12,
            samples=["empty", 0],
            base_sampler=["base", 0],
            regional_prompts=["parts", 0],
        ),
        "base": node("KSamplerAdvancedProvider", basic_pipe=["pipe", 0], **settings),
        "other": node("KSamplerAdvancedProvider", basic_pipe=["pipe 1", 0], **settings),
        "pipe": pipe("yes"),
        "pipe 1": pipe("words"),
        "words": encoder("a tower"),
        "parts": node(
            "CombineRegionalPrompts", regional_prompts1=["r1", 0], regional_prompts2=["r2", 0]
        ),
        "r1": node("RegionalPrompt", mask=["m", 0], advanced_sampler=["other", 0]),
        "r2": node(
            "RegionalPromptSimple //Inspire", basic_pipe=["pipe", 0], wildcard_prompt="a moon"
        ),
    }
    return graph_of(**{**common, **nodes})


def test_a_prompt_of_regions_has_all_of_them_or_is_unknown() -> None:
    assert told(regions()) == {**BASE, "prompt": f"{PROMPT}\na tower\na moon"}
    drawn = node(
        "RegionalPromptSimple //Inspire", basic_pipe=["pipe", 0], wildcard_prompt="a {moon|sun}"
    )
    assert told(regions(r2=drawn)) == {**BASE, "prompt": None}
    assert told(regions(r2=node("Regions Of Somebody", words=["x", 0]))) == {
        **BASE,
        "prompt": None,
        "negative_prompt": None,
    }


def test_a_mask_that_is_drawn_with_other_words_is_part_of_the_prompt() -> None:
    settings = {"seed": 31, "steps": 12, "cfg": 5.5, "sampler_name": "dpmpp_2m"}
    draw = node("TwoSamplersForMask", base_sampler=["a", 0], mask_sampler=["b", 0])
    graph = regions(
        draw=draw,
        a=node("KSamplerProvider", basic_pipe=["pipe", 0], scheduler="karras", **settings),
        b=node("KSamplerProvider", basic_pipe=["pipe 1", 0], scheduler="karras", **settings),
    )
    assert told(graph) == {**BASE, "prompt": f"{PROMPT}\na tower"}

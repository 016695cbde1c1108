import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from anime.assets.metadata import LoraUse, Recipe, recipe_of, recipe_of_graph
from anime.core.graphs import Graph
from anime.core.ids import MAX_SEED
from anime.core.png_metadata import FileStamp

SHAPE = {
    *("prompt", "negative_prompt", "seed", "model", "loras", "sampler", "scheduler", "steps"),
    *("cfg", "width", "height", "frames", "duration_seconds", "source"),
}
STAMP = FileStamp(
    job_id=UUID("1b4e28ba-2fa1-4d2e-883f-0016d3cca427"),
    prompt="as it was ordered",
    seed=str(MAX_SEED),
    workflow="txt2img",
    workflow_sha256="ab" * 32,
)
PARAMETERS = "a cat\nNegative prompt: dogs\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5"


def node(class_type: str, **inputs: Any) -> dict[str, Any]:  # inputs of any node
    return {"class_type": class_type, "inputs": inputs}


def simple_graph(**changes: Any) -> Graph:  # nodes by id, of any class
    graph = {
        "4": node("CheckpointLoaderSimple", ckpt_name="anything.safetensors"),
        "6": node("CLIPTextEncode", text="a girl on a rooftop", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="blurry", clip=["4", 1]),
        "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
        "3": node(
            "KSampler",
            seed=MAX_SEED,
            steps=20,
            cfg=7,
            sampler_name="euler",
            scheduler="karras",
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
    }
    return {**graph, **changes}


def flux_graph() -> Graph:
    """A sampler put together from nodes: noise, guider, sampler and sigmas apart."""
    return {
        "noise": node("RandomNoise", noise_seed=["seed", 0]),
        "seed": node("PrimitiveInt", value=77),
        "unet": node("UNETLoader", unet_name="flux-dev.safetensors"),
        "ink": node("LoraLoaderModelOnly", lora_name="ink", strength_model=0.5, model=["unet", 0]),
        "soft": node("LoraLoader", lora_name="soft", strength_model=1, model=["ink", 0]),
        "words": node("PrimitiveString", value="petals in the rain"),
        "text": node("CLIPTextEncodeFlux", clip_l=["words", 0], t5xxl="long words", guidance=3.5),
        "guidance": node("FluxGuidance", conditioning=["text", 0], guidance=3.5),
        "guider": node("BasicGuider", conditioning=["guidance", 0], model=["soft", 0]),
        "which": node("KSamplerSelect", sampler_name="dpmpp_2m"),
        "sigmas": node("BasicScheduler", scheduler="simple", steps=28, model=["soft", 0]),
        "split": node("SplitSigmas", sigmas=["sigmas", 0], step=3),
        "latent": node("EmptySD3LatentImage", width=1024, height=576, batch_size=1),
        "draw": node(
            "SamplerCustomAdvanced",
            noise=["noise", 0],
            guider=["guider", 0],
            sampler=["which", 0],
            sigmas=["split", 1],
            latent_image=["latent", 0],
        ),
    }


def texts_of(graph: Graph) -> dict[str, str]:
    return {"prompt": json.dumps(graph)}


def test_a_simple_graph_tells_everything() -> None:
    recipe = recipe_of(texts_of(simple_graph()))
    assert (recipe.prompt, recipe.negative_prompt) == ("a girl on a rooftop", "blurry")
    assert (recipe.seed, recipe.steps, recipe.cfg) == (str(MAX_SEED), 20, 7.0)
    assert (recipe.model, recipe.sampler) == ("anything.safetensors", "euler")
    assert (recipe.scheduler, recipe.width, recipe.height) == ("karras", 512, 768)
    assert recipe.source == "comfyui"
    assert recipe.graph == simple_graph()


@pytest.mark.parametrize(
    "workflow",
    [
        '{"nodes": [1.50, {"a": "\\u30a2"}], "nodes" : []}',
        '{"nodes": [NaN, 1e-9999], "x": "\\ud800"}',
        '{"nodes": "none"}',
        json.dumps(json.dumps({"nodes": [1]})),
    ],
)
def test_the_text_of_a_recipe_is_its_metadata_whoever_wrote_the_json(workflow: str) -> None:
    recipe = recipe_of({**texts_of(simple_graph()), "workflow": workflow, "more": workflow})
    assert json.loads(recipe.metadata_text()) == recipe.metadata()


def test_what_stands_beside_a_graph_is_no_part_of_it() -> None:
    text = json.dumps({**simple_graph(), "extraMetadata": '{"steps": 9}'})
    recipe = recipe_of({"prompt": text})
    assert json.loads(recipe.metadata_text())["graph"] == simple_graph()


def test_a_sampler_made_of_parts_is_read_through_its_links() -> None:
    recipe = recipe_of_graph(flux_graph())
    assert recipe.prompt == "petals in the rain\nlong words"
    assert (recipe.negative_prompt, recipe.seed) == (None, "77")
    assert (recipe.sampler, recipe.scheduler, recipe.steps) == ("dpmpp_2m", "simple", 28)
    assert recipe.model == "flux-dev.safetensors"
    assert recipe.loras == (LoraUse(name="ink", strength=0.5), LoraUse(name="soft", strength=1.0))
    assert (recipe.width, recipe.height) == (1024, 576)


def test_what_is_not_linked_to_the_sampler_does_not_count() -> None:
    graph = {
        "0": node("CLIPTextEncode", text="left over"),
        "1": node("CheckpointLoaderSimple", ckpt_name="unused.safetensors"),
        "2": node("LoraLoader", lora_name="bypassed", strength_model=1.0, model=["1", 0]),
        **simple_graph(),
    }
    recipe = recipe_of_graph(graph)
    assert (recipe.prompt, recipe.model) == ("a girl on a rooftop", "anything.safetensors")
    assert recipe.loras == ()


def test_the_first_pass_is_the_recipe_of_a_picture_that_was_refined() -> None:
    refine = node(
        "KSampler",
        seed=1,
        steps=8,
        cfg=3.0,
        positive=["6", 0],
        negative=["7", 0],
        latent_image=["2", 0],
    )
    graph = {"1": refine, "2": node("LatentUpscale", samples=["3", 0], width=1024, height=1536)}
    recipe = recipe_of_graph({**graph, **simple_graph()})
    assert (recipe.seed, recipe.steps, recipe.width) == (str(MAX_SEED), 20, 512)


def test_a_silenced_negative_says_nothing() -> None:
    graph = simple_graph(**{"7": node("ConditioningZeroOut", conditioning=["6", 0])})
    assert recipe_of_graph(graph).negative_prompt is None


def test_texts_come_through_a_control_net_on_their_own_side() -> None:
    net = node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], strength=1.0)
    graph = simple_graph(**{"9": net})
    graph["3"]["inputs"] |= {"positive": ["9", 0], "negative": ["9", 1]}
    recipe = recipe_of_graph(graph)
    assert (recipe.prompt, recipe.negative_prompt) == ("a girl on a rooftop", "blurry")


def test_a_loader_of_many_loras_lists_those_that_are_on() -> None:
    stack = node(
        "Power Lora Loader",
        lora_1={"on": True, "lora": "ink", "strength": 0.7},
        lora_2={"on": False, "lora": "off", "strength": 1},
        model=["4", 0],
    )
    graph = simple_graph(**{"9": stack})
    graph["3"]["inputs"]["model"] = ["9", 0]
    assert recipe_of_graph(graph).loras == (LoraUse(name="ink", strength=0.7),)


def test_links_in_a_circle_come_to_an_end() -> None:
    graph = simple_graph(**{"6": node("ConditioningCombine", conditioning_1=["6", 0])})
    graph["4"]["inputs"] = {"model": ["4", 0]}
    assert recipe_of_graph(graph).prompt is None


def test_our_stamp_is_believed_before_the_graph_which_fills_the_rest() -> None:
    recipe = recipe_of({"anime": STAMP.model_dump_json(), **texts_of(simple_graph())})
    assert (recipe.prompt, recipe.source) == ("as it was ordered", "anime")
    assert (recipe.seed, recipe.model) == (str(MAX_SEED), "anything.safetensors")


def test_parameters_are_read_where_there_is_no_graph() -> None:
    recipe = recipe_of({"parameters": PARAMETERS})
    assert (recipe.prompt, recipe.negative_prompt) == ("a cat", "dogs")
    assert (recipe.seed, recipe.sampler, recipe.source) == ("5", "Euler a", "automatic1111")
    assert recipe.parameters == PARAMETERS


def test_the_shape_is_the_same_whatever_is_known() -> None:
    assert set(recipe_of({}).metadata()) == SHAPE
    assert recipe_of({}) == Recipe()
    full = recipe_of({**texts_of(simple_graph()), "workflow": '{"nodes": []}'}).metadata()
    assert set(full) == {*SHAPE, "models", "samplers", "graph", "editor_workflow"}


def test_the_file_knows_its_own_size_best() -> None:
    recipe = recipe_of(texts_of(simple_graph()))
    seen = recipe.seen_in_file(width=2048, height=3072, frames=1, duration_seconds=None)
    assert (seen.width, seen.height, seen.frames) == (2048, 3072, 1)
    sound = recipe.seen_in_file(width=None, height=None, frames=None, duration_seconds=1.5)
    assert (sound.width, sound.duration_seconds) == (512, 1.5)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, True, 1.5, "seven", None])
def test_a_seed_that_cannot_be_is_none(seed: JsonValue) -> None:
    graph = simple_graph()
    graph["3"]["inputs"]["seed"] = seed
    assert recipe_of(texts_of(graph)).seed is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a plain prompt",
        "{}",
        "[]",
        "null",
        '{"1": {}}',
        '{"1": {"class_type": "X"}}',
        '{"1": {"class_type": "X", "inputs": []}}',
        '{"1": {"class_type": "X", "inputs": {}, "_meta": 1}}',
        '{"nodes": [], "links": []}',
        "[" * 100_000,
    ],
)
def test_what_is_no_graph_is_no_graph(text: str) -> None:
    recipe = recipe_of({"prompt": text})
    assert (recipe.graph, recipe.source) == (None, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: {**graph, "version": 0.4},
        lambda graph: {**graph, "98": None, "99": {"class_type": "Note"}},
        lambda graph: {key: {**each, "_meta": None} for key, each in graph.items()},
        lambda graph: {"prompt": graph, "client_id": "x"},
        lambda graph: {"prompt": json.dumps(graph), "workflow": {"nodes": []}},
    ],
    ids=["version", "no nodes", "no titles", "a request", "all texts"],
)
@pytest.mark.parametrize("name", ["prompt", "Comment"])
def test_a_graph_is_read_whatever_stands_around_it(name: str, change: Any) -> None:
    graph = simple_graph()
    recipe = recipe_of({name: json.dumps(change(graph)) + "\0"})
    assert (recipe.prompt, recipe.source) == ("a girl on a rooftop", "comfyui")
    assert recipe.graph is not None
    assert list(recipe.graph) == list(graph)
    kept = json.loads(recipe.metadata_text())["graph"]
    assert kept["3"]["inputs"] == graph["3"]["inputs"]


def test_a_text_in_a_text_in_a_text_is_kept_and_not_looked_into_for_ever() -> None:
    nested: JsonValue = {"long": "x" * 1_000_000}
    for _ in range(60):
        nested = {"prompt": nested}
    assert list(recipe_of({"Comment": json.dumps(nested)}).texts) == ["prompt"]


def test_texts_that_postgresql_refuses_are_made_storable() -> None:
    graph = simple_graph(**{"6": node("CLIPTextEncode", text="a\x00b\ud800c")})
    recipe = recipe_of(texts_of(graph))
    assert recipe.prompt == "a\ufffdb\ufffdc"
    assert "\\u0000" not in json.dumps(recipe.metadata())


def test_prompts_are_kept_to_a_length_that_can_be_indexed() -> None:
    graph = simple_graph(**{"6": node("CLIPTextEncode", text="x" * 200_000)})
    assert len(recipe_of(texts_of(graph)).prompt or "") == 50_000


def test_a_graph_as_large_as_they_come_is_read_in_no_time() -> None:
    graph = simple_graph()
    for number in range(4_000):
        links = {f"conditioning_{each}": [f"c{number + each}", 0] for each in range(1, 4)}
        graph[f"c{number}"] = node("ConditioningCombine", text=[f"c{number + 1}", 0], **links)
    graph["3"]["inputs"]["positive"] = ["c0", 0]
    assert recipe_of(texts_of(graph)).seed == str(MAX_SEED)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["positive", "negative", "model", "seed", "steps", "text", "guider", "latent_image", "sigmas"]
)
LINKS = st.tuples(st.sampled_from(["1", "2", "3", "9"]), st.integers(0, 2)).map(list)
GRAPHS = st.dictionaries(
    st.sampled_from(["1", "2", "3"]),
    st.fixed_dictionaries(
        {
            "class_type": st.sampled_from(["KSampler", "X"]),
            "inputs": st.dictionaries(NAMES, LINKS | VALUES),
        }
    ),
)


@given(st.dictionaries(st.sampled_from(["prompt", "workflow", "parameters", "anime"]), st.text()))
def test_no_texts_raise(texts: dict[str, str]) -> None:
    assert set(recipe_of(texts).metadata()) >= SHAPE


@given(GRAPHS | VALUES)
def test_no_graph_raises_and_what_is_kept_is_json(graph: JsonValue) -> None:
    metadata = recipe_of({"prompt": json.dumps(graph)}).metadata()
    assert json.loads(json.dumps(metadata, allow_nan=False)) == metadata

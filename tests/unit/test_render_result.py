from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from anime.assets.metadata import Recipe
from anime.assets.render_result import RenderResult
from anime.comfyui.models import HistoryEntry, OutputFile
from anime.schemas import GenerationRequest

KSAMPLER = {
    "seed": 7,
    "steps": 4,
    "cfg": 7,
    "sampler_name": "euler",
    "model": ["2", 0],
    "positive": ["4", 0],
}
GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15"}},
    "2": {
        "class_type": "LoraLoader",
        "inputs": {"lora_name": "ink", "strength_model": 0.5, "model": ["1", 0]},
    },
    "3": {
        "class_type": "KSampler",
        "inputs": KSAMPLER,
    },
    "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "snow, from a template"}},
}
TAKE = RenderResult(
    job_id=UUID(int=7),
    request=GenerationRequest(prompt="snow", project="Neon City"),
    seed=2**64 - 1,
    attempt=1,
    prompt_id=UUID(int=8),
    graph=GRAPH,
    entry=HistoryEntry(prompt_id=str(UUID(int=8)), succeeded=True),
    comfyui_url="http://comfyui",
    comfyui_version="0.3.64",
    submitted_at=datetime(2026, 11, 22, tzinfo=UTC),
)


def test_a_take_is_told_in_the_shape_of_every_file() -> None:
    told = TAKE.metadata()
    assert set(Recipe().metadata()) <= set(told)
    assert (told["model"], told["sampler"], told["steps"]) == ("sd15", "euler", 4)
    assert (told["source"], told["graph"]) == ("anime", GRAPH)


def test_what_was_ordered_counts_before_what_the_graph_says() -> None:
    told = TAKE.metadata()
    assert (told["prompt"], told["seed"]) == ("snow", str(2**64 - 1))


def test_of_several_nodes_that_save_one_may_be_the_take() -> None:
    files = (OutputFile(filename="a.png", node_id="7"), OutputFile(filename="b.png", node_id="9"))
    entry = TAKE.entry.model_copy(update={"outputs": files, "unkept": ("text of node 3",)})
    everything = replace(TAKE, entry=entry)
    assert (everything.saved, everything.unkept) == (files, ("text of node 3",))
    taken = replace(everything, output_node="9")
    assert taken.saved == files[1:]
    assert taken.unkept == ("text of node 3", "a.png of node 7 (not the take)")


def test_loras_keep_the_keys_they_had() -> None:
    lora = {"name": "ink", "strength": 0.5, "strength_model": 0.5, "strength_clip": None}
    assert TAKE.metadata()["loras"] == [lora]


def test_each_node_of_a_take_has_a_recipe_of_its_own() -> None:
    graph = {
        **GRAPH,
        "5": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
        "6": {"class_type": "KSampler", "inputs": {**KSAMPLER, "steps": 9}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0]}},
    }
    take = replace(TAKE, graph=graph)
    assert [take.made_by(node)["steps"] for node in ("5", "7")] == [4, 9]
    assert "seed" not in take.made_by("5")  # it is as was asked for

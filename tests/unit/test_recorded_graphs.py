"""A recorded graph as a workflow: what it renders is the very same graph."""

from copy import deepcopy
from typing import TypeAlias

import pytest
from pydantic import JsonValue

from anime.core.comparison import compare_settings, compare_words, unknown_settings
from anime.core.graphs import Graph
from anime.core.paths import is_recorded
from anime.core.recorded_graphs import pictures_in, recorded_workflow
from anime.core.servers import ServerFingerprint, ServerRecord, server_like
from anime.core.template_format import parse_template
from anime.core.workflow_build import build
from anime.errors import InvalidRequest
from anime.schemas import GenerationType
from tests.unit.test_servers import server

SEED = 2**64 - 1
GRAPH: Graph = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": SEED, "steps": 20, "positive": ["6", 0], "latent_image": ["9", 0]},
        "is_changed": ["abc"],
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a roof"}, "_meta": {"title": "+"}},
    "9": {"class_type": "LoadImage", "inputs": {"image": "sketch.png", "upload": "image"}},
    "12": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "old"}},
}
Made: TypeAlias = dict[str, JsonValue]
MADE: Made = {"prompt": "a roof", "seed": str(SEED), "graph": None}


def rebuilt(graph: Graph, made: Made) -> Graph:
    recorded = recorded_workflow(graph, made, kind="image", pictures={})
    name = recorded.request.workflow_name
    assert is_recorded(name)
    template = parse_template(name, recorded.graph, recorded.binding)
    seed = recorded.request.seed or 0
    return build(template, recorded.request, seed=seed, filename_prefix="old")


def without_beside(graph: Graph) -> Graph:
    kept = deepcopy(graph)
    for node in kept.values():
        node.pop("is_changed", None)
        node.setdefault("_meta", {})
    return kept


@pytest.mark.parametrize(
    "made",
    [
        dict(MADE),
        {},
        {"prompt": "another", "seed": "12"},
        {"prompt": "a roof", "seed": "20"},  # as the steps
        {"prompt": "x" * 20_000, "seed": "no number"},
        {"prompt": " ", "seed": str(2**64)},
    ],
)
def test_the_graph_that_is_rendered_is_the_one_that_was_recorded(made: Made) -> None:
    assert rebuilt(GRAPH, made) == without_beside(GRAPH)


def test_seed_and_prompt_are_those_of_the_record() -> None:
    request = recorded_workflow(GRAPH, MADE, kind="video", pictures={}).request
    assert (request.seed, request.prompt) == (SEED, "a roof")
    assert request.type is GenerationType.VIDEO
    foreign = recorded_workflow(GRAPH, {"seed": "12"}, kind="image", pictures={}).request
    assert foreign.seed is None, "the graph has no such seed"


def test_a_picture_that_the_library_has_is_uploaded_again() -> None:
    recorded = recorded_workflow(GRAPH, MADE, kind="image", pictures={"sketch.png": "sketch.png"})
    assert recorded.request.inputs == {"picture_1": ".inputs/sketch.png"}
    assert pictures_in(GRAPH) == ["sketch.png"]


def test_one_graph_has_one_name_and_another_has_another() -> None:
    def name_of(graph: Graph) -> str:
        return recorded_workflow(graph, MADE, kind="image", pictures={}).request.workflow_name

    other = deepcopy(GRAPH)
    other["3"]["inputs"]["steps"] = 21
    again = deepcopy(dict(reversed(GRAPH.items())))
    again["12"]["inputs"]["filename_prefix"] = "jobs/another"
    assert name_of(GRAPH) == name_of(again) != name_of(other)


def test_a_graph_that_saves_nothing_is_refused() -> None:
    graph = {"1": {"class_type": "PreviewImage", "inputs": {}}}
    with pytest.raises(InvalidRequest, match="saves no file"):
        recorded_workflow(graph, MADE, kind="image", pictures={})


def test_what_two_files_say_is_compared_setting_by_setting() -> None:
    one: Made = {
        "steps": 20,
        "model": "a",
        "seed": "1",
        "server": {"url": "http://a", "device": "L40S"},
    }
    other: Made = {"steps": 28, "model": "a", "seed": None, "server": {"url": "http://a"}}
    found = {each.setting: (each.first, each.second) for each in compare_settings(one, other)}
    assert found == {"steps": (20, 28), "seed": ("1", None), "server.device": ("L40S", None)}
    assert unknown_settings(one, other) == [
        "model hash is not recorded",
        "server: comfyui version is not recorded",
        "server: device is not recorded",
    ]


def test_pictures_that_graphs_load_are_compared() -> None:
    other = deepcopy(GRAPH)
    other["9"]["inputs"]["image"] = "coat.png"
    [found] = compare_settings({"graph": GRAPH}, {"graph": other})  # type: ignore[dict-item]
    assert (found.setting, found.first, found.second) == (
        "pictures",
        ["sketch.png"],
        ["coat.png"],
    )


def test_words_are_compared_whatever_stands_between_them() -> None:
    assert compare_words({"prompt": "a roof, dusk"}, {"prompt": "a roof\ndusk"}) == []
    [found] = compare_words({"prompt": "屋根、夜"}, {"prompt": "屋根、朝"})
    assert (found.removed, found.added) == (["夜"], ["朝"])


def test_a_server_like_the_recorded_one_is_found_itself_first() -> None:
    def having(name: str, version: str, device: str) -> ServerRecord:
        fingerprint = ServerFingerprint(version=version, devices=(device,))
        return server(name).model_copy(update={"fingerprint": fingerprint})

    servers = [
        having("a", "0.33", "L40S"),
        having("b", "0.33", "L40S"),
        having("c", "0.34", "L40S"),
        having("d", "0.33", "H100"),
    ]
    recorded = {"comfyui_version": "0.33", "device": "L40S", "url": servers[1].url}
    assert server_like(recorded, servers) == "b"
    assert server_like(recorded, servers[:1]) == "a"
    assert server_like(recorded, servers[2:]) is None
    assert server_like({"url": servers[0].url}, servers) is None, "its version is not known"

"""A studio decides which node classes graphs may use; a graph's classes can be listed."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from anime.assets.folder_reader import FolderReader
from anime.assets.store import AssetStore
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.workflow_templates import load_template
from anime.core.graphs import Graph
from anime.core.node_classes import NodeClassPolicy, node_classes
from anime.db.session import Database
from anime.errors import InvalidWorkflow, PromptRejected
from anime.jobs.admission import Admission, QueueLimit
from anime.schemas import GenerationRequest
from anime.settings import load_settings
from tasks.preflight import prepare_template
from tests.support.jobs import shipped_as_mine

GRAPH: Graph = {
    "1": {"class_type": "LoadImage", "inputs": {}, "_meta": {"title": "Start"}},
    "2": {"class_type": "RunPython", "inputs": {}, "_meta": {"title": "Script"}},
    "3": {"class_type": "RunPython", "inputs": {}},
}
REQUEST = GenerationRequest(prompt="a cat", workflow="mine")


def refusal(policy: NodeClassPolicy, **more: Any) -> str:
    with pytest.raises(InvalidWorkflow) as caught:
        policy.check(GRAPH, **more)
    return str(caught.value)


def test_the_classes_of_a_graph_are_listed_with_their_nodes() -> None:
    assert node_classes(GRAPH) == {"LoadImage": ("1",), "RunPython": ("2", "3")}


def test_nothing_is_denied_unless_a_setting_says_so() -> None:
    load_settings().node_class_policy.check(GRAPH)


def test_a_denied_class_is_refused_with_setting_class_and_node() -> None:
    assert refusal(NodeClassPolicy(denied=("Save*", "Run*"))) == (
        'Node "Script" (2) and 1 more: ANIME_DENIED_NODE_CLASSES denies the class RunPython '
        "(Run*). Take it out of the workflow, or change the setting."
    )


def test_with_allowed_classes_all_others_are_refused() -> None:
    NodeClassPolicy(allowed=("Load*", "RunPython")).check(GRAPH)
    assert "ANIME_ALLOWED_NODE_CLASSES does not allow the class RunPython" in refusal(
        NodeClassPolicy(allowed=("Load*", "runpython"))
    )


def test_what_is_denied_stays_denied_if_it_is_allowed() -> None:
    assert "denies the class LoadImage" in refusal(NodeClassPolicy(("*",), ("LoadImage",)))


def test_a_class_is_judged_by_what_the_server_replaces_it_by_as_well() -> None:
    policy = NodeClassPolicy(denied=("ReadFile",))
    policy.check(GRAPH)
    assert "denies the class ReadFile" in refusal(policy, successors={"LoadImage": "ReadFile"})


def test_a_refusal_is_short_whatever_a_graph_calls_its_classes() -> None:
    long = "x" * 100_000
    with pytest.raises(InvalidWorkflow) as caught:
        NodeClassPolicy(denied=("x*",)).check(
            {long: {"class_type": long, "inputs": {}, "_meta": {"title": long}}}
        )
    assert len(str(caught.value)) < 500


def test_the_settings_are_lists_of_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIME_ALLOWED_NODE_CLASSES", "Load*, KSampler")
    monkeypatch.setenv("ANIME_DENIED_NODE_CLASSES", "LoadLatent,")
    assert load_settings().node_class_policy == NodeClassPolicy(
        allowed=("Load*", "KSampler"), denied=("LoadLatent",)
    )


async def test_a_request_for_a_denied_class_is_not_admitted(tmp_path: Path) -> None:
    settings = load_settings(
        workflows_dir=shipped_as_mine(tmp_path), denied_node_classes="VAEDecode"
    )
    admission = Admission(
        settings, Database("postgresql:///nowhere"), QueueLimit(1), FolderReader(settings.library)
    )
    with pytest.raises(InvalidWorkflow, match="denies the class VAEDecode"):
        await admission.check(REQUEST)


class OneClassServer(httpx.AsyncBaseTransport):
    """A server that has CheckpointLoaderSimple alone, and replaces the class VAEDecode by it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        if name == "node_replacements":
            return httpx.Response(
                200, json={"VAEDecode": [{"new_node_id": "CheckpointLoaderSimple"}], "Odd": []}
            )
        known = {"input": {"required": {"ckpt_name": [["a"]]}}, "output_node": False}
        return httpx.Response(200, json={name: known} if name == "CheckpointLoaderSimple" else {})


async def prepared(folder: Path, policy: NodeClassPolicy) -> str:
    with pytest.raises((InvalidWorkflow, PromptRejected)) as caught:
        await prepare_template(
            ComfyUIClient("http://comfyui", transport=OneClassServer()),
            load_template("mine", shipped_as_mine(folder)),
            REQUEST.model_copy(update={"model": "a"}),
            library=AssetStore(folder),
            default_model=None,
            node_class_policy=policy,
        )
    return str(caught.value)


async def test_a_denied_class_is_refused_before_it_is_submitted(tmp_path: Path) -> None:
    policy = NodeClassPolicy(denied=("Empty*",))
    assert "denies the class EmptyLatentImage" in await prepared(tmp_path, policy)


async def test_a_class_that_the_server_replaces_is_not_missing(tmp_path: Path) -> None:
    refused = await prepared(tmp_path, NodeClassPolicy())
    assert "KSampler" in refused
    assert "VAEDecode" not in refused


async def test_a_replaced_class_has_the_name_of_its_successor_and_no_inputs() -> None:
    client = ComfyUIClient("http://comfyui", transport=OneClassServer())
    replaced = await client.replaced_classes({"VAEDecode", "KSampler", "Odd"})
    assert {old: info.name for old, info in replaced.items()} == {
        "VAEDecode": "CheckpointLoaderSimple"
    }
    assert replaced["VAEDecode"].required == {}

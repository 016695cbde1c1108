"""A workflow that somebody has becomes one of the studio's: by command, over HTTP, on the disk."""

import asyncio
import errno
import fcntl
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from anime.api.examples import CLASSES, examples
from anime.assets.workflow_store import WorkflowStore
from anime.comfyui.workflow_templates import load_template
from anime.core.graphs import Graph
from anime.core.workflow_records import NewWorkflow
from anime.errors import AlreadyExists, ConfigurationError, InvalidWorkflow, NotFound
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.definitions import definitions
from anime.rehearsal.server import serving
from anime.settings import Settings
from tests.integration.api_client import opened_api, problem_in
from tests.integration.test_cli_commands import Commands, Finished
from tests.unit.test_proposals import node, text_to_image

WORKFLOWS = "/api/anime/workflows"
BINDING = 'title = "Mine"\noutput = "image"\nneeds_prompt = false\ninputs = {}\n'
OTHER = BINDING.replace("Mine", "Other")
GRAPH = json.dumps(text_to_image())


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != ".lock"}


@pytest.fixture
def store(tmp_path: Path) -> WorkflowStore:
    return WorkflowStore(tmp_path / "workflows", may_create=True)


def test_a_workflow_is_written_renamed_and_removed_as_two_files(store: WorkflowStore) -> None:
    store.save("mine", GRAPH, BINDING, may_replace=False)
    assert names_in(store.folder) == {"mine.json", "mine.toml"}
    store.rename("mine", "ours")
    assert names_in(store.folder) == {"ours.json", "ours.toml"}
    assert load_template("ours", store.folder).binding.title == "Mine"
    store.remove("ours")
    assert names_in(store.folder) == set()


def test_nothing_is_overwritten_unasked(store: WorkflowStore) -> None:
    store.save("mine", GRAPH, BINDING, may_replace=False)
    store.save("other", GRAPH, OTHER, may_replace=False)
    with pytest.raises(AlreadyExists):
        store.save("mine", GRAPH, OTHER, may_replace=False)
    with pytest.raises(AlreadyExists):
        store.rename("other", "mine")
    assert load_template("mine", store.folder).binding.title == "Mine"
    store.save("mine", GRAPH, OTHER, may_replace=True)
    assert load_template("mine", store.folder).binding.title == "Other"


def test_what_was_there_comes_back_if_the_binding_cannot_be_written(store: WorkflowStore) -> None:
    store.save("mine", GRAPH, BINDING, may_replace=False)
    (store.folder / "mine.toml").unlink()
    (store.folder / "mine.toml").mkdir()  # a file cannot take the place of a folder
    (store.folder / "mine.toml" / "in the way").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        store.save("mine", "{}", BINDING, may_replace=True)
    assert (store.folder / "mine.json").read_text() == GRAPH
    assert names_in(store.folder) == {"mine.json", "mine.toml"}
    (store.folder / "new.toml").mkdir()
    with pytest.raises(ConfigurationError):
        store.save("new", GRAPH, BINDING, may_replace=True)
    assert not (store.folder / "new.json").exists()


@pytest.mark.parametrize(
    "name", ["", "a/b", "../a", ".hidden", "A", "a b", "a\n", "é", "x" * 65, "-a", "a\x00"]
)
def test_a_name_that_could_lead_anywhere_is_refused(store: WorkflowStore, name: str) -> None:
    with pytest.raises(InvalidWorkflow):
        store.save(name, GRAPH, BINDING, may_replace=True)
    with pytest.raises(InvalidWorkflow):
        store.remove(name)
    with pytest.raises((InvalidWorkflow, NotFound)):
        store.rename("mine", name)
    assert not store.folder.exists() or names_in(store.folder) == set()


def test_writers_of_one_name_leave_a_pair_that_belongs_together(store: WorkflowStore) -> None:
    async def write_all() -> None:
        await asyncio.gather(
            *(
                asyncio.to_thread(store.save, "mine", f"{number}", f"{number}", may_replace=True)
                for number in range(40)
            )
        )

    asyncio.run(write_all())
    graph, binding = (store.folder / f"mine.{suffix}" for suffix in ("json", "toml"))
    assert graph.read_text() == binding.read_text()
    assert names_in(store.folder) == {"mine.json", "mine.toml"}


def test_a_folder_that_should_be_there_is_not_made_anew(tmp_path: Path) -> None:
    lost = WorkflowStore(tmp_path / "mount")
    with pytest.raises(ConfigurationError, match="mount"):
        lost.save("mine", GRAPH, BINDING, may_replace=False)
    assert not lost.folder.exists()


def test_a_disk_that_takes_no_text_has_no_draft_of_it(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ConfigurationError, match="No space left"):
        store.save("mine", GRAPH, BINDING, may_replace=False)
    assert names_in(store.folder) == set()


def test_a_folder_without_locks_is_said_so(
    store: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ConfigurationError, match="No locks available"):
        store.save("mine", GRAPH, BINDING, may_replace=False)


@dataclass(frozen=True)
class Studio:
    """Commands with a folder of workflows of their own."""

    folder: Path

    @property
    def own(self) -> Path:
        return self.folder / "workflows"

    def write(self, name: str, graph: Graph | dict[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(graph))
        return path

    async def call(self, *words: str, **variables: str) -> Finished:
        info = self.folder / "object_info.json"
        if not info.exists():
            info.write_text(json.dumps(definitions()))
        environment = {"ANIME_WORKFLOWS_DIR": str(self.own), **variables}
        more = ("--object-info", str(info)) if words[0] == "add" else ()
        return await Commands(environment).call("workflow", *words, *more)


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    (tmp_path / "workflows").mkdir()
    return Studio(tmp_path)


async def test_a_workflow_is_added_with_all_that_is_certain(studio: Studio) -> None:
    added = await studio.call("add", str(studio.write("My Look.json", text_to_image())), "--yes")
    assert added.code == 0, added.err
    assert added.out.strip() == str(studio.own / "my-look.toml")
    assert "CheckpointLoaderSimple, EmptyLatentImage, KSampler" in added.err
    template = load_template("my-look", studio.own)
    assert set(template.inputs) >= {"prompt", "negative_prompt", "seed", "width", "height", "steps"}
    assert "my-look" in (await studio.call("list")).out
    shown = json.loads((await studio.call("show", "my-look", "--json")).out)
    assert shown["places"]["prompt"] == ["2.text"]
    assert (await studio.call("check")).code == 0


async def test_shipped_workflows_stay_beside_the_studios_own(studio: Studio) -> None:
    await studio.call("add", str(studio.write("mine.json", text_to_image())), "--yes")
    listed = json.loads((await studio.call("list", "--json")).out)
    own = {each["name"]: each["is_own"] for each in listed}
    assert own["mine"]
    assert [name for name in ("animation", "img2img", "txt2img") if own[name]] == []
    refused = await studio.call("remove", "txt2img")
    assert refused.code == 1
    assert "those that are shipped stay" in refused.err


async def test_a_doubtful_prompt_is_asked_for_by_name(studio: Studio) -> None:
    graph = text_to_image(n8=node("CLIPTextEncode", text="a dog", clip=["1", 1]))
    graph["9"] = node(
        "KSampler", **graph["5"]["inputs"] | {"positive": ["8", 0], "latent_image": ["5", 0]}
    )
    graph["6"]["inputs"]["samples"] = ["9", 0]
    file = str(studio.write("two.json", graph))
    refused = await studio.call("add", file, "--yes")
    assert refused.code == 1
    assert "There are: 8.text, 2.text" in refused.err
    assert names_in(studio.own) == set()
    assert (await studio.call("add", file, "--yes", "--bind", "prompt=2.text")).code == 0


async def test_without_a_terminal_and_without_yes_nothing_is_written(studio: Studio) -> None:
    refused = await studio.call("add", str(studio.write("mine.json", text_to_image())))
    assert refused.code == 1
    assert "--yes" in refused.err
    assert names_in(studio.own) == set()


class Answers(StringIO):
    """What a person types at a terminal."""

    def isatty(self) -> bool:
        return True


async def test_at_a_terminal_each_doubt_is_asked_and_the_whole_confirmed(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = text_to_image(n20=node("SaveImage", "Second", filename_prefix="x", images=["6", 0]))
    file = str(studio.write("mine.json", graph))
    monkeypatch.setattr(sys, "stdin", Answers("9\n2\nn\n"))
    declined = await studio.call("add", file)
    assert declined.code == 1
    assert "Give a number from 1 to 2" in declined.err
    assert names_in(studio.own) == set()
    monkeypatch.setattr(sys, "stdin", Answers("2\ny\n"))
    added = await studio.call("add", file)
    assert added.code == 0, added.err
    assert "output: 2 nodes save files" in added.err
    assert load_template("mine", studio.own).output_node == "20"


async def test_a_changed_graph_keeps_what_was_confirmed_and_tells_what_is_lost(
    studio: Studio,
) -> None:
    graph = text_to_image()
    added = await studio.call(
        *("add", str(studio.write("mine.json", graph)), "--yes", "--bind", "glow=5.denoise")
    )
    assert added.code == 0, added.err
    graph["5"]["inputs"].pop("denoise")
    again = await studio.call("add", str(studio.write("mine.json", graph)), "--yes", "--replace")
    assert again.code == 0, again.err
    assert "glow is lost" in again.err
    assert "glow" not in load_template("mine", studio.own).inputs


async def test_a_denied_class_is_refused_by_its_setting(studio: Studio) -> None:
    refused = await studio.call(
        *("add", str(studio.write("mine.json", text_to_image())), "--yes"),
        ANIME_DENIED_NODE_CLASSES="VAE*",
    )
    assert refused.code == 1
    assert "ANIME_DENIED_NODE_CLASSES" in refused.err
    assert names_in(studio.own) == set()


@pytest.mark.parametrize(
    "content", ["", "nonsense", "[]", "{}", '{"nodes": []}', '{"1": 2, "1": 3}']
)
async def test_a_file_that_is_no_workflow_is_refused_in_a_sentence(
    studio: Studio, content: str
) -> None:
    path = studio.folder / "bad.json"
    path.write_text(content)
    refused = await studio.call("add", str(path), "--yes")
    assert refused.code == 1, refused
    assert len(refused.err) < 500
    assert names_in(studio.own) == set()


async def test_a_check_asks_the_server_what_it_lacks(studio: Studio, tmp_path: Path) -> None:
    graph = text_to_image()
    graph["30"] = node(
        "LoraLoaderModelOnly", lora_name="gone.safetensors", strength_model=1.0, model=["1", 0]
    )
    graph["5"]["inputs"]["model"] = ["30", 0]
    await studio.call("add", str(studio.write("glows.json", graph)), "--yes")
    await studio.call("add", str(studio.write("plain.json", text_to_image())), "--yes")
    assert (await studio.call("check", "glows")).code == 0
    async with serving(RehearsalConfig(data_dir=tmp_path / "comfyui", port=0)) as url:
        asked = await studio.call("check", "--server", ANIME_COMFYUI_URL=url)
    assert asked.code == 1
    verdicts = dict(line.split(maxsplit=1) for line in asked.out.splitlines() if line.strip())
    assert '"gone.safetensors" does not exist' in verdicts["glows"]
    assert verdicts["plain"].strip() == "good"  # a job takes another checkpoint


async def test_a_workflow_goes_to_another_studio_as_two_files(studio: Studio) -> None:
    await studio.call("add", str(studio.write("mine.json", text_to_image())), "--yes")
    there = studio.folder / "there"
    assert (await studio.call("export", "mine", "--output-dir", str(there))).code == 0
    assert (await studio.call("export", "txt2img", "--output-dir", str(there))).code == 0
    assert names_in(there) == {"mine.json", "mine.toml", "txt2img.json", "txt2img.toml"}
    assert (await studio.call("rename", "mine", "ours")).code == 0
    assert names_in(studio.own) == {"ours.json", "ours.toml"}


@pytest_asyncio.fixture
async def importing(api_settings: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    (tmp_path / "workflows").mkdir()
    async with (
        serving(RehearsalConfig(data_dir=tmp_path / "comfyui", port=0)) as url,
        opened_api(api_settings, comfyui_url=url, workflows_dir=tmp_path / "workflows") as client,
    ):
        yield client


async def test_a_workflow_is_imported_over_http_and_can_be_rendered_at_once(
    importing: httpx.AsyncClient, tmp_path: Path
) -> None:
    body = {"name": "mine", "workflow": {"prompt": text_to_image()}}
    answer = await importing.post(WORKFLOWS, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{WORKFLOWS}/mine"
    imported = answer.json()
    assert {"name": "prompt", "places": ["2.text"], "signal": "KSampler.positive"} in (
        imported["inputs"]
    )
    assert imported["missing_models"] == [
        {"name": "xl.safetensors", "url": None, "directory": None}
    ]
    record = (await importing.get(f"{WORKFLOWS}/mine")).json()
    assert record["inputs"]["properties"]["width"]["default"] == 1024
    listed = (await importing.get(WORKFLOWS)).json()["items"]
    assert "mine" in [each["name"] for each in listed]
    asked = {"prompt": "a cat", "workflow": "mine"}
    assert (await importing.post("/api/anime/generate", json=asked)).status_code == 202
    assert names_in(tmp_path / "workflows") == {"mine.json", "mine.toml"}


async def test_a_refused_import_says_why_and_writes_nothing(
    importing: httpx.AsyncClient, tmp_path: Path
) -> None:
    graph = text_to_image(n30=node("NobodyKnowsThis"))
    unknown = problem_in(
        await importing.post(WORKFLOWS, json={"name": "a", "workflow": graph}), 422
    )
    assert "NobodyKnowsThis" in unknown["detail"]
    nothing = await importing.post(WORKFLOWS, json={"name": "a", "workflow": {}})
    assert "holds no workflow" in problem_in(nothing, 422)["detail"]
    problem_in(await importing.post(WORKFLOWS, json={"name": "a/b", "workflow": graph}), 422)
    assert names_in(tmp_path / "workflows") == set()


async def test_a_name_that_is_taken_needs_to_be_replaced(importing: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"name": "mine", "workflow": text_to_image()}
    assert (await importing.post(WORKFLOWS, json=body)).status_code == 201
    problem_in(await importing.post(WORKFLOWS, json=body), 409)
    again = await importing.post(WORKFLOWS, json=body | {"replace": True})
    assert again.status_code == 201, again.text
    problem_in(await importing.get(f"{WORKFLOWS}/nobody"), 404)


async def test_the_example_of_an_import_is_a_good_one(importing: httpx.AsyncClient) -> None:
    example = examples()[NewWorkflow]
    answer = await importing.post(WORKFLOWS, json=example)
    assert answer.status_code == 201, answer.text
    imported = answer.json()
    assert imported["node_classes"] == CLASSES
    assert imported["missing_models"] == imported["warnings"] == imported["problems"] == []

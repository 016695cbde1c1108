"""The shipped workflows, and folders of workflows in every state."""

import errno
import json
import os
import re
import tomllib
from pathlib import Path
from typing import NoReturn

import pytest
from pydantic import JsonValue

from anime.comfyui.models import NodeInfo
from anime.comfyui.protocol import Reply, decode_object_info
from anime.comfyui.workflow_templates import (
    list_templates,
    load_template,
    read_workflow_files,
    template_names,
)
from anime.core.bindings import Binding
from anime.core.graph_validation import check_graph
from anime.core.graphs import is_link, title_of
from anime.core.workflow_build import build
from anime.errors import (
    AnimeError,
    InvalidRequest,
    InvalidWorkflow,
    StorageUnavailable,
    is_retryable,
)
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.node_types import NodeType
from anime.rehearsal.nodes import models_named_in, node_catalogue
from anime.rehearsal.validation import validate_graph
from anime.schemas import GenerationRequest, GenerationType, LoraChoice
from anime.settings import PROJECT_DIR, load_settings
from anime.settings import SHIPPED_WORKFLOWS as SHIPPED

NAMES = [
    "animation",
    "anime",
    "edit",
    "image_to_video",
    "img2img",
    "sdxl",
    "text_to_video",
    "txt2img",
    "z_image",
]


def test_these_workflows_are_shipped() -> None:
    assert [template.name for template in list_templates(SHIPPED)] == NAMES


def test_the_documentation_names_every_shipped_workflow() -> None:
    text = (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize("kind", list(GenerationType))
def test_each_type_of_generation_has_a_workflow_of_its_own(kind: GenerationType) -> None:
    request = GenerationRequest(prompt="a cat", type=kind)
    assert load_template(request.workflow_name, SHIPPED).output.value == kind.value


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_workflow_describes_itself_and_takes_loras(name: str) -> None:
    template = load_template(name, SHIPPED)
    assert template.binding.title
    assert template.binding.description.endswith(".")
    assert template.binding.loras
    for bound in template.inputs.values():
        assert bound.description or bound.kind not in ("image", "images", "seconds")


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_graph_has_no_loose_link_and_a_title_for_each_node(name: str) -> None:
    graph = load_template(name, SHIPPED).graph
    titles = [title_of(node) for node in graph.values()]
    assert len(set(titles)) == len(titles)
    for node in graph.values():
        assert node["_meta"]["title"] != node["class_type"]
        assert all(value[0] in graph for value in node["inputs"].values() if is_link(value))


def test_txt2img_takes_every_field_of_a_request() -> None:
    request = GenerationRequest(
        prompt="a girl on a rooftop",
        negative_prompt="blurry",
        model="xl.safetensors",
        width=1024,
        height=768,
        steps=30,
        cfg=5.5,
        sampler="dpmpp_2m",
        scheduler="karras",
        seed=2**64 - 1,
        batch_size=4,
    )
    template = load_template("txt2img", SHIPPED)
    graph = build(template, request, seed=2**64 - 1, filename_prefix="jobs/1/1/anime_1")
    by_title = {title_of(node): node["inputs"] for node in graph.values()}
    assert by_title["Positive prompt"]["text"] == "a girl on a rooftop"
    assert by_title["Negative prompt"]["text"] == "blurry"
    assert by_title["Checkpoint"]["ckpt_name"] == "xl.safetensors"
    assert by_title["Canvas"] == {"width": 1024, "height": 768, "batch_size": 4}
    sampler = {name: value for name, value in by_title["Sampler"].items() if not is_link(value)}
    assert sampler == {
        "seed": 2**64 - 1,
        "steps": 30,
        "cfg": 5.5,
        "sampler_name": "dpmpp_2m",
        "scheduler": "karras",
        "denoise": 1.0,
    }
    assert by_title["Save"]["filename_prefix"] == "jobs/1/1/anime_1"


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("animation", {"frames": 4}),
        ("anime", {}),
        ("edit", {"references": ["start.png", "start.png"]}),
        ("image_to_video", {"image": "start.png", "seconds": 3}),
        ("img2img", {"image": "start.png"}),
        ("sdxl", {}),
        ("text_to_video", {"seconds": 3}),
        ("txt2img", {}),
        ("z_image", {}),
    ],
)
def test_the_rehearsal_server_has_all_that_the_shipped_workflows_ask_for(
    name: str, inputs: dict[str, JsonValue]
) -> None:
    template = load_template(name, SHIPPED)
    models = tuple(models_named_in(template.graph))
    nodes = node_catalogue(RehearsalConfig(data_dir=Path("nowhere"), models=models), ["start.png"])
    request = GenerationRequest(
        prompt="a cat", inputs=inputs, loras=[LoraChoice(name="rehearsal-ink.safetensors")]
    )
    graph = build(template, request, seed=2**64 - 1, filename_prefix="x")
    classes = {node["class_type"] for node in graph.values()}
    assert check_graph(graph, {known: info_of(nodes[known]) for known in classes}) == ()
    result = validate_graph(graph, nodes, lambda file: file == "start.png")
    assert result.error is None
    assert result.node_errors == {}
    assert len(result.outputs) == 1


def info_of(node: NodeType) -> NodeInfo:
    body = json.dumps({node.name: node.describe()}).encode()
    info = decode_object_info(Reply(200, "application/json", body), node.name)
    assert info is not None
    return info


def test_img2img_asks_for_its_picture() -> None:
    template = load_template("img2img", SHIPPED)
    with pytest.raises(InvalidRequest, match=r"inputs\.image"):
        build(template, GenerationRequest(prompt="a cat"), seed=1, filename_prefix="x")


def test_an_animation_takes_frames_and_speed() -> None:
    request = GenerationRequest(prompt="a cat", type="video", inputs={"frames": 12, "fps": 8})
    graph = build(load_template("animation", SHIPPED), request, seed=1, filename_prefix="x")
    by_title = {title_of(node): node["inputs"] for node in graph.values()}
    assert by_title["Canvas"]["batch_size"] == 12
    assert by_title["Save"]["fps"] == 8


@pytest.mark.parametrize("name", ["txt2imgg", "", "../workflows/txt2img", "/etc/passwd", "README"])
def test_an_unknown_workflow_is_answered_with_the_names_there_are(name: str) -> None:
    with pytest.raises(InvalidWorkflow, match=", ".join(NAMES)):
        load_template(name, SHIPPED)


def test_a_misspelt_workflow_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidWorkflow, match='Did you mean "txt2img"'):
        load_template("text2img", SHIPPED)


def test_a_folder_without_workflows_says_so(tmp_path: Path) -> None:
    assert template_names(tmp_path) == ()
    with pytest.raises(InvalidWorkflow, match="The workflows are: none"):
        load_template("txt2img", tmp_path)


def test_a_missing_folder_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidWorkflow, match="ANIME_WORKFLOWS_DIR"):
        template_names(tmp_path / "gone")


def test_a_binding_without_its_graph_says_which_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    with pytest.raises(InvalidWorkflow, match=r"mine\.json is missing"):
        load_template("mine", tmp_path)


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    (tmp_path / "mine.json").write_bytes(b"\x80\x81")
    with pytest.raises(InvalidWorkflow, match=r"mine\.json is not UTF-8"):
        load_template("mine", tmp_path)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    (tmp_path / "mine.json").mkdir()
    with pytest.raises(InvalidWorkflow, match=r"mine\.json cannot be read"):
        load_template("mine", tmp_path)


@pytest.mark.parametrize("reader", ["iterdir", "read_text"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        *((each, InvalidWorkflow) for each in (errno.ENOENT, errno.EACCES, errno.ENOTDIR)),
        *((each, StorageUnavailable) for each in (errno.ESTALE, errno.EIO, errno.ETIMEDOUT)),
    ],
)
def test_a_mount_that_is_sick_is_no_fault_of_the_workflow(
    monkeypatch: pytest.MonkeyPatch, reader: str, fault: int, error: type[AnimeError]
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(Path, reader, refuse)
    with pytest.raises(error, match=re.escape(str(SHIPPED))) as refused:
        read_workflow_files("anime", SHIPPED) if reader == "read_text" else template_names(SHIPPED)
    assert is_retryable(refused.value) is (error is StorageUnavailable)


def test_a_workflow_of_ones_own_is_two_files_in_any_folder(tmp_path: Path) -> None:
    for suffix in (".json", ".toml"):
        text = (SHIPPED / f"txt2img{suffix}").read_text()
        (tmp_path / f"my-look{suffix}").write_text(f"\ufeff{text}", encoding="utf-8")
    assert load_template("my-look", tmp_path).binding.title == "Text to image"


def copy_shipped(name: str, folder: Path, *, title: str = "") -> None:
    for suffix in (".json", ".toml"):
        text = (SHIPPED / f"txt2img{suffix}").read_text()
        (folder / f"{name}{suffix}").write_text(text.replace("Text to image", title, 1))


def test_a_folder_of_ones_own_adds_to_the_shipped_workflows(tmp_path: Path) -> None:
    copy_shipped("mine", tmp_path, title="Mine")
    folders = load_settings(workflows_dir=tmp_path).workflow_folders
    assert template_names(*folders) == tuple(sorted([*NAMES, "mine"]))
    assert [template.name for template in list_templates(*folders)] == sorted([*NAMES, "mine"])
    assert load_template("mine", *folders).binding.title == "Mine"
    assert load_template("txt2img", *folders).binding.title == "Text to image"


def test_ones_own_workflow_goes_before_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    copy_shipped("txt2img", tmp_path, title="Mine")
    folders = load_settings(workflows_dir=tmp_path).workflow_folders
    assert template_names(*folders) == tuple(NAMES)
    assert load_template("txt2img", *folders).binding.title == "Mine"


def test_ones_own_folder_is_in_the_data_folder_unless_another_is_named(tmp_path: Path) -> None:
    own = tmp_path / "workflows"
    assert load_settings(home=tmp_path).workflow_folders == (SHIPPED,)
    own.mkdir()
    assert load_settings(home=tmp_path).workflow_folders == (own, SHIPPED)


def test_a_folder_that_is_named_and_gone_is_not_passed_over(tmp_path: Path) -> None:
    """A shipped workflow might be rendered in place of one's own of that name."""
    folders = load_settings(workflows_dir=tmp_path / "gone").workflow_folders
    with pytest.raises(InvalidWorkflow, match="ANIME_WORKFLOWS_DIR"):
        load_template("txt2img", *folders)


def test_an_edited_graph_is_told_and_still_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy_shipped("mine", tmp_path, title="Mine")
    binding = tmp_path / "mine.toml"
    binding.write_text(f'graph_sha256 = "{"0" * 64}"\n{binding.read_text()}')
    assert load_template("mine", tmp_path).binding.title == "Mine"
    [record] = caplog.records
    assert f"{tmp_path / 'mine.json'} is not the graph" in record.getMessage()


def test_a_workflow_that_was_changed_is_read_anew(tmp_path: Path) -> None:
    for suffix in (".json", ".toml"):
        (tmp_path / f"mine{suffix}").write_text((SHIPPED / f"txt2img{suffix}").read_text())
    first, again = load_template("mine", tmp_path), load_template("mine", tmp_path)
    binding = tmp_path / "mine.toml"
    binding.write_text(binding.read_text().replace("Text to image", "Another title"))
    assert first is again
    assert load_template("mine", tmp_path).binding.title == "Another title"


def test_the_binding_file_in_the_documentation_is_a_good_one() -> None:
    text = (PROJECT_DIR / "docs" / "workflows.md").read_text(encoding="utf-8")
    example, *others = [part.partition("```")[0] for part in text.split("```toml\n")[1:]]
    binding = Binding.model_validate(tomllib.loads(example))
    for other in others:
        table = tomllib.loads(other)
        inputs = {"prompt": {"node": "a", "input": "b"}} | table.pop("inputs", {})
        Binding.model_validate({"title": "a", "output": "image", "inputs": inputs} | table)
    assert binding.inputs["glow"].maximum == 2.0
    assert len(binding.inputs["seed"].targets) == 2

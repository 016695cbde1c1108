"""`anime workflow convert`: from files that people have to graphs, with no stack around."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL.PngImagePlugin import PngInfo

from anime.assets.workflow_files import MAX_JSON_BYTES
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.server import serving
from tests.integration.media_samples import draw, film, picture
from tests.integration.test_cli_commands import Commands, Finished
from tests.support.editor_workflows import OBJECT_INFO, Json, node, slot, workflow

EDITOR = workflow(
    [
        node(1, "Loader", values=["gone.safetensors"], outputs=["MODEL", "CLIP", "VAE"]),
        node(2, "Encode", slot("clip", 5, "CLIP"), values=["a 猫 // note"]),
    ],
    [[5, 1, 1, 2, 0, "CLIP"]],
)
CONVERTED = {"1": {"ckpt_name": "gone.safetensors"}, "2": {"text": "a 猫 ", "clip": ["1", 1]}}
RAN = {"1": {"inputs": {"value": 5}, "class_type": "Number"}}


class Converter:
    """Runs the command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "graphs"
        self.object_info = folder / "object_info.json"
        self.object_info.write_text(json.dumps(OBJECT_INFO))

    def write(self, name: str, content: object) -> Path:
        path = self.folder / name
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, "utf-8")
        return path

    async def __call__(self, *words: object, object_info: object = None) -> Finished:
        return await Commands().call(
            *("workflow", "convert", *map(str, words)),
            *("--object-info", str(object_info or self.object_info)),
            *("--output-dir", str(self.output)),
        )

    def graphs(self) -> dict[str, Json]:
        """The inputs of the nodes of each graph that was written."""
        return {
            path.stem: {
                node_id: each["inputs"] for node_id, each in json.loads(path.read_bytes()).items()
            }
            for path in (self.output.iterdir() if self.output.exists() else ())
        }


@pytest.fixture
def convert(tmp_path: Path) -> Converter:
    return Converter(tmp_path)


async def test_each_file_becomes_a_graph_and_its_path_is_printed(convert: Converter) -> None:
    files = [convert.write("one.json", EDITOR), convert.write("two.json", {"prompt": RAN})]
    done = await convert(*files)
    assert done.code == 0
    assert done.out.split() == [str(convert.output / "one.json"), str(convert.output / "two.json")]
    assert convert.graphs() == {"one": CONVERTED, "two": {"1": {"value": 5}}}
    assert "the server has no gone.safetensors" in done.err
    assert "without its comments" in done.err


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("picture.png", draw),
        ("picture.webp", draw),
        ("film.mp4", lambda path, *, texts: film(path, "libx264", None, texts)),
    ],
)
async def test_pictures_and_films_give_what_ran_before_what_was_edited(
    convert: Converter, name: str, make: Callable[..., Path]
) -> None:
    both = {"prompt": json.dumps(RAN), "workflow": json.dumps(EDITOR)}
    (convert.folder / "edited").mkdir()
    await convert(make(convert.folder / name, texts=both))
    stem = Path(name).stem
    assert convert.graphs() == {stem: {"1": {"value": 5}}}
    alone = make(convert.folder / "edited" / name, texts={"workflow": json.dumps(EDITOR)})
    assert (await convert(alone, "--replace")).code == 0
    assert convert.graphs() == {stem: CONVERTED}


async def test_a_refused_file_leaves_nothing_and_the_others_are_converted(
    convert: Converter,
) -> None:
    unknown = convert.write("unknown.json", workflow([node(3, "Theirs", title="Look")]))
    done = await convert(unknown, convert.write("good.json", EDITOR), "--json")
    assert done.code == 1
    refused, good = json.loads(done.out)
    assert refused["file"] == str(unknown)
    assert refused["refusals"] == [
        {
            "node_id": "3",
            "class_type": "Theirs",
            "title": "Look",
            "reason": "the server has no such node class.",
            "package": None,
        }
    ]
    assert good["output"] == str(convert.output / "good.json")
    assert [each["name"] for each in good["missing_models"]] == ["gone.safetensors"]
    assert [each["node_id"] for each in good["warnings"]] == ["2"]
    assert convert.graphs() == {"good": CONVERTED}


async def test_what_the_server_would_refuse_is_told(convert: Converter) -> None:
    sampler = node(1, "KSampler", values=[7, "fixed", 20, 8.0, "gone", 1.0])
    file = convert.write("one.json", workflow([sampler]))
    done = await convert(file)
    assert done.code == 0
    assert 'the server would refuse KSampler "KSampler": model is missing.' in done.err
    again = await convert(file, "--replace", "--json")
    [outcome] = json.loads(again.out)
    assert "model is missing." in [each["fault"] for each in outcome["problems"]]
    assert any(
        'sampler_name "gone" does not exist' in each["fault"] for each in outcome["problems"]
    )


def two_prompts(path: Path) -> Path:
    info = PngInfo()
    info.add_text("prompt", json.dumps(RAN))
    info.add_text("prompt", json.dumps({"1": RAN["1"], "2": RAN["1"]}))
    picture().save(path, pnginfo=info)
    return path


def too_large(path: Path) -> Path:
    path.touch()
    os.truncate(path, MAX_JSON_BYTES + 1)
    return path


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("gone.json", lambda path: path, "cannot be read: No such file"),
        ("folder", lambda path: path.mkdir() or path, "cannot be read: Is a directory"),
        ("huge.json", too_large, "larger than 32 MB"),
        ("text.json", lambda path: path.write_bytes(b"\xff\xfe\x00") and path, "neither a text in"),
        ("cut.png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n") and path, "too early"),
        ("plain.png", lambda path: draw(path, texts={}), "holds no workflow"),
        ("two.png", two_prompts, "two different graphs"),
        ("list.json", lambda path: path.write_text("[]") and path, "holds no workflow"),
    ],
)
async def test_what_is_no_workflow_is_refused_by_name(
    convert: Converter, name: str, make: Callable[[Path], Any], words: str
) -> None:
    path = make(convert.folder / name)
    done = await convert(path)
    assert (done.code, done.out) == (1, "")
    assert str(path) in done.err
    assert words in done.err
    assert convert.graphs() == {}


async def test_a_graph_is_replaced_only_if_that_is_asked_for(convert: Converter) -> None:
    file = convert.write("one.json", EDITOR)
    convert.output.mkdir()
    (convert.output / "one.json").write_text("{}")
    done = await convert(file)
    assert (done.code, convert.graphs()) == (1, {"one": {}})
    assert "one.json is there already" in done.err
    assert (await convert(file, "--replace")).code == 0
    assert convert.graphs() == {"one": CONVERTED}


async def test_two_files_of_one_name_are_refused_before_anything_is_written(
    convert: Converter,
) -> None:
    (convert.folder / "other").mkdir()
    done = await convert(convert.write("one.json", EDITOR), convert.write("other/one.json", EDITOR))
    assert (done.code, convert.graphs()) == (1, {})
    assert "would both become one.json" in done.err


async def test_the_node_classes_may_be_gzipped(convert: Converter) -> None:
    packed = convert.folder / "object_info.json.gz"
    packed.write_bytes(gzip.compress(convert.object_info.read_bytes()))
    assert (await convert(convert.write("one.json", EDITOR), object_info=packed)).code == 0


async def test_the_node_classes_may_come_from_a_server(convert: Converter) -> None:
    latent = node(1, "EmptyLatentImage", values=[64, 128, 2])
    file = convert.write("one.json", workflow([latent]))
    async with serving(RehearsalConfig(data_dir=convert.folder / "data", port=0)) as url:
        done = await convert(file, object_info=url)
    assert (done.code, done.err) == (0, "")
    assert convert.graphs() == {"one": {"1": {"width": 64, "height": 128, "batch_size": 2}}}
    assert (await convert(file, "--replace", object_info=url)).code == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"\x1f\x8b\x08broken", "cannot be read"),
        (b"{", "is no JSON"),
        (b"[]", "describes no node classes"),
        (b'{"1": {"class_type": "A", "inputs": {}}}', "no object_info"),
    ],
)
async def test_what_describes_no_node_classes_is_refused(
    convert: Converter, content: bytes | None, words: str
) -> None:
    path = convert.folder / "classes"
    if content is not None:
        path.write_bytes(content)
    done = await convert(convert.write("one.json", EDITOR), object_info=path)
    assert (done.code, convert.graphs()) == (1, {})
    assert words in done.err

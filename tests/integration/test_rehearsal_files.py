"""The files of the rehearsal server: names, contents, uploads, /view."""

import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from anime.assets.inspection.whole_file import inspect_file
from tests.integration.rehearsal_peer import (
    Peer,
    modelless,
    node,
    txt2img,
)
from tests.support.waiting import HUNG_SECONDS


async def test_the_same_prompt_again_names_the_old_file(peer: Peer) -> None:
    first = await peer.run(modelless())
    (peer.files / "output/plain/x_00001_.png").unlink()
    renamed = {"21": modelless()["1"], "22": modelless()["2"]}
    renamed["22"]["inputs"]["images"] = ["21", 0]
    again = await peer.run(renamed)
    assert again["outputs"]["22"] == first["outputs"]["2"]
    cached = next(message for message in peer.seen if message["type"] == "execution_cached")
    assert cached["data"]["nodes"] == ["21", "22"]
    assert "executing 22" not in peer.told()
    assert "executed" in peer.told()
    gone = await peer.http.get("/view", params={"filename": "x_00001_.png", "subfolder": "plain"})
    assert gone.status_code == 404


async def test_names_repeat_once_files_are_moved_away(peer: Peer) -> None:
    await peer.run(modelless(color=1))
    (peer.files / "output/plain/x_00001_.png").unlink()
    entry = await peer.run(modelless(color=2))
    assert entry["outputs"]["2"]["images"][0]["filename"] == "x_00001_.png"


@pytest.mark.parametrize(
    ("there", "number"),
    [
        ("x_00005_.png", 6),
        ("x_00009.flac", 10),
        ("x_00080_extra_.png", 81),
        ("x_00030", 31),
        ("x_00015-copy.png", 1),
        ("x_00016 (1).png", 1),
        ("xx_00050_.png", 1),
    ],
)
async def test_a_file_counts_if_its_number_ends_there(peer: Peer, there: str, number: int) -> None:
    (peer.files / "output/plain").mkdir()
    (peer.files / "output/plain" / there).touch()
    entry = await peer.run(modelless())
    assert entry["outputs"]["2"]["images"][0]["filename"] == f"x_{number:05}_.png"


@pytest.mark.parametrize(("prefix", "name"), [("", "."), ("..", ".."), ("a/", "a")])
async def test_odd_prefixes_are_names(peer: Peer, prefix: str, name: str) -> None:
    [file] = (await peer.run(modelless(prefix)))["outputs"]["2"]["images"]
    assert (file["filename"], file["subfolder"]) == (f"{name}_00001_.png", "")


async def test_a_prefix_outside_fails_when_run_and_keeps_what_was_saved(peer: Peer) -> None:
    graph = modelless() | {
        "3": node("ImageInvert", image=["1", 0]),
        "4": node("SaveImage", filename_prefix="../../escape", images=["3", 0]),
    }
    entry = await peer.run(graph)
    assert peer.told()[-3:] == ["execution_error", "status", "executing None"]
    assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)
    assert list(entry["outputs"]) == ["2"]
    kind, about = entry["status"]["messages"][-1]
    assert (kind, about["node_id"], about["node_type"]) == ("execution_error", "4", "SaveImage")
    assert (about["exception_type"], about["executed"]) == ("Exception", ["1", "2", "3"])
    assert about["current_inputs"] == {
        "filename_prefix": ["../../escape"],
        "images": ["images(1, 64, 64, 3)"],
        "prompt": [str(graph)],
        "extra_pnginfo": [None],
    }


async def test_a_batch_is_four_files_that_differ(peer: Peer) -> None:
    entry = await peer.run(txt2img(batch=4))
    names = [image["filename"] for image in entry["outputs"]["9"]["images"]]
    assert names == [f"x_0000{number}_.png" for number in (1, 2, 3, 4)]
    assert len({(peer.files / "output/art" / name).read_bytes() for name in names}) == 4


async def test_a_file_carries_its_graph_and_what_else_was_given(peer: Peer) -> None:
    extra = {"workflow": {"nodes": []}, "anime": {"job": "j1", "seed": 2**64 - 1}}
    await peer.run(txt2img(), extra_data={"extra_pnginfo": extra})
    with Image.open(peer.files / "output/art/x_00001_.png") as picture:
        assert isinstance(picture, PngImageFile)
        chunks = {key: json.loads(text) for key, text in picture.text.items()}
    assert chunks == {"prompt": txt2img(), **extra}


async def test_the_same_graph_gives_the_same_bytes_in_another_process(
    peer: Peer, tmp_path: Path
) -> None:
    await peer.run(txt2img())
    await peer.http.post("/free", json={"free_memory": True})
    await peer.run(txt2img())
    first, second = (
        hashlib.sha256((peer.files / f"output/art/x_0000{n}_.png").read_bytes()).hexdigest()
        for n in (1, 2)
    )
    program = (
        "import hashlib; from anime.rehearsal.painting.painter import Scene, paint;"
        "scene = Scene('a girl at dusk', 42, 64, 64, model='rehearsal-sd15.safetensors',"
        " sampler='euler/normal', steps=3);"
        "print(hashlib.sha256(paint(scene).tobytes()).hexdigest())"
    )
    with Image.open(peer.files / "output/art/x_00001_.png") as picture:
        pixels = hashlib.sha256(picture.tobytes()).hexdigest()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=HUNG_SECONDS,
    )
    assert first == second
    assert done.stdout.strip() == pixels


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
async def test_an_animation_has_its_frames_and_its_graph(peer: Peer, kind: str) -> None:
    options: dict[str, object] = {"filename_prefix": "move/x", "images": ["8", 0], "fps": 8.0}
    options |= (
        {"lossless": False, "quality": 80, "method": "default"}
        if kind == "WEBP"
        else {"compress_level": 4}
    )
    graph = txt2img(batch=6) | {"9": node(f"SaveAnimated{kind}", **options)}
    entry = await peer.run(graph, extra_data={"extra_pnginfo": {"anime": {"job": "j1"}}})
    shown = entry["outputs"]["9"]
    assert shown["animated"] == [True]
    path = peer.files / "output/move" / shown["images"][0]["filename"]
    with Image.open(path) as animation:
        assert getattr(animation, "n_frames", 1) == 6
        texts = inspect_file(path).texts
        if kind == "WEBP":
            exif = animation.getexif()
            texts = dict(exif[tag].split(":", 1) for tag in (0x0110, 0x010F))
    assert json.loads(texts["prompt"]) == graph
    assert json.loads(texts["anime"]) == {"job": "j1"}


async def test_previewed_pictures_lie_in_temp(peer: Peer) -> None:
    graph = modelless() | {"2": node("PreviewImage", images=["1", 0])}
    [file] = (await peer.run(graph))["outputs"]["2"]["images"]
    assert (file["type"], file["subfolder"]) == ("temp", "")
    assert (await peer.http.get("/view", params=file)).headers["content-type"] == "image/png"


async def test_an_upload_under_a_taken_name_gets_another(peer: Peer) -> None:
    async def upload(content: bytes, **fields: str) -> dict[str, str]:
        answer = await peer.http.post(
            "/upload/image", files={"image": ("in.png", content)}, data=fields
        )
        stored: dict[str, str] = answer.json()
        return stored

    assert await upload(b"one") == {"name": "in.png", "subfolder": "", "type": "input"}
    assert (await upload(b"one"))["name"] == "in.png"
    assert (await upload(b"two"))["name"] == "in (1).png"
    assert (await upload(b"two", overwrite="true"))["name"] == "in.png"
    assert (await upload(b"x", subfolder="jobs/1"))["subfolder"] == "jobs/1"
    for fields, status in (({"subfolder": "../.."}, 400), ({"type": "nope"}, 500)):
        files = {"image": ("in.png", b"x")}
        refused = await peer.http.post("/upload/image", files=files, data=fields)
        assert refused.status_code == status
    assert (await peer.http.post("/upload/image", json={})).status_code == 400
    refused = await peer.http.post("/upload/image", files={"image": ("no/folder.png", b"x")})
    assert refused.text == "500 Internal Server Error\n\nServer got itself in trouble"


async def test_an_overwritten_input_is_noticed(peer: Peer) -> None:
    graph = {
        "1": node("LoadImage", image="in.png"),
        "2": node("SaveImage", filename_prefix="in/x", images=["1", 0]),
    }
    for color in ("red", "blue"):
        Image.new("RGB", (16, 16), color).save(peer.files / "input/in.png")
        entry = await peer.run(graph)
    assert entry["outputs"]["2"]["images"][0]["filename"] == "x_00002_.png"


async def test_an_upload_may_name_a_folder_that_is_there(peer: Peer) -> None:
    (peer.files / "input/sub").mkdir()
    names = []
    for content in (b"one", b"two"):
        files = {"image": ("sub/in.png", content)}
        names.append((await peer.http.post("/upload/image", files=files)).json()["name"])
    assert names == ["sub/in.png", "sub/in (1).png"]
    files = {"image": ("gone/in.png", b"one")}
    assert (await peer.http.post("/upload/image", files=files)).status_code == 500


async def test_a_form_that_cannot_be_read_is_answered_with_500(peer: Peer) -> None:
    form = {"content-type": "multipart/form-data; boundary=x"}
    answer = await peer.http.post("/upload/image", content=b"--y", headers=form)
    assert answer.status_code == 500


async def test_an_input_that_is_no_picture_fails_when_run(peer: Peer) -> None:
    (peer.files / "input/in.png").write_text("no picture")
    graph = modelless() | {"1": node("LoadImage", image="in.png")}
    about = (await peer.run(graph))["status"]["messages"][-1][1]
    assert about["exception_type"] == "PIL.UnidentifiedImageError"
    assert about["current_inputs"] == {"image": ["in.png"]}


async def test_image_to_image_starts_from_the_input(peer: Peer) -> None:
    Image.new("RGB", (70, 66), (255, 0, 0)).save(peer.files / "input/in.png")
    graph = txt2img(denoise=0.1, latent_image=["11", 0]) | {
        "10": node("LoadImage", image="in.png"),
        "11": node("VAEEncode", pixels=["10", 0], vae=["4", 2]),
    }
    await peer.run(graph)
    with Image.open(peer.files / "output/art/x_00001_.png") as picture:
        assert picture.size == (64, 64)
        red, green, _blue = picture.convert("RGB").getpixel((32, 24))  # type: ignore[misc]  # RGB
    assert red > 150 > green


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"filename": "x_00001_.png", "subfolder": "plain"}, 200),
        ({"filename": "x_00001_.png [output]", "subfolder": "plain"}, 200),
        ({"filename": "x_00001_.png"}, 404),
        ({"filename": "plain/x_00001_.png"}, 404),
        ({}, 404),
        ({"filename": "../x.png"}, 400),
        ({"filename": "/etc/passwd"}, 400),
        ({"filename": "x", "type": "nope"}, 400),
        ({"filename": "passwd", "subfolder": "../../../../etc"}, 403),
    ],
)
async def test_view_gives_files_and_nothing_outside(
    peer: Peer, asked: dict[str, str], status: int
) -> None:
    await peer.run(modelless())
    assert (await peer.http.get("/view", params=asked)).status_code == status


async def test_view_answers_ranges_heads_and_previews(peer: Peer) -> None:
    await peer.run(modelless())
    asked = {"filename": "x_00001_.png", "subfolder": "plain"}
    part = await peer.http.get("/view", params=asked, headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
    head = await peer.http.head("/view", params=asked)
    assert (head.status_code, head.content) == (200, b"")
    small = await peer.http.get("/view", params={**asked, "preview": "webp;50"})
    assert small.headers["content-disposition"] == f'filename="{asked["filename"]}"'
    assert small.content[:4] == b"RIFF"

"""The rehearsal server over real HTTP and websockets, against what ComfyUI 0.3.64 answers."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from websockets.asyncio.client import ClientConnection, connect

from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.faults import Faults
from anime.rehearsal.server import serving

WAIT_SECONDS = 10.0
Graph = dict[str, dict[str, Any]]  # inputs are whatever a node takes


@dataclass
class Peer:
    """A running rehearsal server and a client of it."""

    http: httpx.AsyncClient
    files: Path
    socket: ClientConnection
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def submit(self, graph: Graph, **body: object) -> str:
        answer = await self.http.post("/prompt", json={"prompt": graph, "client_id": "me", **body})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    async def until(self, kind: str, **wanted: object) -> dict[str, Any]:
        """The next message of that kind with these values; what came before is in `seen`."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                frame = await self.socket.recv()
                if isinstance(frame, str):
                    message: dict[str, Any] = json.loads(frame)
                    self.seen.append(message)
                    if message["type"] == kind and wanted.items() <= message["data"].items():
                        return message

    async def run(self, graph: Graph, **body: object) -> dict[str, Any]:
        """Submit, wait for the end, and give the history entry."""
        self.seen.clear()
        prompt_id = await self.submit(graph, **body)
        await self.until("executing", node=None, prompt_id=prompt_id)
        history = (await self.http.get(f"/history/{prompt_id}")).json()
        entry: dict[str, Any] = history[prompt_id]
        return entry

    def told(self) -> list[str]:
        """What came, in short."""
        return [
            f"executing {message['data']['node']}"
            if message["type"] == "executing"
            else message["type"]
            for message in self.seen
        ]


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[Peer]:  # of RehearsalConfig
    config = RehearsalConfig(data_dir=folder, port=0, **{"step_seconds": 0, **settings})
    async with (
        serving(config) as url,
        httpx.AsyncClient(base_url=url, timeout=WAIT_SECONDS) as http,
        connect(f"{url.replace('http', 'ws')}/ws?clientId=me") as socket,
    ):
        peer = Peer(http, folder, socket)
        await peer.until("status")
        yield peer


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    async with opened(tmp_path) as running:
        yield running


def node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def modelless(prefix: str = "plain/x", color: int = 1) -> Graph:
    return {
        "1": node("EmptyImage", width=64, height=64, batch_size=1, color=color),
        "2": node("SaveImage", filename_prefix=prefix, images=["1", 0]),
    }


def txt2img(prefix: str = "art/x", batch: int = 1, **sampler: object) -> Graph:
    given = {
        "seed": 42,
        "steps": 3,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
        "model": ["4", 0],
        "positive": ["6", 0],
        "negative": ["7", 0],
        "latent_image": ["5", 0],
    }
    return {
        "4": node("CheckpointLoaderSimple", ckpt_name="rehearsal-sd15.safetensors"),
        "6": node("CLIPTextEncode", text="a girl at dusk", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="blurry", clip=["4", 1]),
        "5": node("EmptyLatentImage", width=64, height=64, batch_size=batch),
        "3": node("KSampler", **given | sampler),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix=prefix, images=["8", 0]),
    }


async def test_a_modelless_prompt_tells_its_client_what_comfyui_tells(peer: Peer) -> None:
    entry = await peer.run(modelless(), prompt_id="mine")
    assert peer.told() == [
        "status",
        "status",
        "execution_start",
        "execution_cached",
        "progress_state",
        "executing 1",
        "progress_state",
        "progress_state",
        "executing 2",
        "executed",
        "progress_state",
        "execution_success",
        "status",
        "executing None",
    ]
    file = {"filename": "x_00001_.png", "subfolder": "plain", "type": "output"}
    assert entry["outputs"] == {"2": {"images": [file]}}
    assert entry["prompt"] == [0, "mine", modelless(), {"client_id": "me"}, ["2"]]
    assert entry["status"]["status_str"] == "success"
    kinds = [kind for kind, _about in entry["status"]["messages"]]
    assert kinds == ["execution_start", "execution_cached", "execution_success"]
    assert entry["meta"]["2"]["real_node_id"] == "2"


async def test_a_sampler_tells_each_step_twice(peer: Peer) -> None:
    await peer.run(txt2img())
    assert [told for told in peer.told() if told.startswith("executing")] == [
        f"executing {node_id}" for node_id in ("4", "5", "7", "6", "3", "8", "9", None)
    ]
    steps = [message for message in peer.seen if message["type"] == "progress"]
    assert [message["data"]["value"] for message in steps] == [1, 2, 3]
    first = peer.seen.index(steps[0])
    assert peer.seen[first - 1]["data"]["nodes"]["3"]["value"] == 1
    assert peer.seen[first - 1]["data"]["nodes"]["3"]["max"] == 3


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


async def test_another_prompt_in_between_or_freed_memory_makes_it_run_again(peer: Peer) -> None:
    await peer.run(modelless())
    await peer.run(modelless(color=2))
    await peer.run(modelless())
    await peer.http.post("/free", json={"free_memory": True})
    last = await peer.run(modelless())
    assert last["outputs"]["2"]["images"][0]["filename"] == "x_00004_.png"


async def test_another_prefix_saves_again_without_sampling_again(peer: Peer) -> None:
    await peer.run(txt2img("art/x"))
    await peer.run(txt2img("art/y"))
    assert [told for told in peer.told() if told.startswith("executing")] == [
        "executing 9",
        "executing None",
    ]


async def test_names_repeat_once_files_are_moved_away(peer: Peer) -> None:
    await peer.run(modelless(color=1))
    (peer.files / "output/plain/x_00001_.png").unlink()
    entry = await peer.run(modelless(color=2))
    assert entry["outputs"]["2"]["images"][0]["filename"] == "x_00001_.png"


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


async def test_an_interrupt_acts_at_the_next_step_and_only_on_the_prompt_meant(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, step_seconds=0.01) as peer:
        running = await peer.submit(txt2img(steps=10_000))
        waiting = await peer.submit(modelless())
        await peer.until("progress")
        for meant in (waiting, "unknown"):
            answer = await peer.http.post("/interrupt", json={"prompt_id": meant})
            assert (answer.status_code, answer.content) == (200, b"")
        await peer.until("progress")
        await peer.http.post("/interrupt", json={"prompt_id": running})
        stopped = await peer.until("execution_interrupted")
        assert stopped["data"]["node_id"] == "3"
        await peer.until("execution_success", prompt_id=waiting)
        entry = (await peer.http.get(f"/history/{running}")).json()[running]
        assert entry["status"]["status_str"] == "error"
        assert entry["status"]["messages"][-1][0] == "execution_interrupted"


async def test_an_interrupt_of_an_idle_server_does_nothing(peer: Peer) -> None:
    assert (await peer.http.post("/interrupt")).status_code == 200
    assert (await peer.run(txt2img()))["status"]["completed"] is True


async def test_history_appears_after_execution_success(tmp_path: Path) -> None:
    late = Faults(history_delay_seconds=0.3)
    async with opened(tmp_path, faults=late) as peer:
        prompt_id = await peer.submit(modelless())
        await peer.until("execution_success")
        assert (await peer.http.get(f"/history/{prompt_id}")).json() == {}
        assert (await peer.http.get("/queue")).json()["queue_running"][0][1] == prompt_id
        await peer.until("executing", node=None)
        assert prompt_id in (await peer.http.get(f"/history/{prompt_id}")).json()


async def test_a_node_can_be_told_to_run_out_of_memory(tmp_path: Path) -> None:
    full = Faults(out_of_memory_at=frozenset({"KSampler"}))
    async with opened(tmp_path, faults=full) as peer:
        entry = await peer.run(txt2img())
    about = entry["status"]["messages"][-1][1]
    assert about["exception_type"] == "torch.OutOfMemoryError"
    assert about["node_type"] == "KSampler"


async def test_queue_delete_leaves_no_trace_of_a_waiting_prompt(tmp_path: Path) -> None:
    async with opened(tmp_path, step_seconds=0.01) as peer:
        running = await peer.submit(txt2img(steps=10_000))
        await peer.until("progress")
        waiting = await peer.submit(modelless())
        answer = await peer.http.post("/queue", json={"delete": [waiting, running, "unknown"]})
        assert (answer.status_code, answer.content) == (200, b"")
        queue = (await peer.http.get("/queue")).json()
        assert [item[1] for item in queue["queue_running"]] == [running]
        assert queue["queue_pending"] == []
        await peer.http.post("/interrupt")
        await peer.until("executing", node=None)
        assert (await peer.http.get(f"/history/{waiting}")).json() == {}


async def test_a_prompt_without_client_shows_everybody_its_progress_and_no_more(
    peer: Peer,
) -> None:
    await peer.http.post("/prompt", json={"prompt": txt2img()})
    await peer.until("status", status={"exec_info": {"queue_remaining": 0}})
    assert set(peer.told()) == {"status", "progress_state", "progress"}


async def test_a_client_that_connects_late_is_told_the_node_and_nothing_else(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, step_seconds=0.01) as peer:
        prompt_id = await peer.submit(txt2img(steps=10_000), client_id="late")
        running = {"queue_running": []}
        async with asyncio.timeout(WAIT_SECONDS):
            while not running["queue_running"] or peer.http.is_closed:
                running = (await peer.http.get("/queue")).json()
        url = str(peer.http.base_url).replace("http", "ws").rstrip("/")
        async with connect(f"{url}/ws?clientId=late") as socket:
            late = Peer(peer.http, tmp_path, socket)
            told = await late.until("executing")
            assert late.told()[0] == "status"
            assert told["data"].keys() == {"node"} or told["data"]["prompt_id"] == prompt_id
            assert "execution_start" not in late.told()
            await peer.http.post("/interrupt")
            await late.until("execution_interrupted", prompt_id=prompt_id)


async def test_the_newer_of_two_sockets_goes_silent_when_the_older_closes(peer: Peer) -> None:
    url = str(peer.http.base_url).replace("http", "ws").rstrip("/")
    async with connect(f"{url}/ws?clientId=me") as socket:
        newer = Peer(peer.http, peer.files, socket)
        await newer.run(modelless())
        await peer.socket.close()
        answer = await peer.http.post(
            "/prompt", json={"prompt": modelless(color=9), "client_id": "me", "prompt_id": "end"}
        )
        assert answer.status_code == 200
        async with asyncio.timeout(WAIT_SECONDS):
            while "end" not in (await peer.http.get("/history/end")).json():
                await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.05)


@pytest.mark.parametrize("asks", [False, True])
async def test_previews_follow_progress_or_lead_it_with_metadata(
    tmp_path: Path, asks: bool
) -> None:
    async with opened(tmp_path, previews=True) as peer:
        if asks:
            wish = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
            await peer.socket.send(json.dumps(wish))
            await peer.until("feature_flags")
        else:
            await peer.socket.send("junk")
        await peer.submit(txt2img())
        order = []
        async with asyncio.timeout(WAIT_SECONDS):
            while (frame := await peer.socket.recv()) and '"execution_success"' not in str(frame):
                if isinstance(frame, bytes):
                    order.append(int.from_bytes(frame[:4]))
                elif '"progress"' in frame:
                    order.append(0)
    assert order == ([4, 0] * 3 if asks else [0, 1] * 3)


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
        "import hashlib; from anime.rehearsal.painter import Scene, paint;"
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
        timeout=WAIT_SECONDS,
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
    with Image.open(peer.files / "output/move" / shown["images"][0]["filename"]) as animation:
        assert getattr(animation, "n_frames", 1) == 6
        texts = getattr(animation, "text", {})
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


async def test_an_overwritten_input_is_noticed(peer: Peer) -> None:
    graph = {
        "1": node("LoadImage", image="in.png"),
        "2": node("SaveImage", filename_prefix="in/x", images=["1", 0]),
    }
    for color in ("red", "blue"):
        Image.new("RGB", (16, 16), color).save(peer.files / "input/in.png")
        entry = await peer.run(graph)
    assert entry["outputs"]["2"]["images"][0]["filename"] == "x_00002_.png"


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
    ("content", "status"),
    [
        (b"{broken", 500),
        (b"", 500),
        (b'{"prompt": []}', 400),
        (b'{"prompt": null}', 500),
        (b'{"prompt": {"last_node_id": 1, "nodes": []}}', 500),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"prompt": {}}', 400),
        (b'{"prompt": {}, "number": "abc"}', 500),
    ],
)
async def test_bad_input_is_answered_as_comfyui_does(
    peer: Peer, content: bytes, status: int
) -> None:
    answer = await peer.http.post("/prompt", content=content)
    assert answer.status_code == status
    if status == 500:
        assert answer.text == "500 Internal Server Error\n\nServer got itself in trouble"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    else:
        assert answer.json()["node_errors"] == {}
    assert (await peer.http.get("/history")).json() == {}


async def test_a_refused_prompt_uses_up_a_number(peer: Peer) -> None:
    await peer.http.post("/prompt", json={"prompt": {}})
    entry = await peer.run(modelless())
    assert entry["prompt"][0] == 1


async def test_a_chosen_id_is_not_idempotent(peer: Peer) -> None:
    await peer.run(modelless("a/x"), prompt_id=12345)
    entry = await peer.run(modelless("b/x"), prompt_id="12345")
    assert entry["outputs"]["2"]["images"][0]["subfolder"] == "b"
    assert list((await peer.http.get("/history")).json()) == ["12345"]


@pytest.mark.parametrize("root", ["", "/api"])
async def test_every_route_exists_twice(peer: Peer, root: str) -> None:
    for path in ("/prompt", "/queue", "/history", "/system_stats", "/object_info", "/features"):
        assert (await peer.http.get(root + path)).status_code == 200
    assert (await peer.http.get(f"{root}/history/unknown")).json() == {}
    assert (await peer.http.get(f"{root}/object_info/NoSuchNode")).json() == {}
    assert (await peer.http.get(f"{root}/models/nope")).status_code == 404
    assert (await peer.http.get(f"{root}/nope")).status_code == 404
    assert (await peer.http.delete(f"{root}/queue")).status_code == 405
    assert (await peer.http.options(f"{root}/prompt")).status_code == 200


async def test_foreign_origins_and_large_bodies_are_refused(peer: Peer) -> None:
    foreign = await peer.http.post("/prompt", headers={"Origin": "http://evil.example"})
    assert (foreign.status_code, foreign.content) == (403, b"")
    large = await peer.http.post("/prompt", headers={"Content-Length": str(101 * 2**20)})
    assert large.status_code == 413
    assert large.text == "Maximum request body size 104857600 exceeded."


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
    assert small.content[:4] == b"RIFF"


async def test_the_server_says_that_it_is_a_rehearsal_and_what_memory_it_pretends(
    peer: Peer,
) -> None:
    async def stats() -> dict[str, Any]:
        answer: dict[str, Any] = (await peer.http.get("/system_stats")).json()
        return answer

    before = await stats()
    await peer.run(txt2img())
    holding = (await stats())["devices"][0]
    await peer.http.post("/free", json={"unload_models": True})
    await peer.run(modelless())
    after = (await stats())["devices"][0]
    assert before["system"]["comfyui_version"] == "0.3.64"
    assert before["system"]["rehearsal"] is True
    assert "rehearsal" in before["devices"][0]["name"]
    assert holding["vram_free"] < before["devices"][0]["vram_free"] == after["vram_free"]


async def test_a_killed_server_loses_everything_but_its_files(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from anime.rehearsal.config import RehearsalConfig;"
        "from anime.rehearsal import server;"
        "import logging; logging.basicConfig(level=logging.INFO);"
        "server.run(RehearsalConfig(data_dir=Path(sys.argv[1]), port=0, step_seconds=1))"
    )
    (tmp_path / "temp").mkdir()
    (tmp_path / "temp/old.png").touch()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(WAIT_SECONDS):
        line = (await process.stderr.readline()).decode()
        url = next(word for word in line.split() if word.startswith("http")).rstrip(",")
        async with httpx.AsyncClient(base_url=url) as http:
            async with connect(f"{url.replace('http', 'ws')}/ws?clientId=me") as socket:
                await http.post("/prompt", json={"prompt": txt2img()})
                os.kill(process.pid, signal.SIGTERM)
                await socket.wait_closed()
                assert socket.close_code == 1006
        assert await process.wait() == 0
    assert not (tmp_path / "temp/old.png").exists()
    async with opened(tmp_path) as peer:
        assert (await peer.http.get("/queue")).json() == {"queue_running": [], "queue_pending": []}
        assert (await peer.http.get("/history")).json() == {}

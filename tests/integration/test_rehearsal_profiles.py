"""What the two profiles of the rehearsal server answer, each as its ComfyUI does."""

import filecmp
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from PIL import Image

from anime.rehearsal.config import Profile, RehearsalConfig
from anime.rehearsal.recording import save_audio, save_video
from anime.rehearsal.server import serving
from anime.rehearsal.values import Audio, Images, Video, flat_frame
from anime.settings import PROJECT_DIR
from tests.integration.rehearsal_peer import (
    Graph,
    Peer,
    modelless,
    node,
    opened,
    txt2img,
)
from tests.support.waiting import HUNG_SECONDS

REPLIES = PROJECT_DIR / "tests/integration/samples/rehearsal_replies.jsonl"
ANYTHING = "*"
WEBP = {"fps": 6.0, "lossless": True, "quality": 80, "method": "fastest"}


def agrees(sample: Any, got: Any) -> bool:  # any JSON
    """Whether a reply is that of a sample, in which `*` stands for what differs each time."""
    if isinstance(sample, dict) and isinstance(got, dict):
        return sample.keys() == got.keys() and all(agrees(sample[key], got[key]) for key in sample)
    return bool(sample in (ANYTHING, got))


@pytest.mark.parametrize("profile", list(Profile))
async def test_replies_are_those_of_the_profile(tmp_path: Path, profile: Profile) -> None:
    samples = [json.loads(line) for line in REPLIES.read_text().splitlines()]
    wrong = {}
    config = RehearsalConfig(data_dir=tmp_path, port=0, step_seconds=0, profile=profile)
    async with (
        serving(config) as url,
        httpx.AsyncClient(base_url=url, timeout=HUNG_SECONDS) as http,
    ):
        for sample in samples:
            method, path, body, headers = [*sample["send"], None, None][:4]
            content = None if body is None else json.dumps(body)
            reply = await http.request(method, path, content=content, headers=headers)
            is_json = "json" in reply.headers.get("content-type", "")
            got = [reply.status_code, reply.json() if is_json else reply.text]
            if not (expected := sample.get("both") or sample.get(profile)):
                continue
            [status, data] = expected
            if status != got[0] or not agrees(data, got[1]):
                wrong[sample["tag"]] = got
    assert wrong == {}


async def test_both_profiles_tell_a_prompt_in_the_same_order(tmp_path: Path) -> None:
    told = {}
    for profile in Profile:
        async with opened(tmp_path / profile, profile=profile) as peer:
            await peer.run(txt2img(steps=2))
            told[profile] = peer.told()
    assert told[Profile.V0_33] == told[Profile.V0_3_64]
    assert told[Profile.V0_33][-3:] == ["execution_success", "status", "executing None"]


async def test_a_prompt_says_when_it_was_made_in_queue_and_history(tmp_path: Path) -> None:
    async with opened(tmp_path, step_seconds=0.01) as peer:
        running = await peer.submit(txt2img(steps=10_000))
        await peer.until("progress")
        [[number, _id, _graph, extra, _outputs]] = (await peer.http.get("/queue")).json()[
            "queue_running"
        ]
        await peer.http.post("/interrupt")
        await peer.until("executing", node=None)
        entry = (await peer.http.get(f"/history/{running}")).json()[running]
    assert entry["prompt"][3] == extra
    assert extra.keys() == {"client_id", "create_time"}
    started = entry["status"]["messages"][0][1]["timestamp"]
    assert 0 <= started - extra["create_time"] < 60_000
    assert number == 0


async def test_a_job_goes_from_pending_to_its_end(tmp_path: Path) -> None:
    async with opened(tmp_path, step_seconds=0.01) as peer:

        async def job(prompt_id: str) -> dict[str, Any]:
            found: dict[str, Any] = (await peer.http.get(f"/api/jobs/{prompt_id}")).json()
            return found

        async def cancelled(prompt_id: str) -> bool:
            answer = await peer.http.post(f"/api/jobs/{prompt_id}/cancel")
            return bool(answer.json()["cancelled"])

        done = (await peer.run(modelless()))["prompt"][1]
        running = await peer.submit(txt2img(steps=10_000))
        await peer.until("progress")  # jobs are listed by the millisecond
        waiting = await peer.submit(modelless())
        assert [(await job(each))["status"] for each in (waiting, running, done)] == [
            "pending",
            "in_progress",
            "completed",
        ]
        listed = (await peer.http.get("/api/jobs?status=pending,in_progress&limit=1")).json()
        assert [each["id"] for each in listed["jobs"]] == [waiting]
        assert listed["pagination"] == {"offset": 0, "limit": 1, "total": 2, "has_more": True}
        assert [await cancelled(each) for each in (waiting, waiting, done)] == [True, False, False]
        assert await job(waiting) == {"error": "Job not found"}
        both = await peer.http.post("/api/jobs/cancel", json={"job_ids": [waiting, running]})
        assert both.json() == {"cancelled": True}
        await peer.until("execution_interrupted", prompt_id=running)
        await peer.until("executing", node=None)
        assert (await job(running))["status"] == "cancelled"
        finished = await job(done)
    picture = {"filename": "x_00001_.png", "subfolder": "plain", "type": "output"}
    assert finished["preview_output"] == {**picture, "nodeId": "2", "mediaType": "images"}
    assert finished["outputs"] == {"2": {"images": [picture]}}
    assert finished["execution_status"]["status_str"] == "success"
    assert finished["workflow"]["prompt"] == modelless()
    assert finished["execution_start_time"] >= finished["create_time"]


async def test_a_job_is_shown_by_what_it_saved_before_texts(peer: Peer) -> None:
    text = "a" * 1025
    texts = {"a": node("PreviewAny", source=text), "b": node("PreviewAny", source="b")}
    files = {"c": node("SaveText", text="c", filename_prefix="c", format="md")} | modelless()
    temporary = {"d": node("PreviewImage", images=["1", 0])}
    shown = []
    for graph in (texts, texts | files, texts | files | temporary):
        prompt_id = await peer.submit(graph)
        await peer.until("executing", node=None, prompt_id=prompt_id)
        job = (await peer.http.get(f"/api/jobs/{prompt_id}")).json()
        counts = job["outputs_count"], job["previewable_outputs_count"]
        shown.append((counts, job["preview_output"]))
    cut = {"content": text[:1024], "truncated": True, "nodeId": "a", "mediaType": "text"}
    assert shown[0] == ((0, 0), cut)
    assert [(counts, preview["nodeId"]) for counts, preview in shown[1:]] == [
        ((2, 2), "2"),
        ((3, 3), "2"),
    ]


async def test_one_prompt_of_odd_extra_data_spoils_the_list_of_jobs(peer: Peer) -> None:
    await peer.run(modelless(), extra_data={"extra_pnginfo": None})
    assert (await peer.http.get("/api/jobs")).status_code == 500
    await peer.http.post("/history", json={"clear": True})
    assert (await peer.http.get("/api/jobs")).status_code == 200


async def test_jobs_are_found_by_their_workflow(peer: Peer) -> None:
    extra = {"extra_pnginfo": {"workflow": {"id": "mine"}}}
    mine = (await peer.run(modelless(), extra_data=extra))["prompt"][1]
    other = (await peer.run(modelless(color=7)))["prompt"][1]
    for workflow, wanted in (("mine", [mine]), ("", [other, mine]), ("none", [])):
        found = await peer.http.get("/api/jobs", params={"workflow_id": workflow})
        assert [each["id"] for each in found.json()["jobs"]] == wanted


async def test_a_job_that_failed_says_why(peer: Peer) -> None:
    await peer.run(modelless("../../outside/x"))
    [job] = (await peer.http.get("/api/jobs?status=failed")).json()["jobs"]
    assert job["execution_error"]["node_type"] == "SaveImage"
    assert job["outputs_count"] == 0


@pytest.mark.parametrize(
    ("profile", "method", "previews"),
    [
        (Profile.V0_33, "latent2rgb", 3),
        (Profile.V0_33, None, 0),
        (Profile.V0_3_64, "latent2rgb", 0),
    ],
)
async def test_a_prompt_asks_for_previews_itself(
    tmp_path: Path, profile: Profile, method: str | None, previews: int
) -> None:
    async with opened(tmp_path, profile=profile) as peer:
        await peer.submit(txt2img(), extra_data={"preview_method": method} if method else {})
        frames = 0
        while (frame := await peer.socket.recv()) and '"execution_success"' not in str(frame):
            frames += isinstance(frame, bytes)
    assert frames == previews


def saved(class_type: str, count: int = 2, **inputs: Any) -> Graph:
    """Pictures that go into a node of that class."""
    return {
        "1": node("EmptyImage", width=64, height=64, batch_size=count, color=255),
        "2": node(class_type, filename_prefix="out/x", **inputs),
    }


def filmed(**inputs: Any) -> Graph:
    video = {"3": node("CreateVideo", images=["1", 0], fps=8.0)}
    return saved("SaveVideo", video=["3", 0], **inputs) | video


def sounded(class_type: str, **inputs: Any) -> Graph:
    sound = {"3": node("EmptyAudio", duration=0.5, sample_rate=44100, channels=2)}
    return saved(class_type, audio=["3", 0], **inputs) | sound


RE_ENCODED: dict[str, Any] = {
    "format": "mkv",
    "format.codec": "h264",
    "format.codec.encoding": "re-encode",
    "format.codec.encoding.crf": 28.0,
    "format.codec.encoding.color_space": "auto",
}
BATCH = {"3": node("BatchImagesNode", **{"images.image0": ["1", 0], "images.image1": ["1", 0]})}
HALF = {
    "input": ["1", 0],
    "resize_type": "scale by multiplier",
    "resize_type.multiplier": 0.5,
    "scale_method": "area",
}
EIGHT_BITS: dict[str, Any] = {
    "format.bit_depth": "8-bit",
    "format.input_color_space": "sRGB",
    "format.compress_level": 4,
}
BY_NUMBER = node("SaveImage", images=["1", 0], filename_prefix="out/%batch_num%")
EMPTY = node("EmptyLatentImage", width=64, height=64, batch_size=1)
VIEW: dict[str, Any] = {"viewport_state": {}, "width": 8, "height": 8}
MESH = {"3": node("Load3DAdvanced", model_file="none", **VIEW)}
SHAPES: dict[str, tuple[Graph, dict[str, list[Any]]]] = {
    "film as 0.3.64 exports it": (
        filmed(format="auto", codec="auto"),
        {"images": ["x_00001_.mp4"], "animated": [True]},
    ),
    "film encoded anew": (
        filmed(**RE_ENCODED),
        {"images": ["x_00001_.mkv"], "animated": [True]},
    ),
    "webm": (
        saved("SaveWEBM", images=["1", 0], codec="vp9", fps=6.0, crf=32.0),
        {"images": ["x_00001_.webm"], "animated": [True]},
    ),
    "one picture": (
        saved("SaveAnimatedWEBP", 1, images=["1", 0], **WEBP),
        {"images": ["x_00001_.webp"], "animated": [False]},
    ),
    "batch": (
        saved("SaveImage", images=["3", 0]) | BATCH,
        {"images": [f"x_0000{number}_.png" for number in (1, 2, 3, 4)]},
    ),
    "smaller": (
        saved("SaveImage", 1, images=["3", 0]) | {"3": node("ResizeImageMaskNode", **HALF)},
        {"images": ["x_00001_.png"]},
    ),
    "sound": (sounded("SaveAudio"), {"audio": ["x_00001.flac"]}),
    "sound as MP3": (
        sounded("SaveAudioAdvanced", format="mp3", **{"format.quality": "V0"}),
        {"audio": ["x_00001.mp3"]},
    ),
    "text": (
        saved("SaveText", text="words", format="md"),
        {"text": ["words"], "files": ["x_00001.md"]},
    ),
    "pictures of any depth": (
        saved("SaveImageAdvanced", images=["1", 0], format="png", **EIGHT_BITS),
        {"images": ["x_00001.png", "x_00002.png"]},
    ),
    "numbered pictures": (
        saved("SaveImage", images=["1", 0]) | {"2": BY_NUMBER},
        {"images": ["0_00001_.png", "1_00002_.png"]},
    ),
    "latent": (
        saved("SaveLatent", samples=["3", 0]) | {"3": EMPTY},
        {"latents": ["x_00001_.latent"]},
    ),
    "mesh": (
        saved("Save3DAdvanced", model_3d=["3", 0], **VIEW) | MESH,
        {"result": ["out/x_00001.glb", None, []]},
    ),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_savers_show_their_files_as_comfyui_0_33_does(peer: Peer, name: str) -> None:
    graph, expected = SHAPES[name]
    entry = await peer.run(graph)
    assert entry["status"]["completed"], entry["status"]["messages"][-1]
    shown = {
        key: [each["filename"] if isinstance(each, dict) else each for each in listed]
        for key, listed in entry["outputs"]["2"].items()
    }
    assert shown == expected


async def test_what_is_only_looked_at_lies_in_temp_without_its_graph(peer: Peer) -> None:
    cropped = node("ImageCropV2", image=["1", 0], crop_region={"x": 0, "y": 0})
    graph = modelless() | {
        "3": cropped,
        "4": node("SaveImage", images=["3", 0], filename_prefix="x"),
        "5": node("EmptyAudio", duration=0.1, sample_rate=44_100, channels=2),
        "6": node("PreviewAudio", audio=["5", 0]),
        "7": node("SolidMask", value=1.0, width=8, height=8),
        "8": node("MaskPreview", mask=["7", 0]),
    }
    outputs = (await peer.run(graph))["outputs"]
    executed = [each["data"]["node"] for each in peer.seen if each["type"] == "executed"]
    assert executed.index("3") < executed.index("4")
    assert list(outputs) == executed
    for node_id in ("3", "8"):
        assert outputs[node_id]["animated"] == [False]
        [file] = outputs[node_id]["images"]
        assert file["type"] == "temp"
        with Image.open(peer.files / "temp" / file["filename"]) as picture:
            assert picture.info == {}
    [sound] = outputs["6"]["audio"]
    assert sound["type"] == "temp"
    assert re.fullmatch(r"ComfyUI_temp_.*_\d{5}\.flac", sound["filename"])
    again = (await peer.run(graph))["outputs"]
    assert again == outputs
    last = [each["data"].get("node") for each in peer.seen if each["type"] == "executed"][-1]
    assert last == "3"


@pytest.mark.parametrize("is_linked", [False, True])
async def test_of_two_branches_only_the_one_that_is_chosen_runs(
    peer: Peer, is_linked: bool
) -> None:
    graph = {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=1),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("PrimitiveBoolean", value=True),
        "4": node(
            "ComfySwitchNode",
            switch=["3", 0] if is_linked else True,
            on_true=["1", 0],
            on_false=["2", 0],
        ),
        "5": node("PreviewImage", images=["4", 0]),
    }
    await peer.run(graph)
    told = [each.removeprefix("executing ") for each in peer.told() if each.startswith("exec")]
    run = [each for each in told if each.isdigit()]
    assert run == [*(["3"] if is_linked else []), "4", "1", "4", "5"]


async def test_the_graph_in_a_picture_tells_which_input_file_was_read(peer: Peer) -> None:
    Image.new("RGB", (8, 8)).save(peer.files / "input/in.png")
    digest = sha256((peer.files / "input/in.png").read_bytes()).hexdigest()
    graph = modelless() | {"1": node("LoadImage", image="in.png")}
    entry = await peer.run(graph)
    with Image.open(peer.files / "output/plain/x_00001_.png") as picture:
        written = json.loads(picture.info["prompt"])
    assert entry["prompt"][2] == graph
    assert written == graph | {"1": {**graph["1"], "is_changed": [digest]}}


async def test_a_job_makes_files_of_meshes_that_are_only_named(peer: Peer) -> None:
    graph = saved("Save3DAdvanced", model_3d=["3", 0], **VIEW) | MESH
    prompt_id = (await peer.run(graph))["prompt"][1]
    job = (await peer.http.get(f"/api/jobs/{prompt_id}")).json()
    file = {
        "filename": "out/x_00001.glb",
        "type": "output",
        "subfolder": "",
        "mediaType": "3d",
    }
    assert job["outputs"]["2"] == {"result": [file, []]}
    assert (job["outputs_count"], job["preview_output"]) == (1, {**file, "nodeId": "2"})


async def test_savers_show_their_files_as_comfyui_0_3_64_does(tmp_path: Path) -> None:
    graphs = (
        sounded("SaveAudio"),
        filmed(format="auto", codec="auto"),
        saved("SaveAnimatedWEBP", 1, images=["1", 0], **WEBP),
    )
    async with opened(tmp_path, profile=Profile.V0_3_64) as peer:
        sound, film, picture = [(await peer.run(graph))["outputs"]["2"] for graph in graphs]
        refused = await peer.http.post("/prompt", json={"prompt": saved("SaveWEBP")})
    assert sound["audio"][0]["filename"] == "x_00001_.flac"
    assert film["images"][0]["filename"] == "x_00002_.mp4"
    assert picture["animated"] == [True]
    assert refused.json()["error"]["type"] == "invalid_prompt"


async def test_a_film_has_its_frames_speed_sound_and_graph(peer: Peer) -> None:
    graph = filmed(format="mp4", **{"format.codec": "h264"})
    graph["1"]["inputs"] |= {"batch_size": 30, "width": 65}
    graph["3"]["inputs"]["audio"] = ["4", 0]
    graph["4"] = node("EmptyAudio", duration=1.0, sample_rate=44100, channels=2)
    await peer.run(graph)
    with av.open(peer.files / "output/out/x_00001_.mp4") as film:
        stream = film.streams.video[0]
        assert (stream.frames, stream.width, stream.height) == (30, 64, 64)
        assert stream.average_rate == 8
        assert len(film.streams.audio) == 1
        assert json.loads(film.metadata["prompt"]) == graph


def test_films_and_sounds_have_the_same_bytes_each_time(tmp_path: Path) -> None:
    video = Video(Images((flat_frame(32, 32, (9, 9, 9)),) * 3), 8.0, Audio(0.2))
    for turn in ("first", "second"):
        folder = tmp_path / turn
        folder.mkdir()
        for name, codec in (("x.mp4", "h264"), ("y.mkv", "av1"), ("z.webm", "vp9")):
            save_video(video, folder / name, codec, {"prompt": "{}"})
        for name in ("x.flac", "y.mp3", "z.opus"):
            save_audio(Audio(0.2), folder / name, {"prompt": "{}"})
    written = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert len(written) == 6
    same, *differing = filecmp.cmpfiles(
        tmp_path / "first", tmp_path / "second", written, shallow=False
    )
    assert (same, differing) == (written, [[], []])


MODELS = (
    "diffusion_models/edit.safetensors",
    "text_encoders/words.safetensors",
    "vae/eyes.safetensors",
)
LOADED: Graph = {
    "1": node("UNETLoader", unet_name="edit.safetensors", weight_dtype="default"),
    "2": node("CLIPLoader", clip_name="words.safetensors", type="wan", device="default"),
    "3": node("VAELoader", vae_name="eyes.safetensors"),
    "4": node(
        "LoraLoaderModelOnly",
        model=["1", 0],
        lora_name="rehearsal-ink.safetensors",
        strength_model=1.0,
    ),
    "5": node("ModelSamplingSD3", model=["4", 0], shift=3.0),
    "6": node("LoadImage", image="first.png"),
}
EDIT: Graph = LOADED | {
    "7": node("TextEncodeQwenImageEditPlus", clip=["2", 0], prompt="by night", image1=["6", 0]),
    "8": node("VAEEncode", pixels=["6", 0], vae=["3", 0]),
    "9": node("RandomNoise", noise_seed=7),
    "10": node("BasicGuider", model=["5", 0], conditioning=["7", 0]),
    "11": node("KSamplerSelect", sampler_name="euler"),
    "12": node("BasicScheduler", model=["5", 0], scheduler="simple", steps=2, denoise=1.0),
    "13": node(
        "SamplerCustomAdvanced",
        noise=["9", 0],
        guider=["10", 0],
        sampler=["11", 0],
        sigmas=["12", 0],
        latent_image=["8", 0],
    ),
    "14": node("VAEDecode", samples=["13", 0], vae=["3", 0]),
    "15": node("SaveImage", images=["14", 0], filename_prefix="out/x"),
}
TURN = {"sampler_name": "euler", "scheduler": "simple", "noise_seed": 7, "cfg": 1.0, "steps": 4}
WAN: Graph = LOADED | {
    "7": node("CLIPTextEncode", clip=["2", 0], text="a train"),
    "8": node("CLIPTextEncode", clip=["2", 0], text=""),
    "9": node(
        "WanImageToVideo",
        positive=["7", 0],
        negative=["8", 0],
        vae=["3", 0],
        width=64,
        height=48,
        length=5,
        batch_size=1,
        start_image=["6", 0],
    ),
    "10": node(
        "KSamplerAdvanced",
        model=["5", 0],
        positive=["9", 0],
        negative=["9", 1],
        latent_image=["9", 2],
        add_noise="enable",
        start_at_step=1,
        end_at_step=10_000,
        return_with_leftover_noise="disable",
        **TURN,
    ),
    "11": node("VAEDecode", samples=["10", 0], vae=["3", 0]),
    "12": node("CreateVideo", images=["11", 0], fps=16.0),
    "13": node("SaveVideo", video=["12", 0], filename_prefix="out/x", format="auto"),
}


@pytest.mark.parametrize(
    ("graph", "name", "frames", "size", "steps"),
    [(EDIT, "x_00001_.png", 1, (72, 64), 2), (WAN, "x_00001_.mp4", 5, (64, 48), 3)],
)
async def test_todays_loaders_and_samplers_make_pictures_and_films(
    tmp_path: Path, graph: Graph, name: str, frames: int, size: tuple[int, int], steps: int
) -> None:
    async with opened(tmp_path, models=MODELS) as peer:
        Image.new("RGB", (72, 67), "red").save(tmp_path / "input/first.png")
        entry = await peer.run(graph)
        told = [about["data"] for about in peer.seen if about["type"] == "progress"]
    assert entry["status"]["completed"], entry["status"]["messages"][-1]
    assert {each["max"] for each in told} == {steps}
    assert (told[0]["value"], told[-1]["value"]) == (1, steps)
    with av.open(tmp_path / "output/out" / name) as file:
        stream = file.streams.video[0]
        assert (stream.frames or 1, stream.width, stream.height) == (frames, *size)

"""What the page's views Now and Make ask of the API: activity, requests to use again, pictures."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import SecretStr

from anime.core.assets import AssetRow
from anime.core.job_status import FailureKind, JobStatus, Stage
from anime.core.progress_meter import IN_QUEUE
from anime.db.repositories import FileRepository, JobRepository, NewJob
from anime.db.session import Database
from anime.progress.publisher import ProgressPublisher
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.server import serving
from anime.schemas import GenerationRequest, ProgressEvent
from anime.settings import Settings
from tests.integration.api_client import opened_api, problem_in
from tests.integration.prefect_peer import PrefectPeer
from tests.integration.test_api_servers import alive_server

Json = dict[str, Any]
BIG_SEED = 2**64 - 1
GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "ink.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": BIG_SEED,
            "steps": 9,
            "cfg": 5.5,
            "sampler_name": "euler",
            "scheduler": "karras",
            "denoise": 1.0,
            "positive": ["2", 0],
            "negative": ["2", 0],
            "model": ["1", 0],
            "latent_image": ["4", 0],
        },
    },
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64}},
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 2]}},
    "6": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["5", 0]}},
}


def png(*, graph: Json | None = None) -> bytes:
    texts, stream = PngInfo(), BytesIO()
    if graph is not None:
        texts.add_text("prompt", json.dumps(graph))
    Image.new("RGB", (72, 64), "teal").save(stream, "PNG", pnginfo=texts)
    return stream.getvalue()


async def new_job(database: Database, **fields: Any) -> UUID:
    job_id, request = uuid4(), GenerationRequest(**{"prompt": "rain", **fields})
    async with database.session_scope() as session:
        await JobRepository(session).insert(job_id, NewJob.of(job_id, request))
    return job_id


async def failed_job(database: Database) -> UUID:
    job_id = await new_job(database)
    async with database.session_scope() as session:
        await JobRepository(session).fail_unleased(job_id, FailureKind.TIMEOUT, "Too slow. Wait.")
    return job_id


@pytest_asyncio.fixture
async def watched(api_settings: Settings, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API with Redis, and without a server."""
    async with opened_api(api_settings, redis_url=SecretStr(redis_url)) as client:
        yield client


async def test_activity_shows_what_renders_what_waits_and_why_and_what_has_failed(
    watched: httpx.AsyncClient, database: Database, redis_url: str
) -> None:
    rendering, in_line, there = [await new_job(database) for _ in range(3)]
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        for job_id in (rendering, in_line, there):
            lease = await jobs.lease(job_id, uuid4(), seconds=60)
            assert lease is not None
            await jobs.renew(lease, seconds=60, stage=Stage.SUBMITTING)
    async with ProgressPublisher(redis_url) as publisher:
        for job_id, stage, message in (
            (rendering, Stage.RENDERING, "Sampler: step 4 of 10"),
            (in_line, Stage.SUBMITTING, "Waiting for a slot: 2 before it"),
            (there, Stage.RENDERING, IN_QUEUE),
        ):
            await publisher.publish(
                ProgressEvent(
                    job_id=job_id,
                    status=JobStatus.PROCESSING,
                    stage=stage,
                    progress=40,
                    message=message,
                    timestamp=datetime.now(UTC),
                )
            )
    failed = await failed_job(database)
    first = await new_job(database, project="Rain")
    second = await new_job(database)
    shown = (await watched.get("/api/anime/activity")).json()
    assert [
        (each["id"], each["message"], each["stage"], each["progress"])
        for each in shown["rendering"]
    ] == [(str(rendering), "Sampler: step 4 of 10", "rendering", 40)], "before its row says so"
    assert [(each["id"], each["message"]) for each in shown["waiting"]] == [
        (str(in_line), "Waiting for a slot: 2 before it"),
        (str(there), IN_QUEUE),
        (str(first), "It is next: it waits for a worker that has a run free."),
        (str(second), "1 older job waits for a run, too."),
    ]
    assert [(each["id"], each["message"]) for each in shown["failed"]] == [
        (str(failed), "Too slow. Wait.")
    ]
    counts = {state: count for state, count in shown["counts"].items() if count}
    assert counts == {"queued": 2, "processing": 3, "failed": 1}
    assert (await watched.post("/api/anime/pause", json={"project": "rain"})).is_success
    paused = (await watched.get("/api/anime/activity")).json()
    assert paused["waiting"][2]["message"] == "project:rain is paused."
    assert paused["waiting"][3]["message"] == "1 older job waits for a run, too."
    assert [each["scope"] for each in paused["pauses"]] == ["project:rain"]


async def test_many_who_look_at_once_share_a_reading_that_is_newer_than_their_question(
    api: httpx.AsyncClient, database: Database
) -> None:
    shown = await asyncio.gather(*(api.get("/api/anime/activity") for _ in range(9)))
    assert len({each.json()["at"] for each in shown}) <= 2
    job_id = await new_job(database)
    [waiting] = (await api.get("/api/anime/activity")).json()["waiting"]
    assert waiting["id"] == str(job_id)


async def test_a_failed_job_is_requeued_by_http_and_any_other_left_as_it_is(
    api: httpx.AsyncClient, database: Database
) -> None:
    failed, waiting = await failed_job(database), await new_job(database)
    answer = await api.post(f"/api/anime/jobs/{failed}/requeue")
    assert answer.json() == {
        "job_id": str(failed),
        "status": "queued",
        "detail": "It waits for a run again.",
    }
    assert (await api.get(f"/api/anime/jobs/{failed}")).json()["error"] is None
    answer = await api.post(f"/api/anime/jobs/{waiting}/requeue")
    assert answer.json()["detail"] == "It has not failed: queued."
    problem_in(await api.post(f"/api/anime/jobs/{uuid4()}/requeue"), 404)


async def recorded_file(database: Database, library: Path, **said: Any) -> int:
    row = AssetRow(
        filename="a.png",
        file_type="image",
        file_path=str(library / "a.png"),
        file_size=1,
        sha256="0" * 64,
        width=128,
        height=96,
        created_at=datetime.now(UTC),
        **said,
    )
    async with database.session_scope() as session:
        [file] = await FileRepository(session).record([row])
    return file.id


async def test_the_request_of_a_job_a_file_or_an_upload_can_be_used_again(
    api: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    job_id = await new_job(database, prompt="a fox", seed=BIG_SEED, steps=9)
    asked = {"prompt": "a fox", "steps": 9, "seed": str(BIG_SEED)}
    of_job = (await api.get(f"/api/anime/jobs/{job_id}/request")).json()
    assert of_job == {"source": "job", "job_id": str(job_id), "request": asked, "left_out": []}
    again = await api.post("/api/anime/generate", json=of_job["request"])
    assert again.status_code == 202, again.text
    made = {"prompt": "a cat", "source": "anime", "canvas_width": 64, "workflow": "txt2img"}
    ours = await recorded_file(database, tmp_path, job_id=job_id, metadata={})
    assert (await api.get(f"/api/anime/files/{ours}/request")).json() == of_job
    foreign = await recorded_file(database, tmp_path, metadata=made)
    found = (await api.get(f"/api/anime/files/{foreign}/request")).json()
    assert found["request"] == {
        "prompt": "a cat",
        "width": 64,
        "height": 96,
        "workflow": "txt2img",
    }
    read = await api.post("/api/anime/recipes/upload", content=png(graph=GRAPH))
    assert read.status_code == 200, read.text
    assert (read.json()["source"], read.json()["left_out"]) == ("comfyui", [])
    assert read.json()["request"] == {
        "prompt": "a fox",
        "seed": str(BIG_SEED),
        "model": "ink.safetensors",
        "sampler": "euler",
        "scheduler": "karras",
        "steps": 9,
        "cfg": 5.5,
        "width": 72,
        "height": 64,
    }
    plain = await api.post("/api/anime/recipes/upload", content=png())
    assert plain.json()["request"] == {"width": 72, "height": 64}
    problem_in(await api.get(f"/api/anime/jobs/{uuid4()}/request"), 404)
    problem_in(await api.get("/api/anime/files/77/request"), 404)


@pytest.mark.parametrize("path", ["recipes/upload", "inputs/upload"])
async def test_a_file_that_is_no_media_or_too_large_is_refused_and_leaves_nothing(
    api: httpx.AsyncClient, api_settings: Settings, path: str
) -> None:
    problem = problem_in(await api.post(f"/api/anime/{path}", content=b"%PDF-1.7 no"), 422)
    assert "picture" in problem["detail"]
    huge = await api.post(f"/api/anime/{path}", content=bytes(33 * 2**20))
    problem_in(huge, 413)
    assert [each for each in api_settings.library.rglob("*") if each.is_file()] == []


async def test_an_input_picture_is_kept_once_and_shown(
    api: httpx.AsyncClient, api_settings: Settings
) -> None:
    first, again = [await api.post("/api/anime/inputs/upload", content=png()) for _ in range(2)]
    assert first.status_code == 201, first.text
    assert first.json() == again.json()
    kept = first.json()
    assert (kept["width"], kept["height"]) == (72, 64)
    assert kept["name"] == f".inputs/{kept['sha256']}.png"
    shown = await api.get(f"/api/anime/inputs/{kept['sha256']}.png/content")
    assert shown.content == png() == (api_settings.library / kept["name"]).read_bytes()
    problem_in(await api.get(f"/api/anime/inputs/{'0' * 64}.png/content"), 404)
    problem_in(await api.get("/api/anime/inputs/..%2f..%2fetc.png/content"), 404)


async def test_a_workflow_is_offered_what_the_servers_have_and_silence_is_said(
    api_settings: Settings, tmp_path: Path
) -> None:
    config = RehearsalConfig(
        data_dir=tmp_path / "comfyui", port=0, models=["loras/mei.safetensors"]
    )
    async with serving(config) as url, opened_api(api_settings, comfyui_url=url) as studio:
        server = await alive_server(studio)
        await studio.post(f"/api/anime/servers/{server['name']}/check")
        offers = (await studio.get("/api/anime/workflows/txt2img/offers")).json()
        activity = (await studio.get("/api/anime/activity")).json()
        await studio.post(f"/api/anime/servers/{server['name']}/drain")
        away = (await studio.get("/api/anime/workflows/txt2img/offers")).json()
        problem_in(await studio.get("/api/anime/workflows/nothing/offers"), 404)
    assert (offers["servers"], offers["unchecked"]) == ([server["name"]], [])
    assert "euler" in offers["inputs"]["sampler"]["choices"]
    assert "rehearsal-sdxl.safetensors" in offers["inputs"]["model"]["choices"]
    assert offers["inputs"]["steps"]["minimum"] == 1
    assert "mei.safetensors" in offers["loras"]
    [shown] = activity["servers"]
    assert (shown["name"], shown["health"], shown["jobs"]) == (server["name"], "alive", 0)
    assert 0 < shown["vram_free_mb"] <= shown["vram_total_mb"]
    assert away["inputs"] == {}
    assert away["unchecked"] == ["No server that may render it is alive: names are not offered."]


async def test_who_waits_for_the_run_is_told_what_the_composition_warns_of(
    api_settings: Settings, prefect_peer: PrefectPeer, tmp_path: Path
) -> None:
    version = {"prompt": "silver hair", "loras": [{"name": "mei.safetensors"}]}
    body = {"prompt": "@mei in the rain", "workflow": "sdxl"}
    config = RehearsalConfig(data_dir=tmp_path / "comfyui", port=0)
    async with (
        serving(config) as comfyui_url,
        opened_api(api_settings, comfyui_url=comfyui_url) as api,
    ):
        mei = (await api.post("/api/anime/characters", json={"name": "Mei"})).json()
        path = f"/api/anime/characters/{mei['id']}/versions"
        (await api.post(path, json=version)).raise_for_status()
        accepted = (await api.post("/api/anime/generate?dispatched=true", json=body)).json()
    [warning] = accepted["warnings"]
    assert "LoRA mei.safetensors of character Mei, version 1 fits is unchecked" in warning
    assert list(prefect_peer.runs) == [accepted["job_id"]]

"""Orders in a running house: from an old program, called off, and while Prefect is away."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx
import psutil
from redis.asyncio import Redis

from tests.house.conftest import House

LONG = {"prompt": "never mind", "width": 64, "height": 64, "steps": 1000}


async def test_an_old_program_gets_its_picture_with_three_redis_commands(house: House) -> None:
    job_id = str(uuid4())
    params = {"prompt": "a fox in the rain", "width": 64, "height": 64, "steps": 2, "seed": 7}
    async with _redis(house) as redis:
        await redis.hset(
            f"anime:job:{job_id}",
            mapping={
                "id": job_id,
                "status": "queued",
                "type": "image",
                "project_id": "",
                "params": json.dumps(params),
            },
        )
        await redis.lpush("anime:job:queue", job_id)
        seen = await _until_final(redis, job_id)
    assert (seen["status"], seen["progress"]) == ("completed", "100")
    assert [Path(path).is_file() for path in json.loads(seen["result"])] == [True]


async def test_a_running_job_cancelled_over_http_is_cancelled_in_all_places(house: House) -> None:
    async with _api(house) as api, _redis(house) as redis, house.prefect() as prefect:
        job_id = (await api.post("/api/anime/generate", json=LONG)).json()["job_id"]
        async with asyncio.timeout(60):
            while (await api.get(f"/api/anime/jobs/{job_id}")).json()["progress"] == 0:
                await asyncio.sleep(0.1)
        told = (await api.post(f"/api/anime/generation/{job_id}/cancel")).json()
        assert told["status"] == "cancelling"
        assert (await _until_final(redis, job_id))["status"] == "cancelled"
        job = (await api.get(f"/api/anime/jobs/{job_id}")).json()
        again = (await api.post(f"/api/anime/generation/{job_id}/cancel")).json()
        run = await _until_ended(prefect, job["flow_run_id"])
        async with httpx.AsyncClient(base_url=job["comfyui_url"]) as comfyui:
            queue = (await comfyui.get("/queue")).json()
    assert (job["status"], again["status"]) == ("cancelled", "cancelled")
    assert run["state_type"] == "CANCELLED"
    assert job["prompt_id"] not in json.dumps(queue)


async def test_f56_a_job_asked_for_while_prefect_is_dead_is_rendered_when_it_is_back(
    house: House,
) -> None:
    psutil.Process(house.record.parts["prefect"].pid).kill()
    order = {"prompt": "patience", "width": 64, "height": 64, "steps": 2}
    async with _api(house) as api, _redis(house) as redis:
        answer = await api.post("/api/anime/generate", json=order)
        assert (answer.status_code, answer.json()["status"]) == (202, "queued")
        assert (await _until_final(redis, answer.json()["job_id"]))["status"] == "completed"


def _redis(house: House) -> Redis:
    url = house.record.settings["redis_url"]
    return Redis.from_url(url, decode_responses=True, protocol=2)


def _api(house: House) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=str(house.record.parts["api"].url))


async def _until_final(redis: Redis, job_id: str) -> dict[str, str]:
    """The job's hash when it says that the job has ended."""
    async with asyncio.timeout(90), redis.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe("anime:job:updates")
        while True:
            found = await redis.hgetall(f"anime:job:{job_id}")
            seen = cast("dict[str, str]", found)  # redis-py types every protocol
            if seen.get("status") in {"completed", "failed", "cancelled"}:
                return seen
            await channel.get_message(timeout=1.0)


async def _until_ended(prefect: httpx.AsyncClient, run_id: str) -> Any:  # Prefect's JSON
    async with asyncio.timeout(30):
        while True:
            run = (await prefect.get(f"/flow_runs/{run_id}")).json()
            if run["state_type"] not in {"RUNNING", "CANCELLING", "PENDING"}:
                return run
            await asyncio.sleep(0.2)

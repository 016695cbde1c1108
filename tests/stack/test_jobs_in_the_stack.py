"""Orders in a running stack: from an old program, called off, and while Prefect is away."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect

from tests.stack.conftest import StackUnderTest
from tests.support.waiting import HUNG_SECONDS

Cancel = Callable[[StackUnderTest, str], Awaitable[str]]

LONG = {"prompt": "never mind", "width": 64, "height": 64, "steps": 1000}


async def test_an_old_program_gets_its_picture_with_three_redis_commands(
    stack: StackUnderTest,
) -> None:
    job_id = str(uuid4())
    params = {"prompt": "a fox in the rain", "width": 64, "height": 64, "steps": 2, "seed": 7}
    async with stack.redis() as redis:
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
    seen = await stack.hash_of_ended(job_id)
    assert (seen["status"], seen["progress"]) == ("completed", "100")
    assert [Path(path).is_file() for path in json.loads(seen["result"])] == [True]


async def _cancel_over_http(stack: StackUnderTest, job_id: str) -> str:
    """The status that the answer tells."""
    async with stack.api() as api:
        answer = await api.post(f"/api/anime/generation/{job_id}/cancel")
    return str(answer.json()["status"])


async def _cancel_over_the_socket(stack: StackUnderTest, job_id: str) -> str:
    async with connect(stack.ws_url, proxy=None) as socket, asyncio.timeout(HUNG_SECONDS):
        await socket.send(json.dumps({"action": "cancel", "job_id": job_id}))
        return str(json.loads(await socket.recv())["data"]["status"])


@pytest.mark.parametrize("cancel", [_cancel_over_http, _cancel_over_the_socket])
async def test_f30_a_running_job_that_is_cancelled_is_so_in_all_places(
    stack: StackUnderTest, cancel: Cancel
) -> None:
    async with stack.api() as api:
        job_id = (await api.post("/api/anime/generate", json=LONG)).json()["job_id"]
        await stack.until_rendering(job_id)
        assert await cancel(stack, job_id) == "cancelling"
        in_redis = await stack.hash_of_ended(job_id)
        row = (await api.get(f"/api/anime/jobs/{job_id}")).json()
    run = await stack.ended_run(row["flow_run_id"])
    async with httpx.AsyncClient(base_url=row["comfyui_url"]) as comfyui:
        queue = (await comfyui.get("/queue")).json()
    assert (row["status"], in_redis["status"]) == ("cancelled", "cancelled")
    assert run["state_type"] == "CANCELLED"
    assert queue == {"queue_running": [], "queue_pending": []}
    assert await cancel(stack, job_id) == "cancelled"


async def test_f56_a_job_asked_for_while_prefect_is_dead_is_rendered_when_it_is_back(
    stack: StackUnderTest,
) -> None:
    psutil.Process(stack.record.parts["prefect"].pid).kill()
    order = {"prompt": "patience", "width": 64, "height": 64, "steps": 2}
    async with stack.api() as api:
        answer = await api.post("/api/anime/generate", json=order)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert (await stack.hash_of_ended(answer.json()["job_id"]))["status"] == "completed"

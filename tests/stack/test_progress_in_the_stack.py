"""Progress in a running stack, watched by clients that know nothing but the contract."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.stack.conftest import StackUnderTest
from tests.support.waiting import HUNG_SECONDS

ORDER = {"prompt": "waves", "width": 64, "height": 64, "steps": 60}


async def order(api: httpx.AsyncClient, **more: Any) -> str:  # any fields of a request
    """The id of a new job."""
    return str((await api.post("/api/anime/generate", json=ORDER | more)).json()["job_id"])


async def say(socket: ClientConnection, **message: object) -> None:
    await socket.send(json.dumps(message))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(HUNG_SECONDS):
        message: dict[str, Any] = json.loads(await socket.recv())
    return message


async def hear_to_the_end(socket: ClientConnection, job_id: str) -> list[dict[str, Any]]:
    """The data of each event of that job, up to its last."""
    told: list[dict[str, Any]] = []
    while not told or told[-1]["status"] not in {"completed", "failed", "cancelled"}:
        message = await hear(socket)
        if message["type"] == "progress" and message["job_id"] == job_id:
            told.append(message["data"])
    return told


async def test_a_client_is_told_the_status_at_once_then_progress_up_to_the_end(
    stack: StackUnderTest,
) -> None:
    async with stack.api() as api, connect(stack.ws_url, proxy=None) as socket:
        job_id = await order(api)
        await say(socket, action="subscribe", job_id=job_id)
        first = await hear(socket)
        told = await hear_to_the_end(socket, job_id)
        row = (await api.get(f"/api/anime/generation/{job_id}/status")).json()
    assert (first["type"], first["job_id"], first["data"]["id"]) == ("status", job_id, job_id)
    assert first["data"]["status"] in {"queued", "processing"}
    percents = [event["progress"] for event in told]
    assert percents == sorted(percents)
    assert len(set(percents)) > 10
    assert (told[-1]["status"], percents[-1]) == ("completed", 100)
    assert all(event["updated_at"] for event in told)
    assert row["status"] == "completed", "the last event comes after the record"


async def test_bad_json_is_answered_and_a_client_of_all_jobs_hears_of_each(
    stack: StackUnderTest,
) -> None:
    async with stack.api() as api, connect(stack.ws_url, proxy=None) as socket:
        await socket.send("{")
        assert (await hear(socket))["type"] == "error"
        await say(socket, action="subscribe", job_id="*")
        assert (await hear(socket))["type"] == "status"
        jobs = {await order(api, steps=2), await order(api, steps=2)}
        ended = set[str]()
        while not jobs <= ended:
            message = await hear(socket)
            if message["data"]["status"] == "completed":
                ended.add(message["job_id"])
    assert jobs <= ended


async def test_a_client_that_reconnects_with_its_last_number_has_missed_none(
    stack: StackUnderTest,
) -> None:
    heard: list[int] = []
    async with stack.api() as api, connect(stack.ws_url, proxy=None) as socket:
        job_id = await order(api)
        await say(socket, action="subscribe", job_id=job_id, seq=0)
        while len(heard) < 5:
            message = await hear(socket)
            if message["type"] == "progress":
                heard.append(message["data"]["seq"])
        socket.transport.abort()
        while (await api.get(f"/api/anime/jobs/{job_id}")).json()["progress"] < 60:
            await asyncio.sleep(0.05)
    async with connect(stack.ws_url, proxy=None) as socket:
        await say(socket, action="subscribe", job_id=job_id, seq=heard[-1])
        assert (await hear(socket))["type"] == "status"
        heard += [event["seq"] for event in await hear_to_the_end(socket, job_id)]
    # An end that is recorded, but not yet published, is told without a number.
    numbers = [seq for seq in heard if seq]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 10


async def test_curl_reads_the_same_events_and_goes_on_where_it_was(stack: StackUnderTest) -> None:
    async with stack.api() as api:
        job_id = await order(api)
        url = f"{api.base_url}/api/anime/jobs/{job_id}/events"
        whole = await read_with_curl(stack, url, "Last-Event-ID: 0")
        rest = await read_with_curl(stack, url, "Last-Event-ID: 7")
    progress = [event["data"] for event in whole if event["type"] == "progress"]
    again = [event["data"] for event in rest if event["type"] == "progress"]
    assert (whole[0]["type"], progress[-1]["status"]) == ("status", "completed")
    told = [data for data in progress if data["seq"]]  # the end may have none, as above
    assert [data["seq"] for data in told] == list(range(1, len(told) + 1))
    assert again[: len(told) - 7] == told[7:]
    assert again[-1]["status"] == "completed"


async def read_with_curl(stack: StackUnderTest, url: str, header: str) -> list[dict[str, Any]]:
    """All that the stream tells until it ends by itself."""
    done = await stack.run("curl", "-sSN", "-H", header, url, timeout_seconds=HUNG_SECONDS)
    assert done.returncode == 0, done.stderr
    lines = (line for line in done.stdout.splitlines() if line.startswith("data: "))
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_an_api_that_is_stopped_closes_its_sockets_and_its_job_goes_on(
    stack: StackUnderTest,
) -> None:
    with stack.renders_held():
        async with stack.api() as api:
            job_id = await order(api)
        async with connect(stack.ws_url, proxy=None) as socket:
            await say(socket, action="subscribe", job_id=job_id)
            while (await hear(socket))["data"].get("stage") != "rendering":
                pass
            psutil.Process(stack.record.parts["api"].pid).terminate()
            with pytest.raises(ConnectionClosed):
                await hear_to_the_end(socket, job_id)
            assert socket.close_code == 1012
    assert (await stack.hash_of_ended(job_id))["status"] == "completed"
    await until_it_answers(stack)
    job = await stack.job(job_id)
    assert (job["status"], job["attempt"], len(job["files"])) == ("completed", 1, 1)


async def until_it_answers(stack: StackUnderTest) -> None:
    async with asyncio.timeout(HUNG_SECONDS), stack.api() as api:
        while True:
            with suppress(httpx.TransportError):
                await api.get("/health")
                return
            await asyncio.sleep(0.1)

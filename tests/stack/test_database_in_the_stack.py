"""A running stack whose PostgreSQL, which is Prefect's as well, is killed under it."""

import asyncio
import signal
from uuid import uuid4

import httpx
import psutil

from tests.stack.conftest import StackUnderTest
from tests.support.waiting import HUNG_SECONDS

ORDER = {"width": 64, "height": 64}


async def test_f50_a_database_killed_in_a_render_costs_no_picture_and_no_order(
    stack: StackUnderTest,
) -> None:
    assert stack.process is not None
    server = psutil.Process(stack.record.parts["postgresql"].pid)
    async with stack.api() as api:
        with stack.renders_held():
            asked = await api.post("/api/anime/generate", json=ORDER | {"prompt": "ebb"})
            job_id = asked.json()["job_id"]
            await stack.until_rendering(job_id)
            stack.process.send_signal(signal.SIGSTOP)  # it starts no other before one has noticed
            try:
                sessions = server.children()
                server.kill()
                await asyncio.to_thread(psutil.wait_procs, sessions, HUNG_SECONDS)
                noticed = await api.post("/api/anime/generate", json=ORDER | {"prompt": "flood"})
            finally:
                stack.process.send_signal(signal.SIGCONT)
        answers = [noticed, *await _order_until_one_is_taken(api)]
        rendered = await stack.job(job_id)
        taken = await stack.job(answers[-1].json()["job_id"])
        jobs = (await api.get("/api/anime/jobs", params={"limit": 200})).json()["items"]
    assert (rendered["status"], rendered["attempt"], len(rendered["files"])) == ("completed", 1, 1)
    assert taken["status"] == "completed"
    refused = answers[:-1]
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {
        (503, "5")
    }
    assert [job["id"] for job in jobs if job["prompt"] == "flood"] == [taken["id"]]


async def _order_until_one_is_taken(api: httpx.AsyncClient) -> list[httpx.Response]:
    """All the answers; the last one is 202."""
    answers: list[httpx.Response] = []
    order = ORDER | {"prompt": "flood", "steps": 2}
    async with asyncio.timeout(HUNG_SECONDS):
        while not answers or answers[-1].status_code != 202:
            key = {"Idempotency-Key": str(uuid4())}
            answers.append(await api.post("/api/anime/generate", json=order, headers=key))
            await asyncio.sleep(0.05)
    return answers

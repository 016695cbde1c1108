"""Events to many clients, and the memory of clients that only wait."""

import asyncio
import json
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

from anime.core.job_status import JobStatus, Stage
from anime.errors import StackError
from anime.progress.publisher import ProgressPublisher
from anime.schemas import ProgressEvent
from anime.settings import PROJECT_DIR
from benchmarks.effort import Effort
from benchmarks.footprint import family_sum, shared_mb
from benchmarks.relay import Relay, relay_to
from benchmarks.report import Reach, Row
from benchmarks.studio import STEP_SECONDS, Studio, open_studio, seconds_allowed
from benchmarks.timing import percentile

CLIENTS = 200
IDLE_CLIENTS = 1000
SETTLE_SECONDS = 2
TIMEOUT_SECONDS = 60
_WARM_UP = 100  # steps during which the clients connect
_STEPS_A_MESSAGE = 2  # ComfyUI tells a step when a tenth of a second has passed since the last
_STEP = re.compile(r"step (\d+) of")  # in a job's message


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """How long a sampler's step takes to reach clients, and the memory of a thousand of them."""
    async with (
        relay_to(studio.stack.record.settings["comfyui_url"]) as relay,
        open_studio(studio.stack.checkout, ANIME_COMFYUI_URL=relay.url) as watched,
    ):
        delays = await _delays(watched, relay, effort.events)
    last = [max(each) for each in delays]
    every = [each for some in delays for each in some]
    path = f"ComfyUI's frame → {CLIENTS} clients"
    return [
        Row(f"{path}: each of them, p50, ms", percentile(every, 50)),
        Row(f"{path}: each of them, p95, ms", percentile(every, 95), reach=Reach(30)),
        Row(f"{path}: the last one, p50, ms", percentile(last, 50)),
        Row(f"{path}: the last one, p95, ms", percentile(last, 95), reach=Reach(30)),
        Row(f"{IDLE_CLIENTS} idle clients, MB", await _idle_mb(studio), reach=Reach(150)),
    ]


async def _delays(studio: Studio, relay: Relay, events: int) -> list[list[float]]:
    """For each step that ComfyUI tells of a render, the milliseconds until it reached each client.

    Raises:
        StackError: not every client got every one of them.
    """
    seconds = (_WARM_UP + events * _STEPS_A_MESSAGE) * STEP_SECONDS
    job = await studio.submit(studio.request(seconds))
    async with _watchers(studio.stack.record.settings["ws_url"], CLIENTS, job.job_id) as watchers:
        first = max(relay.reported_at, default=0) + 1
        await studio.endings.wait_for([job.job_id], seconds_allowed(1, seconds))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, _ = await watchers.communicate(b"")
    known_at: defaultdict[int, list[float]] = defaultdict(list)
    for message, at in (event for client in json.loads(output) for event in client):
        if found := _STEP.search(message):
            known_at[int(found[1])].append(at)
    counted = [step for step in relay.reported_at if step > first]
    if len(counted) < events or any(len(known_at[step]) != CLIENTS for step in counted):
        raise StackError("Not every client got every step.", "See the log of the API.")
    return [[(at - relay.reported_at[step]) * 1000 for at in known_at[step]] for step in counted]


async def _idle_mb(studio: Studio) -> float:
    """How much the API's process grows with clients that only wait, in MB."""
    record, job_id = studio.stack.record, uuid4()
    api = record.parts["api"].pid
    before = family_sum(api, shared_mb)
    async with ProgressPublisher(record.settings["redis_url"]) as publisher:
        await publisher.publish(
            ProgressEvent(
                job_id=job_id,
                status=JobStatus.PROCESSING,
                stage=Stage.RENDERING,
                progress=0,
                message="KSampler: step 1 of 20",
                timestamp=datetime.now(UTC),
            )
        )
    async with _watchers(record.settings["ws_url"], IDLE_CLIENTS, job_id):
        await asyncio.sleep(SETTLE_SECONDS)
        return family_sum(api, shared_mb) - before


@asynccontextmanager
async def _watchers(
    url: str, count: int, job_id: UUID
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process with `count` clients, once all have the answer to their subscription."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.watchers", url, str(count), str(job_id)),
        cwd=PROJECT_DIR,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output = process.stdout or asyncio.StreamReader()  # never None, as it was opened as a pipe
        async with asyncio.timeout(TIMEOUT_SECONDS):
            first = await output.readline()
        if first != b"ready\n":
            raise StackError(f"{count} clients could not connect to {url}.")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

"""Events to many clients, and what clients cost that only wait."""

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

from anime.core.job_status import JobStatus, Stage
from anime.errors import StackError
from anime.progress import ProgressPublisher
from anime.schemas import ProgressEvent
from anime.settings import PROJECT_DIR
from benchmarks.effort import Effort
from benchmarks.footprint import family_mb, shared_mb
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio
from benchmarks.timing import percentile

CLIENTS = 200
PAUSE_SECONDS = 0.05  # between two events: a fast sampler's step
IDLE_CLIENTS = 1000
SETTLE_SECONDS = 2
TIMEOUT_SECONDS = 60
_WARM_UP = 10  # events that are not counted


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """How long an event is on its way, and the memory of a thousand clients."""
    record = studio.house.record
    url, api = record.settings["ws_url"], record.parts["api"].pid
    async with ProgressPublisher(record.settings["redis_url"]) as publisher:
        arrivals = await _told(url, publisher, effort.events)
        before = family_mb(api, shared_mb)
        job_id = uuid4()
        await publisher.publish(_event(job_id, 0))
        async with _watchers(url, IDLE_CLIENTS, job_id):
            await asyncio.sleep(SETTLE_SECONDS)
            idle = family_mb(api, shared_mb)
    by_event = defaultdict(list)
    for seq, milliseconds in (each for client in arrivals for each in client):
        if seq > _WARM_UP:
            by_event[seq].append(milliseconds)
    if any(len(each) != CLIENTS for each in by_event.values()):
        raise StackError("Not every client was told of every event.", "See the log of the API.")
    last = [max(each) for each in by_event.values()]
    every = [each for some in by_event.values() for each in some]
    path = f"published → {CLIENTS} clients"
    return [
        Row(f"{path}: each of them, p50, ms", percentile(every, 50)),
        Row(f"{path}: each of them, p95, ms", percentile(every, 95), reach=Reach(30)),
        Row(f"{path}: the last one, p50, ms", percentile(last, 50)),
        Row(f"{path}: the last one, p95, ms", percentile(last, 95), reach=Reach(30)),
        Row(f"{IDLE_CLIENTS} idle clients, MB", idle - before, reach=Reach(150)),
    ]


async def _told(
    url: str, publisher: ProgressPublisher, events: int
) -> list[list[tuple[int, float]]]:
    """For each client the number of each event and its milliseconds."""
    job_id = uuid4()
    await publisher.publish(_event(job_id, 0))
    async with _watchers(url, CLIENTS, job_id) as watchers:
        for number in range(_WARM_UP + events):
            await publisher.publish(_event(job_id, number * 99 // (_WARM_UP + events)))
            await asyncio.sleep(PAUSE_SECONDS)
        output, _ = await asyncio.wait_for(watchers.communicate(b""), TIMEOUT_SECONDS)
    arrivals: list[list[tuple[int, float]]] = json.loads(output)
    return arrivals


@asynccontextmanager
async def _watchers(
    url: str, count: int, job_id: UUID
) -> AsyncIterator[asyncio.subprocess.Process]:
    """So many clients in a process of their own, all with their subscription answered."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.watchers", url, str(count), str(job_id)),
        cwd=PROJECT_DIR,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output = process.stdout or asyncio.StreamReader()  # it is there, as it was asked for
        if await asyncio.wait_for(output.readline(), TIMEOUT_SECONDS) != b"ready\n":
            raise StackError(f"{count} clients could not connect to {url}.")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _event(job_id: UUID, percent: int) -> ProgressEvent:
    return ProgressEvent(
        job_id=job_id,
        status=JobStatus.PROCESSING,
        stage=Stage.RENDERING,
        progress=percent,
        message="Sampler: step 12 of 20",
        timestamp=datetime.now(UTC),
    )

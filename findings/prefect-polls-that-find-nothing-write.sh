#!/bin/sh
# A worker's poll that finds no run is a write, and the dearest request of an idle Prefect server.
#
# One would guess: to ask an idle work pool for due runs is a cheap read, so that a worker may well
# ask each second; to name the queues it polls narrows the question and makes it cheaper.
# What happens: each poll looks every named queue up by itself, locks what is due, and adds two
# background tasks, which update `last_polled` of each queue and the status of its deployments. With
# four queues a poll takes several times the CPU that the server takes to count the due runs of the
# same pool (`POST /flow_runs/count`), which writes nothing.
# Versions: prefect 3.9.1, Python 3.11.
# Date: 2026-11-29.
# Why it matters to us: workers that poll each second were more than half of an idle server's CPU.
# Ours count while a pool is idle, and poll each twenty seconds: after a minute without a poll,
# Prefect calls queues and deployments not ready.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check prefect==3.9.1
PREFECT_HOME="$folder/prefect" DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_LOGGING_LEVEL=ERROR "$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import os
import socket
import subprocess
import sys
import time
from datetime import datetime, timezone

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType

QUEUES = ["default", "first", "second", "third"]
TIMES, PAUSE_SECONDS = 80, 0.05


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def poll(client):
    return await client.get_scheduled_flow_runs_for_work_pool("pool", work_queue_names=QUEUES)


async def count(client):
    scheduled = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    due = FlowRunFilterNextScheduledStartTime(before_=datetime.now(timezone.utc))
    return await client.count_flow_runs(
        flow_run_filter=FlowRunFilter(state=scheduled, next_scheduled_start_time=due),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=["pool"])),
    )


async def polled_at(client):
    return (await client.read_work_queue_by_name("default", work_pool_name="pool")).last_polled


async def cost(client, pid, ask):
    """Milliseconds of the server's CPU for one question, beside what it takes by itself."""
    before = cpu_seconds(pid)
    await asyncio.sleep(TIMES * PAUSE_SECONDS)
    idle = cpu_seconds(pid) - before
    before, began = cpu_seconds(pid), time.monotonic()
    for _ in range(TIMES):
        assert not await ask(client)
        await asyncio.sleep(PAUSE_SECONDS)
    share = (time.monotonic() - began) / (TIMES * PAUSE_SECONDS)
    return 1000 * (cpu_seconds(pid) - before - idle * share) / TIMES


async def main(url, pid):
    async with PrefectClient(url) as client:
        async with asyncio.timeout(90):
            while await client.api_healthcheck() is not None:
                await asyncio.sleep(0.2)
        await client.create_work_pool(WorkPoolCreate(name="pool", type="process"))
        for name in QUEUES[1:]:
            await client.create_work_queue(name, work_pool_name="pool")
        await count(client)
        assert await polled_at(client) is None, "counting, too, is a poll now"
        await poll(client)
        async with asyncio.timeout(30):
            while await polled_at(client) is None:
                await asyncio.sleep(0.1)
        rounds = [(await cost(client, pid, poll), await cost(client, pid, count)) for _ in range(2)]
    return [sum(each) / len(rounds) for each in zip(*rounds)]


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
server = subprocess.Popen([*command, "--port", port], stdout=subprocess.DEVNULL)
try:
    polled, counted = asyncio.run(main(f"http://127.0.0.1:{port}/api", server.pid))
finally:
    server.terminate()
    server.wait(30)
print("a poll that finds no run sets last_polled of the queue, counting the due runs does not")
print(f"CPU of the server: {polled:.1f} ms for a poll of four queues, {counted:.1f} ms to count")
assert polled > 1.5 * counted, "a poll costs little more than counting now"
PYTHON

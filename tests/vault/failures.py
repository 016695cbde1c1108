"""What goes wrong in a production; each function adds what is said of it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.integration.old_client import execute
from tests.stack.conftest import FINAL
from tests.support.waiting import HUNG_SECONDS
from tests.vault.postgres import CREATION
from tests.vault.production import DATABASE, Production, admit_to_redis

Said = dict[str, bytes]
PROMPT = "lampions over a canal"
SMALL = {"width": 64, "height": 64, "steps": 10}
ASKED = {"prompt": PROMPT, **SMALL}
CUT_OFF = f"""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname LIKE '{DATABASE}%' AND (usename = 'lasting' OR usename LIKE 'v-%')
"""


async def comfyui_refuses(production: Production, said: Said) -> None:
    """A proxy asks who we are and takes no answer; it says what it was shown."""
    production.is_comfyui_closed = True
    try:
        async with production.api() as api:
            job = await finished(api, ASKED)
        await run(production, said, "doctor", of="without ComfyUI")
    finally:
        production.is_comfyui_closed = False
    said["a job without ComfyUI"] = json.dumps(job).encode()
    assert job["status"] == "failed"
    assert "401" in str(job["error"]), job


async def a_block_is_wrong(production: Production, said: Said) -> None:
    """Somebody has entered a header with what no header may have."""
    await production.save_wrong_block()
    try:
        async with production.api() as api:
            job = await finished(api, ASKED)
    finally:
        await production.save_blocks()
    said["a job with a wrong block"] = json.dumps(job).encode()
    assert job["status"] == "failed", job
    assert "X-Studio has a character that no header may have" in str(job["error"])


async def passwords_are_refused(production: Production, said: Said) -> None:
    """Redis and PostgreSQL take other passwords than ours for seconds, Prefect's as well."""
    async with production.api() as api:
        job_id = await begun(api, {**ASKED, "steps": 40})
        async with other_passwords(production):
            said["/ready, refused"] = await refused_by_ready(api)
            said["jobs, refused"] = await text_of(api, "/api/anime/jobs")
            refused = await api.post("/api/anime/generate", json=ASKED)
            said["generate, refused"] = refused.content
            assert refused.status_code == 503
            for command in ("doctor", "jobs"):
                await run(production, said, command, of="refused")
        job = await ended_job(api, job_id)
    assert (job["status"], job["attempt"]) == ("completed", 1)
    assert re.search(rb"password authentication failed", said["/ready, refused"])
    assert re.search(rb"Redis does not answer: [^\n]*password", said["doctor, refused"])
    worker = (production.stack.home / "logs" / "worker.log").read_text()
    assert "Traceback" in worker


@asynccontextmanager
async def other_passwords(production: Production) -> AsyncIterator[None]:
    """Whoever connects is refused, and what is connected is cut off, while the block lasts."""
    url, vault = production.database.owner_url, production.vault
    role = (await vault.ask("GET", "database/roles/anime"))["data"]
    wrong = [each.replace("{{password}}", "another") for each in CREATION]
    await vault.ask("POST", "database/roles/anime", {**role, "creation_statements": wrong})
    try:
        for user in {"lasting", *await production.database.users()}:
            await execute(url, f"ALTER ROLE \"{user}\" PASSWORD 'another'")
        await admit_to_redis(production, "another")
        await execute(url, CUT_OFF)
        async with production.redis() as redis:
            await redis.client_kill_filter(user="production")
        yield
    finally:
        await vault.ask("POST", "database/roles/anime", role)
        await execute(url, f"ALTER ROLE lasting PASSWORD '{production.secrets['postgres']}'")
        await admit_to_redis(production)


async def refused_by_ready(api: httpx.AsyncClient) -> bytes:
    """What `/ready` answers once it has noticed that PostgreSQL refuses."""
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            answer = await api.get("/ready")
            if b"password authentication failed" in answer.content:
                return answer.content
            await asyncio.sleep(0.25)


async def vault_is_sealed(production: Production, said: Said) -> None:
    """Nothing new can be had from Vault; what is known goes on, and it is said until when."""
    await production.vault.seal()
    try:
        async with production.api() as api:
            said["/ready, sealed"] = await told_by_ready(api)
            said["/metrics, sealed"] = await told_by_metrics(api)
        await run(production, said, "doctor", of="sealed")
    finally:
        await production.vault.unseal()
    until = rb"known goes on until 20\S+ \d\d:\d\d:\d\d UTC"
    for who in (b"API", b"worker"):
        told = said["doctor, sealed"]
        assert re.search(who + rb" \(process \d+\): .*" + until, told), told


async def told_by_ready(api: httpx.AsyncClient) -> bytes:
    """What `/ready` answers once the API has noticed that Vault is sealed."""
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            answer = await api.get("/ready")
            vault = answer.json()["dependencies"]["vault"]
            if vault["state"] == "down":
                assert answer.json()["status"] == "ready", answer.text
                assert re.search(r"known goes on until 20\S+ \d\d:\d\d:\d\d UTC", vault["error"])
                return answer.content
            await asyncio.sleep(0.25)


async def told_by_metrics(api: httpx.AsyncClient) -> bytes:
    """What `/metrics` answers once it says so, too: it keeps its figures for seconds."""
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            told = await text_of(api, "/metrics")
            if re.search(rb"^anime_vault_up{.*} 0.0$", told, re.MULTILINE):
                return told
            await asyncio.sleep(0.25)


async def run(production: Production, said: Said, *words: str, of: str = "usual") -> int:
    """Have the command say what it says; its exit status."""
    done = await production.stack.anime(*words)
    said[f"{' '.join(words)}, {of}"] = f"{done.stdout}{done.stderr}".encode()
    return done.returncode


async def text_of(api: httpx.AsyncClient, path: str) -> bytes:
    """The head and the body of the answer."""
    answer = await api.get(path)
    return head_of(answer) + answer.content


def head_of(answer: httpx.Response) -> bytes:
    """Its status and its headers."""
    return f"{answer.status_code} {answer.headers.raw}\n".encode()


async def finished(api: httpx.AsyncClient, request: dict[str, object]) -> dict[str, object]:
    """The job of that request, once it has ended."""
    return await ended_job(api, await begun(api, request))


async def begun(api: httpx.AsyncClient, request: dict[str, object]) -> str:
    """The id of the job of that request."""
    asked = await api.post("/api/anime/generate", json={"type": "image", **request})
    return str(asked.raise_for_status().json()["job_id"])


async def ended_job(api: httpx.AsyncClient, job_id: str) -> dict[str, object]:
    """The job, once it has ended and the API can say so."""
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            job: dict[str, object] = (await api.get(f"/api/anime/jobs/{job_id}")).json()
            if job.get("status") in FINAL:
                return job
            await asyncio.sleep(0.25)

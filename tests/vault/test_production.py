"""A whole production whose every secret is a canary: all of it runs, and no secret gets out."""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import psutil
import pytest
import pytest_asyncio
import yaml
from starlette.responses import Response
from websockets.asyncio.client import connect

from tests.support.otlp_receiver import ReceivedSpan
from tests.vault.canaries import content_of, files_below
from tests.vault.failures import (
    ASKED,
    PROMPT,
    SMALL,
    Said,
    a_block_is_wrong,
    comfyui_refuses,
    finished,
    head_of,
    passwords_are_refused,
    run,
    text_of,
    vault_is_sealed,
)
from tests.vault.openbao import OpenBao
from tests.vault.places import (
    leaks_in_postgresql,
    leaks_in_redis,
    shown_by_prefect,
    watched_processes,
)
from tests.vault.production import WEBHOOK_KEY, Production, running_production


@pytest_asyncio.fixture(scope="module")
async def production(
    openbao: OpenBao,
    postgres_url: str,
    redis_url: str,
    admitted_by_password: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Production]:
    log = next(tmp_path_factory.getbasetemp().glob("services?/logs/postgresql.log"))
    folder = tmp_path_factory.mktemp("production")
    async with running_production(folder, openbao, postgres_url, redis_url, log) as production:
        yield production


# What PostgreSQL says when its client takes a statement back, such as a heartbeat that is under way
# when its run ends. Of one that takes too long, or whose user is refused, it says something else.
WITHDRAWN = "canceling statement due to user request"


async def test_f70_a_batch_goes_on_while_its_credentials_change(production: Production) -> None:
    said_before = len(production.postgresql_log.read_text())
    users = await production.database.users()
    common = SMALL | {"steps": 60}  # four renders take as long as the leases that there are
    batch = {"name": "rooftops", "common": common, "prompts": ["dusk"], "seeds": [*range(4)]}
    file = production.stack.folder / "rooftops.yaml"
    file.write_text(yaml.safe_dump(batch))
    done = await production.stack.anime("batch", str(file))
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(done.stdout.splitlines()) == 4
    assert users - await production.database.users(), "no user was taken back meanwhile"
    async with production.api() as api:
        listed = (await api.get("/api/anime/jobs", params={"limit": 50})).json()["items"]
    assert {(each["status"], each["attempt"]) for each in listed} == {("completed", 1)}
    said = production.postgresql_log.read_text()[said_before:]
    faults = re.findall(r".*(?:ERROR|FATAL): .*", said)
    assert [each for each in faults if not each.endswith(WITHDRAWN)] == []


async def test_vault_check_resolves_the_references_of_blocks_that_prefect_has(
    production: Production,
) -> None:
    done = await production.stack.anime("vault", "check", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout)
    assert told["unchecked"] is None
    of_blocks = {
        (each["where"], each["reference"], each["resolves"])
        for each in told["references"]
        if each["where"].startswith("block ")
    }
    assert of_blocks == {
        ("block comfyui-server.base_url", "vault:secret/production#comfyui", True),
        ("block studio-database.url", "vault:database/creds/anime#username", True),
        ("block studio-database.url", "vault:database/creds/anime#password", True),
        ("block studio-vault.secret_id", production.wrapping_reference, True),
    }
    assert production.found_in(done.stdout.encode()) == set()


async def test_no_secret_gets_out_of_a_production_with_failures(production: Production) -> None:
    said: Said = {}
    async with heard(production, said):
        traced = await usual_work(production, said)
        await comfyui_refuses(production, said)
        await a_block_is_wrong(production, said)
        await passwords_are_refused(production, said)
        await vault_is_sealed(production, said)
    delivered = await production.webhooks.has_received(3)  # one was refused, and sent again
    assert all(each.is_signed_with(WEBHOOK_KEY) for each in delivered)
    told = {each.message["type"] for each in delivered}
    assert told == {"generation.completed", "generation.failed"}
    await asyncio.to_thread(production.traces.until, lambda spans: traced <= runs_in(spans))
    assert PROMPT.encode() in production.traces.raw, "as ANIME_TRACE_PROMPTS allows"
    said |= await shown_by_prefect(production)
    said |= {"webhooks": repr(delivered).encode(), "traces": production.traces.raw}
    said["PostgreSQL's log"] = production.postgresql_log.read_bytes()
    assert production.leaks_in(said) == {}

    pages = production.stack.home / "prefect" / "pages"  # Prefect's, as they are installed
    files = set(files_below(production.stack.folder)) - production.sources - set(files_below(pages))
    assert {".png", ".log", ".gz"} <= {path.suffix for path in files}
    assert production.leaks_in({str(path): content_of(path) for path in files}) == {}
    owner, prefect = production.database.owner_url, production.prefect_url
    assert await leaks_in_postgresql(production, owner, "production_jobs", "anime_files") == {}
    with_rows = ("flow_run", "task_run", "block_document", "events", "log", "artifact")
    assert await leaks_in_postgresql(production, prefect, *with_rows) == {}
    assert await leaks_in_redis(production) == {}


@asynccontextmanager
async def heard(production: Production, said: Said) -> AsyncIterator[None]:
    """Listen at the WebSocket to all jobs while the block lasts."""
    messages: list[str | bytes] = []
    head = {"Authorization": f"Bearer {production.secrets['second']}"}
    async with connect(production.stack.ws_url, additional_headers=head, proxy=None) as socket:
        await socket.send(json.dumps({"action": "subscribe", "job_id": "*"}))

        async def listen() -> None:
            messages.extend([message async for message in socket])

        listening = asyncio.create_task(listen())
        yield
        await socket.close()
        await listening
    said["WebSocket"] = repr(messages).encode()
    assert b"completed" in said["WebSocket"]


async def usual_work(production: Production, said: Said) -> set[str]:
    """Jobs, of which one has no model, commands and pages; the traces of the jobs."""
    production.webhooks.answers.append(lambda: Response("not now", 500))
    async with production.api() as api:
        asked = {**ASKED, "webhook_url": production.webhooks.url}
        ended = [await finished(api, asked), await finished(api, asked | {"model": "missing"})]
        assert [each["status"] for each in ended] == ["completed", "failed"]
        said["jobs"] = json.dumps(ended).encode()
        of_job = f"/api/anime/jobs/{ended[0]['id']}"
        for path in (*READ, f"{of_job}/events", f"{of_job}/timeline", f"{of_job}/request"):
            said[path] = await text_of(api, path)
        said["422"] = (await api.post("/api/anime/generate", json={"prompt": 1})).content
        form = {"token": production.secrets["api"]}
        said["login"] = head_of(await api.post("/login", data=form))
    async with production.api("wrong token") as stranger:
        said["401"] = await text_of(stranger, "/api/anime/jobs")
    for name in ("mei", "ren"):
        async with production.api(production.secrets[name]) as api:
            said[name] = await text_of(api, "/api/anime/jobs")
            assert said[name].startswith(b"200"), said[name]
    with watched_processes(set(psutil.pids())) as seen:
        assert await run(production, said, "backup") == 0, said["backup, usual"]
    assert seen.named("pg_dump")
    said["commands of processes"] = repr(seen.commands).encode()
    for words in COMMANDS:
        await run(production, said, *words)
    return {str(each["trace_id"]) for each in ended}


READ = (
    *("/health", "/ready", "/metrics", "/openapi.json", "/nowhere"),
    *("/api/anime/jobs", "/api/anime/files", "/api/anime/files/1/content", "/api/anime/servers"),
    *("/", "/make", "/library", "/library/1", "/shots", "/review", "/login", "/docs"),
)
COMMANDS = (
    ("doctor",),
    ("servers",),
    ("generate", "petals", "--width", "64", "--height", "64", "--steps", "2"),
    ("generate", "petals", "--model", "missing"),
)


def runs_in(spans: list[ReceivedSpan]) -> set[str]:
    """The traces whose flow run has ended: whatever it is called, it was dispatched."""
    dispatched = {each.span_id for each in spans if each.name == "dispatch run"}
    return {each.trace_id for each in spans if each.parent in dispatched}


async def test_each_secret_would_be_found_however_it_is_written(production: Production) -> None:
    creds = await production.vault.ask("GET", "database/creds/anime")
    made = {
        "a leased password": creds["data"]["password"],
        "a token of Vault": await production.vault.new_token(),
    }
    for name, value in {**production.secrets, **made}.items():
        for text in written(value):
            assert name in production.found_in(text.encode()), (name, text)


def written(secret: str) -> list[str]:
    """The secret in the usual encodings."""
    texts = [f"…{secret}…", f"//me:{quote(secret, safe='')}@host", json.dumps({"a": secret})]
    if secret.startswith("s."):  # a token of Vault is told by its form
        return texts
    packed = [b64encode(f"{'me:'[:n]}{secret}.".encode()).decode() for n in range(3)]
    return [*texts, *packed, secret.encode().hex(), secret.encode().hex().upper()]

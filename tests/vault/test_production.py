"""A whole production whose every secret is in Vault: all of it runs, and no secret gets out."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

import httpx
import pytest
import pytest_asyncio
import yaml
from PIL import Image
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import make_url

from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.server import serving
from anime.settings import load_settings
from anime.stack.environment import child_environment
from anime.stack.services import Services
from tests.integration.old_client import execute
from tests.integration.webhook_peer import SECRET as WEBHOOK_SECRET
from tests.integration.webhook_peer import WebhookPeer, running_webhook_peer
from tests.stack.conftest import FINAL, StackUnderTest, new_forked_stack
from tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan, otlp_receiver
from tests.support.stack import running
from tests.support.waiting import HUNG_SECONDS
from tests.vault.openbao import OpenBao
from tests.vault.postgres import STUDIO, VaultedDatabase, make_users_for, rows_of, with_login

DATABASE = "vaulted_production"
# Passwords that OpenBao makes have no other letters, so that each is found wherever it is.
LEASED = re.compile(rb"[QX]{40}")
POLICY = 'length = 40\nrule "charset" {\n  charset = "QX"\n}'
SMALL = {"width": 64, "height": 64, "steps": 10}


def canary(name: str) -> str:
    return f"canary-{name}-{token_hex(8)}"


@dataclass
class Production:
    """The running stack, and every secret that it was given."""

    stack: StackUnderTest
    database: VaultedDatabase
    webhooks: WebhookPeer
    redis_url: str
    vault: OpenBao
    postgresql_log: Path
    traces: OtlpReceiver
    secrets: dict[str, str] = field(repr=False)

    @property
    def sources(self) -> set[Path]:
        """The files that secrets come from, or that `anime up` keeps for its owner alone."""
        home = self.stack.home
        kept = {home / "prefect" / "auth", home / "run" / "stack.json"}
        assert all(path.stat().st_mode & 0o077 == 0 for path in kept)
        return {*kept, self.stack.folder / "secret-id", self.stack.folder / "second-token"}

    def api(self, token: str | None = None) -> httpx.AsyncClient:
        """A client of the API, with the token that opens it if no other is given."""
        url = str(self.stack.record.parts["api"].url)
        headers = {"Authorization": f"Bearer {token or self.secrets['api']}"}
        return httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False)

    def found_in(self, content: bytes) -> set[str]:
        """The names of the secrets that it has."""
        found = {name for name, value in self.secrets.items() if value.encode() in content}
        return found | ({"a leased password"} if LEASED.search(content) else set())


@pytest_asyncio.fixture(scope="module")
async def production(
    openbao: OpenBao,
    postgres_url: str,
    redis_url: str,
    admitted_by_password: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Production]:
    """A studio that logs in to Vault by AppRole, and has all else from there."""
    folder = tmp_path_factory.mktemp("production")
    names = ("api", "comfyui", "redis", "postgres", "prefect", "variable")
    secrets = {name: canary(name) for name in names} | {"webhook": WEBHOOK_SECRET}
    async with AsyncExitStack() as opened:
        comfyui_url = await opened.enter_async_context(
            serving(RehearsalConfig(data_dir=folder / "comfyui", port=0, step_seconds=0.1))
        )
        webhooks = await opened.enter_async_context(running_webhook_peer())
        traces = opened.enter_context(otlp_receiver())
        database = await vaulted_production(openbao, postgres_url, secrets["postgres"])
        async with Redis.from_url(redis_url, protocol=2) as admin:
            await admin.acl_setuser(
                "production",
                enabled=True,
                passwords=[f"+{secrets['redis']}"],
                keys=["*"],
                channels=["*"],
                categories=["+@all"],
            )
        await openbao.put("production", **secrets)
        login = await openbao.approle("production", token_ttl="20s", token_max_ttl="40s")
        assert login.role_id is not None
        assert login.secret_id is not None
        secrets["secret_id"] = login.secret_id.get_secret_value()
        (folder / "secret-id").write_text(secrets["secret_id"])
        (folder / "second-token").write_text(secrets["variable"])
        (folder / "backups").mkdir()
        postgres = "lasting:{vault:secret/production#postgres}"
        prefect_url = make_url(postgres_url).set(database=f"{DATABASE}_prefect")
        given = {
            "ANIME_VAULT_URL": openbao.url,
            "ANIME_VAULT_AUTH": "approle",
            "ANIME_VAULT_ROLE_ID": login.role_id.get_secret_value(),
            "ANIME_VAULT_SECRET_ID": f"file:{folder / 'secret-id'}",
            "ANIME_DATABASE_URL": database.url,
            "ANIME_PREFECT_DATABASE_URL": with_login(
                prefect_url.render_as_string(hide_password=False), postgres
            ),
            "ANIME_REDIS_URL": redis_url.replace(
                "://", "://production:{vault:secret/production#redis}@", 1
            ),
            "ANIME_COMFYUI_URL": comfyui_url.replace(
                "://", "://artist:{vault:secret/production#comfyui}@", 1
            ),
            "ANIME_API_TOKEN": f"vault:secret/production#api, file:{folder / 'second-token'}",
            "ANIME_WEBHOOK_SECRET": "vault:secret/production#webhook",
            "ANIME_WEBHOOK_ALLOW_PRIVATE": "true",
            "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "true",
            "ANIME_BACKUP_DIR": str(folder / "backups"),
            "ANIME_OTLP_ENDPOINT": traces.url,
            "ANIME_TRACE_PROMPTS": "true",  # all that spans may ever say
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        stack = new_forked_stack(folder, **given)
        (stack.home / "prefect").mkdir(parents=True, mode=0o700)
        stack.home.chmod(0o700)
        auth = stack.home / "prefect" / "auth"
        auth.touch(mode=0o600)
        auth.write_text(f"anime:{secrets['prefect']}")
        await opened.enter_async_context(running(stack))
        log = next(tmp_path_factory.getbasetemp().glob("services?/logs/postgresql.log"))
        yield Production(stack, database, webhooks, redis_url, openbao, log, traces, secrets)
    await openbao.ask("DELETE", "sys/mounts/database")


async def vaulted_production(vault: OpenBao, server: str, password: str) -> VaultedDatabase:
    """An empty database of the studio's, and one of Prefect's with a lasting user."""
    await execute(server, f"CREATE ROLE lasting LOGIN PASSWORD '{password}' IN ROLE {STUDIO}")
    await execute(server, f"CREATE DATABASE {DATABASE} OWNER {STUDIO}")
    await execute(server, f"CREATE DATABASE {DATABASE}_prefect OWNER lasting")
    await vault.ask("PUT", "sys/policies/password/two-letters", {"policy": POLICY})
    url = make_url(server).set(database=DATABASE).render_as_string(hide_password=False)
    return await make_users_for(vault, url, password_policy="two-letters")


async def test_f70_a_batch_goes_on_while_its_credentials_change(production: Production) -> None:
    said_before = len(production.postgresql_log.read_text())
    users = await production.database.users()
    common = SMALL | {"steps": 20}
    batch = {"name": "rooftops", "common": common, "prompts": ["dusk"], "seeds": [*range(8)]}
    file = production.stack.folder / "rooftops.yaml"
    file.write_text(yaml.safe_dump(batch))
    done = await production.stack.anime("batch", str(file))
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(done.stdout.splitlines()) == 8
    assert users - await production.database.users(), "no user was taken back meanwhile"
    async with production.api() as api:
        listed = (await api.get("/api/anime/jobs", params={"limit": 50})).json()["items"]
    assert {(each["status"], each["attempt"]) for each in listed} == {("completed", 1)}
    said = production.postgresql_log.read_text()[said_before:]
    assert re.findall(r".*(?:ERROR|FATAL): .*", said) == []


async def test_no_secret_gets_out_of_a_production_with_failures(production: Production) -> None:
    stack = production.stack
    async with production.api() as api:
        asked = {"prompt": "dusk", **SMALL, "webhook_url": production.webhooks.url}
        ended = [await finished(api, asked), await finished(api, asked | {"model": "missing"})]
        assert [each["status"] for each in ended] == ["completed", "failed"]
        answers = [json.dumps(ended).encode(), *[await text_of(api, path) for path in READ]]
        answers.append((await api.post("/api/anime/generate", json={"prompt": 1})).content)
    async with production.api("wrong token") as stranger:
        answers.append(await text_of(stranger, "/api/anime/jobs"))
    told = [await stack.anime(*words) for words in COMMANDS]
    assert told[0].returncode == 0, told[0].stderr
    answers += [f"{each.stdout}{each.stderr}".encode() for each in told]
    await production.vault.seal()
    try:
        async with production.api() as api:
            answers.append(await told_by_ready(api))
            answers.append(await text_of(api, "/metrics"))
        answers.append((await stack.anime("doctor")).stdout.encode())
    finally:
        await production.vault.unseal()
    assert re.search(rb"^anime_vault_up{.*} 0.0$", answers[-2], re.MULTILINE)
    until = rb"known goes on until 20\S+ \d\d:\d\d:\d\d UTC"
    assert re.search(rb"API \(process \d+\): .*" + until, answers[-1]), answers[-1]
    assert re.search(rb"worker \(process \d+\): .*" + until, answers[-1]), answers[-1]
    for answer in answers:
        assert production.found_in(answer) == set(), answer[:2000]
    traced = {str(each.get("trace_id")) for each in ended}
    await asyncio.to_thread(production.traces.until, lambda spans: traced <= runs_in(spans))
    assert production.found_in(production.traces.raw) == set()

    leaks = {
        str(path): found
        for path in files_below(stack.folder)
        if path not in production.sources and (found := production.found_in(content_of(path)))
    }
    assert leaks == {}
    owner = production.database.owner_url
    prefect = make_url(owner).set(database=f"{DATABASE}_prefect")
    assert await leaks_in_postgresql(production, owner) == {}
    assert (
        await leaks_in_postgresql(production, prefect.render_as_string(hide_password=False)) == {}
    )
    async with Redis.from_url(production.redis_url, protocol=2) as redis:
        keys = await redis.keys("*")
        assert keys
        for key in keys:
            assert production.found_in(repr(await value_at(redis, key)).encode()) == set(), key


def runs_in(spans: list[ReceivedSpan]) -> set[str]:
    """The traces whose flow run has ended: whatever it is called, it was dispatched."""
    dispatched = {each.span_id for each in spans if each.name == "dispatch run"}
    return {each.trace_id for each in spans if each.parent in dispatched}


async def value_at(redis: Redis, key: bytes | str) -> object:
    """All that Redis has at the key, of whatever type."""
    match await redis.type(key):
        case b"string":
            return await redis.get(key)
        case b"hash":
            return await redis.hgetall(key)
        case b"list":
            return await redis.lrange(key, 0, -1)
        case b"stream":
            return await redis.xrange(key)
        case b"set":
            return await redis.smembers(key)
        case b"zset":
            return await redis.zrange(key, 0, -1)
        case other:
            raise AssertionError(f"{key!r} is of the type {other!r}")


async def test_each_secret_would_be_found(production: Production) -> None:
    for name, value in production.secrets.items():
        assert production.found_in(f"…{value}…".encode()) == {name}
    leased = (await production.vault.ask("GET", "database/creds/anime"))["data"]["password"]
    assert production.found_in(leased.encode()) == {"a leased password"}


READ = (
    *("/health", "/ready", "/metrics", "/openapi.json", "/nowhere"),
    *("/api/anime/jobs", "/api/anime/files", "/api/anime/files/1/content", "/api/anime/servers"),
)
COMMANDS = (
    ("backup",),
    ("vault", "check", "--json"),
    ("doctor",),
    ("jobs",),
    ("servers",),
    ("generate", "petals", "--width", "64", "--height", "64", "--steps", "2"),
    ("generate", "petals", "--model", "missing"),
)


async def text_of(api: httpx.AsyncClient, path: str) -> bytes:
    """The head and the body of the answer."""
    answer = await api.get(path)
    return f"{answer.status_code} {answer.headers}\n".encode() + answer.content


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


async def finished(api: httpx.AsyncClient, request: dict[str, object]) -> dict[str, object]:
    """The job of that request, once it has ended."""
    asked = await api.post("/api/anime/generate", json={"type": "image", **request})
    job_id = asked.raise_for_status().json()["job_id"]
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            job: dict[str, object] = (await api.get(f"/api/anime/jobs/{job_id}")).json()
            if job["status"] in FINAL:
                return job
            await asyncio.sleep(0.25)


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def content_of(path: Path) -> bytes:
    """The bytes of the file, and of a PNG the texts that are packed in it."""
    content = path.read_bytes()
    if path.suffix == ".png":
        with Image.open(path) as picture:
            content += json.dumps(getattr(picture, "text", {})).encode()
    return content


async def leaks_in_postgresql(production: Production, url: str) -> dict[str, set[str]]:
    """The tables with rows in which there is a secret, and which one."""
    tables = await rows_of(
        url,
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    assert len(tables) > 5
    found = {}
    for (table,) in tables:
        content = "\n".join(
            text for (text,) in await rows_of(url, f"SELECT t::text FROM {table} t")
        )
        if names := production.found_in(content.encode()):
            found[table] = names
    return found


async def test_no_program_of_the_stack_is_started_with_a_secret(production: Production) -> None:
    settings = load_settings(
        home=production.stack.home,
        database_url=SecretStr(production.database.url),
        api_token=SecretStr("vault:secret/production#api"),
        prefect_api_url="http://127.0.0.1:1/api",
        prefect_api_auth_string=SecretStr("anime:{vault:secret/production#prefect}"),
    )
    services = Services(settings, child_environment(settings))
    parts = [services.api(), services.worker(), services.migrations()]
    parts.append(services.prefect_setup(beside_server=False))
    for part in parts:
        given = json.dumps([part.command, dict(part.environment)]).encode()
        assert production.found_in(given) == set(), part.name

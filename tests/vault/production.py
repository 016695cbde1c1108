"""A studio with a secret in every place that one can come from."""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes
from urllib.parse import quote

import httpx
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import make_url
from starlette.datastructures import Headers

from anime.rehearsal.config import RehearsalConfig
from anime.settings.vault import VaultConfig
from blocks import ComfyUIServer, ProgressRedis, StudioDatabase, StudioVault
from tests.integration.asking_comfyui import asking_comfyui
from tests.integration.old_client import execute
from tests.integration.webhook_peer import WebhookPeer, new_certificate, running_webhook_peer
from tests.stack.conftest import StackUnderTest, new_forked_stack
from tests.support.otlp_receiver import OtlpReceiver, otlp_receiver
from tests.support.stack import running
from tests.support.waiting import HUNG_SECONDS
from tests.vault.canaries import LEASED_LENGTH, LEASED_LETTERS, canary, secrets_in
from tests.vault.openbao import OpenBao
from tests.vault.postgres import STUDIO, VaultedDatabase, make_users_for, with_login

DATABASE = "vaulted_production"
LEASES = (20, 28)  # seconds: a slow machine has eight for a renewal
POLICY = f'length = {LEASED_LENGTH}\nrule "charset" {{\n  charset = "{LEASED_LETTERS}"\n}}'
WEBHOOK_KEY = token_bytes(32)
# By where it comes from: Vault's two engines, variables, files, settings as they are, and blocks.
KV2 = ("api", "comfyui", "redis", "postgres")
KV1 = ("mei",)
VARIABLES = ("header",)
FILES = ("second",)
LITERALS = ("prefect", "ren", "traces")
BLOCKS = ("block-redis", "block-header", "block-wrong")


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
    comfyui_url: str
    secrets: dict[str, str] = field(repr=False)
    is_comfyui_closed: bool = False

    @property
    def sources(self) -> set[Path]:
        """The files that secrets come from, or that are kept for their owner alone."""
        home = self.stack.home
        kept = {home / "prefect" / "auth", home / "run" / "stack.json"}
        kept |= set((home / "run").glob("vault-secret-id-*"))
        assert all(path.stat().st_mode & 0o077 == 0 for path in kept)
        given = ("wrapping", "second", "key.pem")
        return {*kept, *(self.stack.folder / name for name in given)}

    @property
    def wrapping_reference(self) -> str:
        """Where the token is that wraps the secret_id."""
        return f"file:{self.stack.folder / 'wrapping'}"

    @property
    def prefect_url(self) -> str:
        """The database of Prefect, for its owner."""
        url = make_url(self.database.owner_url).set(database=f"{DATABASE}_prefect")
        return url.render_as_string(hide_password=False)

    def api(self, token: str | None = None) -> httpx.AsyncClient:
        """A client of the API, with the token that opens it if no other is given."""
        url = str(self.stack.record.parts["api"].url)
        headers = {"Authorization": f"Bearer {token or self.secrets['api']}"}
        return httpx.AsyncClient(
            base_url=url, headers=headers, timeout=HUNG_SECONDS, trust_env=False
        )

    def redis(self) -> Redis:
        """A client of Redis, as its administrator."""
        return Redis.from_url(self.redis_url, protocol=2)

    def admits(self, shown: Headers) -> bool:
        """Whether ComfyUI's proxy lets in who shows that."""
        login = b64encode(f"artist:{self.secrets['comfyui']}".encode()).decode()
        headers = {self.secrets["header"], self.secrets["block-header"]}
        is_known = (
            shown.get("authorization") == f"Basic {login}" and shown.get("x-studio") in headers
        )
        return is_known and not self.is_comfyui_closed

    def found_in(self, content: bytes) -> set[str]:
        """The names of the secrets that it has."""
        return secrets_in(content, self.secrets)

    def leaks_in(self, contents: Mapping[str, bytes]) -> dict[str, set[str]]:
        """The names of the secrets that were found, by where."""
        found = {where: self.found_in(content) for where, content in contents.items()}
        return {where: names for where, names in found.items() if names}

    async def save_blocks(self) -> None:
        """Save in Prefect what a person may enter there: secrets themselves, and references."""
        redis = quote(self.secrets["block-redis"], safe="")
        own_vault = {
            name.removeprefix("ANIME_VAULT_").lower(): value
            for name, value in self.stack.given.items()
            if name.startswith("ANIME_VAULT_")
        }
        with self.as_client_of_prefect():
            await StudioVault(**own_vault).asave("studio", overwrite=True)
            await StudioDatabase(url=SecretStr(self.database.url)).asave("studio", overwrite=True)
            await ProgressRedis(
                url=SecretStr(self.redis_url.replace("://", f"://production:{redis}@", 1))
            ).asave("studio", overwrite=True)
            await ComfyUIServer(
                base_url=self.comfyui_url,
                headers={"X-Studio": SecretStr(self.secrets["block-header"])},
                poll_seconds=0.2,
            ).asave("studio", overwrite=True)

    async def save_wrong_block(self) -> None:
        """Save one with a line break after its secret, as it comes with a copied one."""
        secret = SecretStr(f"{self.secrets['block-wrong']}\n")
        with self.as_client_of_prefect():
            block = ComfyUIServer(
                base_url=self.comfyui_url,
                headers={"X-Studio": secret},
                unreachable_timeout_seconds=0.5,
            )
            await block.asave("studio", overwrite=True)

    def as_client_of_prefect(self) -> AbstractContextManager[object]:
        """Let this process use the stack's Prefect for the block."""
        known = self.stack.record.settings
        return temporary_settings(
            {
                PREFECT_API_URL: known["prefect_api_url"],
                PREFECT_API_AUTH_STRING: known["prefect_api_auth_string"],
            }
        )


@asynccontextmanager
async def running_production(
    folder: Path, vault: OpenBao, postgres_url: str, redis_url: str, postgresql_log: Path
) -> AsyncIterator[Production]:
    """A studio that logs in to Vault by AppRole, with a wrapped secret_id."""
    names = (*KV2, *KV1, *VARIABLES, *FILES, *LITERALS, *BLOCKS)
    secrets = {name: canary(name) for name in names}
    secrets["webhook"] = f"whsec_{b64encode(WEBHOOK_KEY).decode()}"
    secrets["webhook in hex"] = WEBHOOK_KEY.hex()
    key = new_certificate(folder, "studio").key
    secrets["key"] = key.read_text().splitlines()[1]
    async with AsyncExitStack() as opened:
        webhooks = await opened.enter_async_context(running_webhook_peer())
        traces = opened.enter_context(otlp_receiver())
        database = await _vaulted_databases(vault, postgres_url, secrets["postgres"])
        stack = new_forked_stack(folder)
        production = Production(
            stack, database, webhooks, redis_url, vault, postgresql_log, traces, "", secrets
        )
        config = RehearsalConfig(data_dir=folder / "comfyui", port=0, step_seconds=0.1)
        url = await opened.enter_async_context(asking_comfyui(config, production.admits))
        production.comfyui_url = url.replace(
            "://", "://artist:{vault:secret/production#comfyui}@", 1
        )
        await admit_to_redis(production)
        await vault.put("production", **{name: secrets[name] for name in KV2})
        await vault.ask("POST", "old/production", {name: secrets[name] for name in KV1})
        login = await vault.approle("production", token_ttl="20s", token_max_ttl="40s")
        secrets["wrapping"] = await vault.new_secret_id("production", wrap_ttl="10m")
        stack.given = {**stack.given, **_given(production, login, postgres_url)}
        _write_files(production)
        await opened.enter_async_context(running(stack))
        [kept] = (stack.home / "run").glob("vault-secret-id-????????????????")
        secrets["secret_id"] = kept.read_text()
        await production.save_blocks()
        yield production
    await vault.ask("DELETE", "sys/mounts/database")


def _write_files(production: Production) -> None:
    folder, secrets = production.stack.folder, production.secrets
    for name in ("wrapping", "second"):
        (folder / name).write_text(secrets[name])
    for name in ("backups", "tmp"):
        (folder / name).mkdir()
    kept = production.stack.home / "prefect"
    kept.mkdir(parents=True, mode=0o700)
    production.stack.home.chmod(0o700)
    (kept / "auth").touch(mode=0o600)
    (kept / "auth").write_text(f"anime:{secrets['prefect']}")


def _given(production: Production, login: VaultConfig, postgres_url: str) -> dict[str, str]:
    """The variables of the studio."""
    folder, secrets = production.stack.folder, production.secrets
    assert login.role_id is not None
    postgres = "lasting:{vault:secret/production#postgres}"
    prefect_url = make_url(postgres_url).set(database=f"{DATABASE}_prefect")
    return {
        "ANIME_VAULT_URL": production.vault.url,
        "ANIME_VAULT_AUTH": "approle",
        "ANIME_VAULT_ROLE_ID": login.role_id.get_secret_value(),
        "ANIME_VAULT_SECRET_ID": production.wrapping_reference,
        "ANIME_VAULT_IS_WRAPPED": "true",
        "ANIME_DATABASE_URL": production.database.url,
        "ANIME_PREFECT_DATABASE_URL": with_login(
            prefect_url.render_as_string(hide_password=False), postgres
        ),
        "ANIME_REDIS_URL": production.redis_url.replace(
            "://", "://production:{vault:secret/production#redis}@", 1
        ),
        "ANIME_COMFYUI_URL": production.comfyui_url,
        "ANIME_COMFYUI_HEADERS": '{"X-Studio": "env:COMFYUI_HEADER"}',
        "COMFYUI_HEADER": secrets["header"],
        "ANIME_COMFYUI_CLIENT_CERT": str(folder / "certificate.pem"),
        "ANIME_COMFYUI_CLIENT_KEY": str(folder / "key.pem"),
        "ANIME_API_TOKEN": f"vault:secret/production#api, file:{folder / 'second'}",
        "ANIME_API_USERS": f"mei:produce:vault:old/production#mei, ren:view:{secrets['ren']}",
        "ANIME_WEBHOOK_SECRET": secrets["webhook"],
        "ANIME_WEBHOOK_ALLOW_PRIVATE": "true",
        "ANIME_BACKUP_DIR": str(folder / "backups"),
        "ANIME_OTLP_ENDPOINT": production.traces.url,
        "ANIME_TRACE_PROMPTS": "true",  # all that spans may ever say
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={quote(secrets['traces'], safe='')}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "true",
        "TMPDIR": str(folder / "tmp"),
    }


async def admit_to_redis(production: Production, *passwords: str) -> None:
    """Have Redis let in the studio's user by these passwords alone; its own, if none is given."""
    own = (production.secrets["redis"], production.secrets["block-redis"])
    async with production.redis() as admin:
        await admin.acl_setuser(
            "production",
            enabled=True,
            reset_passwords=True,
            passwords=[f"+{each}" for each in passwords or own],
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
        )


async def _vaulted_databases(vault: OpenBao, server: str, password: str) -> VaultedDatabase:
    """An empty database of the studio's, and one of Prefect's with a lasting user."""
    await execute(server, f"CREATE ROLE lasting LOGIN PASSWORD '{password}' IN ROLE {STUDIO}")
    await execute(server, f"CREATE DATABASE {DATABASE} OWNER {STUDIO}")
    await execute(server, f"CREATE DATABASE {DATABASE}_prefect OWNER lasting")
    await vault.ask("PUT", "sys/policies/password/two-letters", {"policy": POLICY})
    url = make_url(server).set(database=DATABASE).render_as_string(hide_password=False)
    return await make_users_for(vault, url, LEASES, password_policy="two-letters")

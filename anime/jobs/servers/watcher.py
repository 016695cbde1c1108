"""Watching the ComfyUI servers: a look at each every few seconds, and what follows from it."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from anime.comfyui.address import address_to_use
from anime.comfyui.client import ComfyUIClient
from anime.core.server_health import (
    STUCK_SECONDS,
    Look,
    ServerHealth,
    Sight,
    verdict_on,
)
from anime.core.servers import ServerRecord
from anime.db.repositories import SentPromptRepository, ServerRepository, UnsettledPrompt
from anime.db.session import Database
from anime.errors import AnimeError, ComfyUIError, reason_of
from anime.jobs.servers.inspection import CANARY_SECONDS, Glimpse, glimpse, renders
from anime.jobs.servers.moved_prompts import clear_moved, take_back
from anime.jobs.servers.registry import urls_of
from anime.retry_policies import SERVER_WATCH, cancel_until_ended
from anime.settings import Settings

EVERY_SECONDS = 5.0
LOOK_SECONDS = 4.0  # for the answer to one look
INSPECT_SECONDS = 30.0  # for each answer while a server is looked at closely
STEP_SECONDS = 30.0  # below the time-out of PostgreSQL for idle transactions
DESCRIBE_SECONDS = 600.0  # after so long, a server's models and versions are asked for again
ZOMBIE_SECONDS = 60.0  # after so long, a zombie gets another canary prompt
STUCK_LOOKS = 2  # so often nothing runs although prompts wait, before that counts

_log = logging.getLogger(__name__)


@dataclass
class _Watched:
    """What this process remembers of one server between two looks; times are of the clock."""

    client: ComfyUIClient
    sight: Sight | None = None
    sight_since: float = 0.0
    queue_length: int = 0
    queue_since: float = 0.0
    stuck_looks: int = 0
    renders: bool | None = None
    is_inspected: bool = False  # since it answers again
    inspection: asyncio.Task[None] | None = None
    proven_at: float = 0.0  # when it was last seen to render, or a canary prompt was sent
    health: ServerHealth = ServerHealth.UNKNOWN
    has_peers: bool = False  # others are alive, which could render what waits here
    described_at: float | None = None
    moved: Sequence[UnsettledPrompt] = field(default_factory=tuple)


class ServerWatcher:
    """Watches the servers; of several processes one at a time."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        look_seconds: float = LOOK_SECONDS,
        canary_seconds: float = CANARY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._settings = settings
        self._look_seconds = look_seconds
        self._canary_seconds = canary_seconds
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._inspected = asyncio.Event()

    async def run_forever(self) -> None:
        """Look every EVERY_SECONDS, and when an inspection has ended, until cancelled."""
        delays = SERVER_WATCH.delays()
        is_seeded = False
        try:
            while True:
                try:
                    async with asyncio.timeout(STEP_SECONDS):
                        if not is_seeded:
                            await self.seed()
                            is_seeded = True
                        await self.step()
                except (AnimeError, TimeoutError) as fault:
                    delay, why = next(delays), reason_of(fault)
                    _log.warning("The servers are looked at again in %.0f s: %s", delay, why)
                    await asyncio.sleep(delay)
                    continue
                delays = SERVER_WATCH.delays()
                await self._wait()
        finally:
            await self.close()

    async def seed(self) -> None:
        """Make known the servers that the settings name, and no longer those that they named."""
        async with self._database.session_scope() as session:
            await ServerRepository(session).seed(urls_of(self._settings), drops_others=True)

    async def step(self) -> None:
        """Look at every server once; nothing while another process watches them.

        Raises:
            DatabaseUnavailable: what was seen is not recorded; the next step looks again.
        """
        async with self._database.session_scope() as session:
            servers = ServerRepository(session)
            if not await servers.try_lock():
                await self.close()
                return
            known = {each.url: each for each in await servers.list_all()}
            moved = await SentPromptRepository(session).moved()
            await self._keep(known)
            alive = {each.url for each in known.values() if _may_render(each)}
            for server in known.values():
                self._recall(server, moved.get(server.url, ()))
                self._watched[server.url].has_peers = bool(alive - {server.url})
            looks = await asyncio.gather(*(self._look_at(each) for each in known.values()))
            for server, look in zip(known.values(), looks, strict=True):
                await self._judge(servers, server, look)
            answered = [
                server.url
                for server, look in zip(known.values(), looks, strict=True)
                if look.sight is Sight.ANSWERS
            ]
            await servers.note_looks(answered=answered, silent=known.keys() - set(answered))
        for server in known.values():
            self._inspect_if_needed(server)

    async def close(self) -> None:
        """Forget what was seen: another process watches, or this one ends."""
        await self._keep({})

    async def settled(self) -> None:
        """Return when no inspection is under way."""
        running = [each.inspection for each in self._watched.values() if each.inspection]
        if running:
            await asyncio.wait(running)

    async def _wait(self) -> None:
        """Wait until it is time again, or an inspection has ended."""
        try:
            async with asyncio.timeout(EVERY_SECONDS):
                await self._inspected.wait()
        except TimeoutError:
            return
        self._inspected.clear()

    async def _keep(self, known: dict[str, ServerRecord]) -> None:
        """Watch exactly these servers."""
        for url in self._watched.keys() - known.keys():
            gone = self._watched.pop(url)
            if gone.inspection is not None:
                await cancel_until_ended(gone.inspection)
            await gone.client.__aexit__()
        for url in known.keys() - self._watched.keys():
            self._watched[url] = _Watched(
                self._client(url, self._look_seconds), proven_at=self._clock()
            )

    def _client(self, url: str, timeout_seconds: float) -> ComfyUIClient:
        address = address_to_use(url, self._settings.comfyui_urls)
        return ComfyUIClient(address, timeout_seconds=timeout_seconds)

    def _recall(self, server: ServerRecord, moved: Sequence[UnsettledPrompt]) -> None:
        """Note what others have recorded; a server that somebody suspects is inspected anew."""
        watched = self._watched[server.url]
        if server.health is ServerHealth.UNKNOWN is not watched.health:
            watched.is_inspected = False
        watched.health, watched.moved = server.health, moved

    async def _look_at(self, server: ServerRecord) -> Look:
        watched = self._watched[server.url]
        seen = await glimpse(watched.client)
        now = self._clock()
        if seen.sight is not watched.sight:
            watched.sight, watched.sight_since = seen.sight, now
            watched.is_inspected, watched.described_at, watched.renders = False, None, None
        await self._note_queue(watched, seen, now)
        proof, watched.renders = watched.renders, None
        return Look(
            seen.sight,
            seconds=now - watched.sight_since,
            detail=seen.detail,
            renders=proof,
            is_cleared=watched.is_inspected and not watched.moved,
        )

    async def _note_queue(self, watched: _Watched, seen: Glimpse, now: float) -> None:
        """Notice from the queue that the server renders, or that it does not."""
        if seen.queue_length != watched.queue_length:
            if seen.queue_length < watched.queue_length:
                watched.proven_at = now  # most likely: somebody may have emptied it as well
            watched.queue_length, watched.queue_since = seen.queue_length, now
            watched.stuck_looks = 0
        elif seen.queue_length and now - watched.queue_since >= STUCK_SECONDS:
            await self._look_into_queue(watched, now)

    async def _look_into_queue(self, watched: _Watched, now: float) -> None:
        try:
            queue = await watched.client.queue()
        except ComfyUIError:
            return
        if queue.running or not queue.pending:
            watched.queue_since, watched.stuck_looks = now, 0
            return
        watched.stuck_looks += 1
        if watched.stuck_looks >= STUCK_LOOKS:
            watched.renders = False

    async def _judge(self, servers: ServerRepository, server: ServerRecord, look: Look) -> None:
        verdict = verdict_on(server.health, look)
        if verdict is None:
            return
        url, health = server.url, verdict.health
        if await servers.set_health(url, health, verdict.reason, was=server.health):
            self._watched[url].health = health
            level = logging.INFO if health is ServerHealth.ALIVE else logging.WARNING
            _log.log(level, "ComfyUI server %s is %s: %s", server.name, health, verdict.reason)
        if health is ServerHealth.UNREACHABLE:
            await servers.set_loaded_model(url, None)

    def _inspect_if_needed(self, server: ServerRecord) -> None:
        watched = self._watched[server.url]
        is_needed = (
            not watched.is_inspected
            or watched.moved
            or _is_stranding(watched, server)
            or (self._is_canary_due(watched, server) and not watched.queue_length)
            or self._is_undescribed(watched)
        )
        if is_needed and watched.sight is Sight.ANSWERS and watched.inspection is None:
            watched.inspection = asyncio.create_task(self._inspect(watched, server))

    def _is_canary_due(self, watched: _Watched, server: ServerRecord) -> bool:
        """Whether it is to be found out if the server renders, unless others' prompts are there."""
        since = self._clock() - watched.proven_at
        match server.health:
            case ServerHealth.LATCHED:
                return False
            case ServerHealth.ALIVE:
                return 0 < self._settings.canary_seconds <= since
            case ServerHealth.ZOMBIE:
                return since >= ZOMBIE_SECONDS
            case _:
                return not watched.is_inspected

    def _is_undescribed(self, watched: _Watched) -> bool:
        asked = watched.described_at
        return asked is None or self._clock() - asked >= DESCRIBE_SECONDS

    async def _inspect(self, watched: _Watched, server: ServerRecord) -> None:
        """Clear the server, see whether it renders, and record what it can do."""
        try:
            async with self._client(server.url, INSPECT_SECONDS) as client:
                is_cleared = await clear_moved(client, self._database, watched.moved)
                if _is_stranding(watched, server):
                    await take_back(client, self._database, server.url)
                if self._is_canary_due(watched, server):
                    watched.renders = await renders(client, seconds=self._canary_seconds)
                    watched.proven_at = self._clock()
                watched.is_inspected = is_cleared
                watched.moved = ()
                self._inspected.set()
                if self._is_undescribed(watched):
                    await self._describe(client, watched, server)
        except AnimeError as fault:
            _log.info("ComfyUI server %s is inspected again: %s", server.name, fault)
        finally:
            watched.inspection = None

    async def _describe(
        self, client: ComfyUIClient, watched: _Watched, server: ServerRecord
    ) -> None:
        """Record the server's models. Its nodes change when it restarts, and are not asked else."""
        known = None if watched.described_at is None else server.fingerprint
        fingerprint = known or await client.fingerprint()
        offers = await client.offers()
        async with self._database.session_scope() as session:
            await ServerRepository(session).describe(server.url, fingerprint, offers)
        watched.described_at = self._clock()


def _may_render(server: ServerRecord) -> bool:
    return server.health is ServerHealth.ALIVE and not server.is_drained


def _is_stranding(watched: _Watched, server: ServerRecord) -> bool:
    """Whether prompts wait in vain that another server could render."""
    is_zombie = server.health is ServerHealth.ZOMBIE
    return is_zombie and watched.queue_length > 0 and watched.has_peers

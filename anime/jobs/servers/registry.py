"""What people do with ComfyUI servers and pauses, from the API and the command line."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from anime.comfyui.address import (
    address_to_use,
    addresses_meant,
    canonical_url,
    login_of,
    without_login,
)
from anime.comfyui.client import ComfyUIClient
from anime.core.server_health import ServerHealth, Sight
from anime.core.servers import (
    EVERYTHING,
    CheckedServer,
    NewPause,
    NewServer,
    PauseRecord,
    ServerRecord,
    project_scope,
    server_scope,
)
from anime.db.repositories import PauseRepository, ProjectRepository, ServerRepository
from anime.db.session import Database
from anime.errors import ComfyUIError, ConfigurationError, DatabaseUnavailable, InvalidRequest
from anime.jobs.servers.inspection import glimpse, renders
from anime.settings import Settings
from anime.settings.addresses import database_address

CHECK_SECONDS = 10.0
LIST_SECONDS = 1.0  # for PostgreSQL to list the servers


class ServerRegistry:
    """The servers that the studio knows, each by its name or address, however it is spelled."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    async def list_all(self) -> list[ServerRecord]:
        """All servers, by name; those of the settings are added if none is known yet."""
        async with self._database.session_scope() as session:
            servers = ServerRepository(session)
            if not (found := await servers.list_all()):
                await servers.seed(urls_of(self._settings))
                found = await servers.list_all()
            return found

    async def addresses(self) -> Sequence[str]:
        """Where the servers are asked: those of the settings, then those that people added.

        While PostgreSQL does not answer, it is those of the settings.
        """
        given = self._settings.comfyui_urls
        try:
            async with asyncio.timeout(LIST_SECONDS):
                known = await self.list_all()
        except (DatabaseUnavailable, TimeoutError):
            return given
        named = urls_of(self._settings)
        return (*given, *(each.url for each in known if each.url not in named))

    async def get(self, named: str) -> ServerRecord:
        """One server. Raises NotFound."""
        await self.list_all()
        async with self._database.session_scope() as session:
            return await _get(ServerRepository(session), named)

    async def add(self, new: NewServer) -> ServerRecord:
        """The new server, which is given prompts once it has been looked at.

        Raises:
            InvalidRequest: its address cannot be used.
            AlreadyExists: it is known, or its name is taken.
        """
        url = _address_in(new)
        async with self._database.session_scope() as session:
            return await ServerRepository(session).add(url, name=new.name, labels=new.labels)

    async def drain(self, named: str) -> ServerRecord:
        """The server, which is given nothing more. Raises NotFound."""
        async with self._database.session_scope() as session:
            servers = ServerRepository(session)
            return await servers.drain((await _get(servers, named)).url)

    async def resume(self, named: str) -> ServerRecord:
        """The server, to be given prompts once it has been looked at. Raises NotFound."""
        async with self._database.session_scope() as session:
            servers = ServerRepository(session)
            return await servers.resume((await _get(servers, named)).url)

    async def label(self, named: str, labels: Sequence[str]) -> ServerRecord:
        """The server, with these labels instead of those that it had. Raises NotFound."""
        async with self._database.session_scope() as session:
            servers = ServerRepository(session)
            return await servers.label((await _get(servers, named)).url, labels)

    async def remove(self, named: str) -> None:
        """Forget the server. Raises NotFound; InvalidRequest if the settings name it."""
        async with self._database.session_scope() as session:
            servers = ServerRepository(session)
            await servers.remove((await _get(servers, named)).url)

    async def check(self, named: str) -> CheckedServer:
        """A close look at the server now; what it can do is recorded. Raises NotFound.

        That it renders nothing is recorded, too. All else of its health is left to those who look
        at it regularly.
        """
        server = await self.get(named)
        address = address_to_use(server.url, self._settings.comfyui_urls)
        async with ComfyUIClient(address, timeout_seconds=CHECK_SECONDS) as client:
            seen = await glimpse(client)
            try:
                does_render = await self._inspect(client, server.url, seen.sight)
            except ComfyUIError as fault:
                does_render, seen = None, type(seen)(Sight.SILENT, detail=fault.what)
        return CheckedServer(
            server=await self.get(server.url),
            answers=seen.sight is Sight.ANSWERS,
            renders=does_render,
            detail=seen.detail or _finding(does_render, seen.queue_length),
        )

    async def pauses(self) -> list[PauseRecord]:
        """All pauses, the oldest first."""
        async with self._database.session_scope() as session:
            return await PauseRepository(session).in_force()

    async def pause(self, new: NewPause) -> list[PauseRecord]:
        """All pauses, the new one among them.

        Raises:
            NotFound: there is no such project or server.
            InvalidRequest: both are named.
        """
        scope = await self._scope_of(new)
        async with self._database.session_scope() as session:
            await PauseRepository(session).set(scope, new.reason)
        return await self.pauses()

    async def end_pause(self, ended: NewPause) -> list[PauseRecord]:
        """The pauses that are left. Raises as `pause` does; no pause there is none to end."""
        scope = await self._scope_of(ended)
        async with self._database.session_scope() as session:
            await PauseRepository(session).clear(scope)
        return await self.pauses()

    async def _scope_of(self, pause: NewPause) -> str:
        if pause.project is not None and pause.server is not None:
            raise InvalidRequest("project and server are both named.", "Name one of them, or none.")
        if pause.project is not None:
            async with self._database.session_scope() as session:
                return project_scope((await ProjectRepository(session).get(pause.project)).slug)
        if pause.server is not None:
            return server_scope((await self.get(pause.server)).url)
        return EVERYTHING

    async def _inspect(self, client: ComfyUIClient, url: str, sight: Sight) -> bool | None:
        """Whether it renders; what it can do is recorded."""
        if sight is not Sight.ANSWERS:
            return None
        fingerprint, offers = await asyncio.gather(client.fingerprint(), client.offers())
        async with self._database.session_scope() as session:
            await ServerRepository(session).describe(url, fingerprint, offers)
        does_render = await renders(client)
        if does_render is False:
            async with self._database.session_scope() as session:
                reason = "It did not render a canary prompt."
                await ServerRepository(session).set_health(url, ServerHealth.ZOMBIE, reason)
        return does_render


def urls_of(settings: Settings) -> Sequence[str]:
    """The servers that the settings name, by canonical address."""
    return [canonical_url(url) for url in settings.comfyui_urls]


@asynccontextmanager
async def connect_registry(settings: Settings) -> AsyncIterator[ServerRegistry]:
    """The registry with a connection of its own, for a command.

    Raises:
        ConfigurationError: no database is known.
    """
    async with Database(database_address(settings)) as database:
        yield ServerRegistry(settings, database)


async def _get(servers: ServerRepository, named: str) -> ServerRecord:
    return await servers.get(without_login(named), *addresses_meant(named))


def _address_in(new: NewServer) -> str:
    try:
        url, login = canonical_url(new.url), login_of(new.url)
    except ConfigurationError as fault:
        raise InvalidRequest(f"url: {fault.what}", "Such as http://gpu-b:8188.") from fault
    if login is not None:
        raise InvalidRequest(
            f"url: {without_login(new.url)} has a login, and those are not kept in the database.",
            "Name it in ANIME_COMFYUI_URL, in the environment of API and workers.",
        )
    return url


def _finding(does_render: bool | None, queue_length: int) -> str:  # noqa: FBT001  the one fact
    if does_render is not None:
        return f"It answers and renders{'' if does_render else ' nothing'}."
    why = "others' prompts are there" if queue_length else "it has no node for a canary prompt"
    return f"It answers; whether it renders is unchecked: {why}."

"""The whole stack: what `anime up` starts, in which order, and the record that it writes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from anime.api.access import Access
from anime.errors import ConfigurationError
from anime.settings import PROJECT_DIR, Settings
from anime.settings.services_file import services_path
from anime.settings.stack_record import PartRecord, StackRecord, remove_record, write_record
from anime.stack.environment import child_environment, prefect_home, shared_values
from anime.stack.home import locked_home, prepare_home
from anime.stack.parts import Part, PartState, PartStatus, StatusListener, ignore_status
from anime.stack.ports import with_free_ports
from anime.stack.postgres import prepare_postgres
from anime.stack.prefect_server import prefect_api_url, prefect_server, server_auth_string
from anime.stack.process import run
from anime.stack.services import ANIME, Services
from anime.stack.supervisor import Supervisor, run_together
from anime.stack.valkey import prepare_valkey


@asynccontextmanager
async def running_stack(
    settings: Settings,
    *,
    report: StatusListener = ignore_status,
    anime: tuple[str, ...] = ANIME,
    project: Path = PROJECT_DIR,
) -> AsyncIterator[StackRecord]:
    """The stack, running for as long as the block lasts; yields its record.

    When a part is given up, the block is cancelled and the part's error is raised instead.

    Args:
        settings: what has an address there is used, and not started.
        report: called with each change, within the event loop.
        anime: the command with the subcommands `serve`, `rehearsal`, `worker` and `migrate`.
        project: the folder of prefect.yaml.

    Raises:
        ConfigurationError: a port, a folder, an address or the machine's time zone cannot be used,
            the API would be open to others without a token, or the parts are services there.
        StackError: a part did not start, or died too often.
    """
    Access.from_settings(settings)  # before anything starts: is the API open to everybody?
    _ = settings.zone  # is the machine's of use?
    if services_path(settings.home).exists():
        raise ConfigurationError(
            f"The parts are services at {settings.home}.",
            "Start them with `systemctl start anime.target`, remove them with `anime services "
            "uninstall`, or set ANIME_HOME to another folder.",
        )
    prepare_home(settings.home)
    async with locked_home(settings.home) as lock:
        supervisor = Supervisor(inherited_fds=(lock,))
        stack = Stack(settings, supervisor, report, anime=anime, project=project)
        try:
            async with _cancelled_with(supervisor):
                yield await stack.start()
        finally:
            await stack.stop()


class Stack:
    """The parts of one data folder. `settings` are completed as parts start."""

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        report: StatusListener,
        *,
        anime: tuple[str, ...] = ANIME,
        project: Path = PROJECT_DIR,
    ) -> None:
        self.settings = settings
        self._given = settings
        self._supervisor = supervisor
        self._report = report
        self._anime = anime
        self._project = project
        self._cleanup = ExitStack()
        self._started_at: datetime | None = None
        self._own_prefect_database: str | None = None
        supervisor.report = self._on_status

    async def start(self) -> StackRecord:
        """Start the parts in order; writes the record and returns it."""
        self.settings = with_free_ports(self.settings, self._cleanup)
        await run_together(self._start_postgres(), self._start_valkey())
        self._resolve_addresses()
        await run_together(self._start_prefect(), self._start_rehearsal(), self._start_api())
        await self._supervisor.start(self._services().worker())
        self._started_at = datetime.now(UTC)
        return self._write_record()

    async def stop(self) -> None:
        """Remove the record and stop the parts, the last one first."""
        self._started_at = None
        remove_record(self.settings.home)
        await self._supervisor.stop()
        self._cleanup.close()

    async def _start_postgres(self) -> None:
        if self._given.database_url is not None:
            return
        postgres = await asyncio.to_thread(prepare_postgres, self.settings.home)
        self._cleanup.callback(postgres.remove_sockets)
        await self._supervisor.start(postgres.part(self.settings.logs))
        await postgres.create_databases()
        self._update_settings(database_url=SecretStr(postgres.urls.database))
        if self._given.prefect_database_url is None:
            self._own_prefect_database = postgres.urls.prefect

    async def _start_valkey(self) -> None:
        if self._given.redis_url is not None:
            return
        valkey = await asyncio.to_thread(prepare_valkey, self.settings.home)
        self._cleanup.callback(valkey.remove_sockets)
        await self._supervisor.start(valkey.part(self.settings.logs))
        self._update_settings(redis_url=SecretStr(valkey.url))

    def _resolve_addresses(self) -> None:
        """Set the addresses of the other parts, so that each part can be given all of them."""
        settings = self.settings
        if settings.prefect_api_url is None:
            auth_string = SecretStr(server_auth_string(settings))
            self._update_settings(
                prefect_api_url=prefect_api_url(settings), prefect_api_auth_string=auth_string
            )
        if self._given.comfyui_url is None and settings.swept_folder is None:
            self._update_settings(sweep_dir=settings.home / "rehearsal" / "output")
        self._update_settings(public_url=settings.browser_url, ws_url=settings.websocket_url)

    async def _start_prefect(self) -> None:
        services = self._services()
        if self._given.prefect_api_url is None:
            database_url = await self._prefect_database()
            server = prefect_server(self.settings, services.environment, database_url)
            setup = services.prefect_setup(beside_server=True)
            await run_together(self._supervisor.start(server), self._run(setup))
        else:
            await self._run(services.prefect_setup(beside_server=False))

    async def _prefect_database(self) -> str:
        """The address of Prefect's database: the embedded one, or that of the settings."""
        if self._own_prefect_database is not None:
            return self._own_prefect_database
        from anime.stack.prefect_database import prefect_database  # imports SQLAlchemy: 10 MB

        return await prefect_database(self.settings)

    async def _start_rehearsal(self) -> None:
        if self._given.comfyui_url is None:
            await self._supervisor.start(*self._services().rehearsals())

    async def _start_api(self) -> None:
        # A program of its own: Alembic and SQLAlchemy would take 30 MB of this process.
        await self._run(self._services().migrations())
        await self._supervisor.start(self._services().api())

    async def _run(self, part: Part) -> None:
        async with self._step(part.name):
            await run(part, self._supervisor.inherited_fds)

    @asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        """Report a step of the start as if it were a part."""
        began = time.monotonic()
        self._report(PartStatus(name, PartState.STARTING))
        yield
        self._report(PartStatus(name, PartState.READY, time.monotonic() - began))

    def _services(self) -> Services:
        environment = child_environment(self.settings)
        if self._given.prefect_api_url is None:
            environment["PREFECT_HOME"] = str(prefect_home(self.settings))
        return Services(self.settings, environment, self._anime, self._project)

    def _update_settings(self, **values: str | Path | SecretStr) -> None:
        self.settings = self.settings.model_copy(update=values)

    def _on_status(self, status: PartStatus) -> None:
        if status.state is PartState.READY and self._started_at:
            self._write_record()  # a restarted part has another pid
        self._report(status)

    def _write_record(self) -> StackRecord:
        parts = {
            name: PartRecord(pid=supervised.pid, url=supervised.part.url, log=supervised.part.log)
            for name, supervised in self._supervisor.running().items()
        }
        record = StackRecord(
            pid=os.getpid(),
            started_at=self._started_at or datetime.now(UTC),
            parts=parts,
            settings=shared_values(self.settings),
        )
        write_record(self.settings.home, record)
        return record


@asynccontextmanager
async def _cancelled_with(supervisor: Supervisor) -> AsyncIterator[None]:
    """Cancels the block when a part is given up, and raises the part's error."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as scope:
            supervisor.on_failure(lambda: scope.reschedule(loop.time()))
            yield
    except TimeoutError:
        if supervisor.failure is not None and scope.expired():
            raise supervisor.failure from None
        raise

"""A whole studio for the flow tests: Prefect, PostgreSQL, Valkey, a rehearsal server."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from prefect.context import _temporary_global_settings_context, get_settings_context
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ANALYTICS_ENABLED, temporary_settings
from sqlalchemy import make_url

from anime.db.repositories import FileQuery, FileSearch
from anime.db.session import Database
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.server import serving
from anime.schemas import FileRecord, JobSnapshot
from anime.settings import get_settings, load_settings
from anime.stack import prefect_server as parts
from anime.stack.environment import child_environment
from anime.stack.ports import with_free_ports
from anime.stack.postgres import PREFECT_DATABASE
from anime.stack.prefect_server import prefect_api_url
from anime.stack.supervisor import Supervisor
from anime.worker.prefect_internals import flush_logs_and_events
from tests.stack.conftest import NO_SERVICES
from tests.support.forked_stack import forked_parts
from tests.support.jobs import newest_jobs
from tests.support.waiting import HUNG_SECONDS

ANY_PORT: dict[str, object] = {
    "api_ports": (0,),
    "ws_port": 0,
    "prefect_port": 0,
    "rehearsal_port": 0,
}


@dataclass(frozen=True)
class RehearsalStudio:
    """Where everything of one test is."""

    library: Path
    comfyui_url: str
    redis_url: str
    database: Database

    async def newest_job(self) -> JobSnapshot:
        """The job written down last."""
        return (await newest_jobs(self.database, limit=1))[0]

    async def files(self) -> list[FileRecord]:
        """All rows of files, the newest first."""
        async with self.database.session_scope() as session:
            return (await FileSearch(session).page(FileQuery(), limit=100)).files

    def library_files(self) -> list[Path]:
        """All finished files in the library."""
        return sorted(
            path
            for path in self.library.rglob("*")
            if path.is_file() and not path.relative_to(self.library).parts[0].startswith(".")
        )


def without_password(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a Prefect server that answers everybody."""
    secret = "PREFECT_SERVER_API_AUTH_STRING"
    return {name: value for name, value in environment.items() if name != secret}


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def prefect_url(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """A Prefect server, set up as ours; it starts for ten seconds, so all share it."""
    folder = tmp_path_factory.mktemp("prefect")
    reserved = ExitStack()
    settings = with_free_ports(load_settings(home=folder, **ANY_PORT), reserved)
    settings = settings.model_copy(update={"prefect_api_url": prefect_api_url(settings)})
    environment = {**child_environment(settings), **NO_SERVICES, "PREFECT_HOME": str(folder)}
    address = make_url(postgres_url).set(drivername="postgresql+asyncpg", database=PREFECT_DATABASE)
    database = address.render_as_string(hide_password=False)
    supervisor = Supervisor()
    try:
        part = parts.prefect_server(settings, environment, database)
        with forked_parts():
            await supervisor.start(replace(part, environment=without_password(part.environment)))
        yield str(settings.prefect_api_url)
        await flush_logs_and_events()  # or their threads would miss the server
    finally:
        await supervisor.stop()
        reserved.close()


@pytest.fixture(scope="package")
def prefect_server(prefect_url: str) -> Iterator[None]:
    """That server is the one that flows of this process speak to, in whatever thread they run."""
    with (
        temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_SERVER_ANALYTICS_ENABLED: False}),
        _temporary_global_settings_context(get_settings_context()),
    ):
        yield


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A file that is not there; while it is, no render ends at a server that is told of it."""
    return tmp_path / "held"


@pytest.fixture
def rehearsal_config(tmp_path: Path) -> RehearsalConfig:
    """How the rehearsal server behaves; a test may override it."""
    return RehearsalConfig(data_dir=tmp_path / "rehearsal", port=0, step_seconds=0.0)


@pytest_asyncio.fixture
async def studio(
    prefect_server: None,
    prefect_url: str,
    redis_url: str,
    database_url: str,
    rehearsal_config: RehearsalConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[RehearsalStudio]:
    """A studio with nothing in it, named by the environment as in production.

    However slow the machine, runs that are stopped give their jobs back, and all events are told.
    """
    monkeypatch.setattr("anime.runs.execution._SHUTDOWN_SECONDS", HUNG_SECONDS)
    monkeypatch.setattr("anime.progress.publisher.TIMEOUT_SECONDS", float(HUNG_SECONDS))
    library = tmp_path / "library"
    library.mkdir()
    async with serving(rehearsal_config) as comfyui_url, Database(database_url) as database:
        monkeypatch.setenv("PREFECT_API_URL", prefect_url)
        monkeypatch.setenv("ANIME_COMFYUI_URL", comfyui_url)
        monkeypatch.setenv("ANIME_DATABASE_URL", database_url)
        monkeypatch.setenv("ANIME_REDIS_URL", redis_url)
        monkeypatch.setenv("ANIME_LIBRARY_DIR", str(library))
        monkeypatch.setenv("ANIME_TIMEZONE", "Asia/Tokyo")
        get_settings.cache_clear()
        yield RehearsalStudio(library, comfyui_url, redis_url, database)

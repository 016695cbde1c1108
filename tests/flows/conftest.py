"""A whole studio for the flow tests: Prefect, PostgreSQL, Valkey, a rehearsal server."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from anime.db.repositories import FileQuery, FileSearch
from anime.db.session import Database
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.server import serving
from anime.schemas import FileRecord, JobSnapshot
from anime.settings import get_settings
from anime.stack.prefect_server import TUNING
from tests.stack.conftest import NO_SERVICES
from tests.support.jobs import newest_jobs
from tests.support.waiting import HUNG_SECONDS


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


@pytest.fixture(scope="package")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server, set up as ours; it starts for ten seconds, so all share it."""
    # Two seconds of a processor, which the processes that run other tests need not spend.
    from prefect.testing.utilities import prefect_test_harness

    with pytest.MonkeyPatch.context() as environment:
        for name, value in (TUNING | NO_SERVICES).items():
            environment.setenv(name, value)
        environment.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")  # nothing is sent anywhere
        with prefect_test_harness(server_startup_timeout=HUNG_SECONDS):
            yield


@pytest.fixture
def rehearsal_config(tmp_path: Path) -> RehearsalConfig:
    """How the rehearsal server behaves; a test may override it."""
    return RehearsalConfig(data_dir=tmp_path / "rehearsal", port=0, step_seconds=0.0)


@pytest_asyncio.fixture
async def studio(
    prefect_server: None,
    redis_url: str,
    database_url: str,
    rehearsal_config: RehearsalConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[RehearsalStudio]:
    """A studio with nothing in it, named by the environment as in production."""
    library = tmp_path / "library"
    library.mkdir()
    async with serving(rehearsal_config) as comfyui_url, Database(database_url) as database:
        monkeypatch.setenv("ANIME_COMFYUI_URL", comfyui_url)
        monkeypatch.setenv("ANIME_DATABASE_URL", database_url)
        monkeypatch.setenv("ANIME_REDIS_URL", redis_url)
        monkeypatch.setenv("ANIME_LIBRARY_DIR", str(library))
        monkeypatch.setenv("ANIME_TIMEZONE", "Asia/Tokyo")
        get_settings.cache_clear()
        yield RehearsalStudio(library, comfyui_url, redis_url, database)

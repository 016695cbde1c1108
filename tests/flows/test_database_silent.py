"""PostgreSQL's answers are lost on the way while a picture is rendered."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from anime.core.job_status import JobStatus, Stage
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.faults import Faults
from anime.settings import get_settings
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio
from tests.flows.test_database_away import Steps, steps
from tests.integration.old_client import execute
from tests.integration.silent_proxy import SilentProxy, silent_proxy
from tests.services import MigratedDatabases
from tests.support.waiting import HUNG_SECONDS

__all__ = ["steps"]

LEASE_SECONDS = 24  # an answer is waited for for a quarter of it: a slow machine has the rest
LEASE = (
    "SELECT lease_expires_at > clock_timestamp(), lease_expires_at FROM anime_api.production_jobs"
    " WHERE id = '{}' AND status = 'processing'"
)


@pytest.fixture
def rehearsal_config(tmp_path: Path, held: Path) -> RehearsalConfig:
    folder, faults = tmp_path / "rehearsal", Faults(hold_while=held)
    return RehearsalConfig(data_dir=folder, port=0, step_seconds=0.0, faults=faults)


@pytest_asyncio.fixture
async def direct_url(migrated_databases: MigratedDatabases) -> AsyncIterator[str]:
    async with migrated_databases.lend() as url:
        yield url


@pytest_asyncio.fixture
async def proxy(direct_url: str) -> AsyncIterator[SilentProxy]:
    async with silent_proxy(direct_url) as proxy:
        yield proxy


@pytest.fixture
def database_url(proxy: SilentProxy) -> str:
    """What the studio works with: the database behind a proxy that swallows answers."""
    return proxy.url


async def test_a_lease_outlives_answers_of_postgresql_that_never_come(
    studio: RehearsalStudio,
    proxy: SilentProxy,
    direct_url: str,
    steps: Steps,
    held: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lose_answers(_: UUID) -> None:
        proxy.silence_open()
        lost.set()

    async def watch() -> None:
        await lost.wait()
        expired = list[datetime]()
        while found := await execute(direct_url, LEASE.format(job_id)):
            [(is_leased, expires_at)] = found
            seen.append(is_leased)
            expired.append(expires_at)
            if not is_leased or expires_at - expired[0] > timedelta(seconds=LEASE_SECONDS / 4):
                held.unlink(missing_ok=True)  # it has lapsed, or was renewed after the silence
            await asyncio.sleep(0.1)

    job_id, lost, seen = uuid4(), asyncio.Event(), list[bool]()
    held.touch()
    monkeypatch.setenv("ANIME_LEASE_SECONDS", str(LEASE_SECONDS))
    get_settings.cache_clear()
    steps.at(Stage.RENDERING, lose_answers)
    async with asyncio.timeout(HUNG_SECONDS), asyncio.TaskGroup() as group:
        group.create_task(watch())
        await generate(prompt="silence", job_id=job_id, width=64, height=64, steps=2)
    assert seen
    assert all(seen), "the lease has lapsed"
    job = await studio.newest_job()
    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 1)

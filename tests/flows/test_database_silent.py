"""PostgreSQL's answers are lost on the way while a picture is rendered."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from anime.core.job_status import JobStatus, Stage
from anime.rehearsal.config import RehearsalConfig
from anime.settings import get_settings
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio
from tests.flows.test_database_away import Steps, steps
from tests.integration.old_client import execute
from tests.integration.silent_proxy import SilentProxy, silent_proxy
from tests.services import MigratedDatabases

__all__ = ["steps"]

LEASE_SECONDS = 8
STEPS, STEP_SECONDS = 100, 0.12  # a render half as long again as the lease
IS_LEASED = (
    "SELECT lease_expires_at > clock_timestamp() FROM anime_api.production_jobs"
    " WHERE id = '{}' AND status = 'processing'"
)


@pytest.fixture
def rehearsal_config(tmp_path: Path) -> RehearsalConfig:
    return RehearsalConfig(data_dir=tmp_path / "rehearsal", port=0, step_seconds=STEP_SECONDS)


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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lose_answers(_: UUID) -> None:
        proxy.silence_open()
        lost.set()

    async def watch() -> None:
        await lost.wait()
        while leased := await execute(direct_url, IS_LEASED.format(job_id)):
            seen.append(leased[0][0])
            await asyncio.sleep(0.1)

    job_id, lost, seen = uuid4(), asyncio.Event(), list[bool]()
    monkeypatch.setenv("ANIME_LEASE_SECONDS", str(LEASE_SECONDS))
    get_settings.cache_clear()
    steps.at(Stage.RENDERING, lose_answers)
    async with asyncio.timeout(90), asyncio.TaskGroup() as group:
        group.create_task(watch())
        await generate(prompt="silence", job_id=job_id, width=64, height=64, steps=STEPS)
    assert seen
    assert all(seen), "the lease has lapsed"
    job = await studio.newest_job()
    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 1)

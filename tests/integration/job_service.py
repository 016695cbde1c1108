"""A desk for orders on a real database and Redis, with Prefect's stand-in behind it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from uuid import UUID

from pydantic import SecretStr

from anime.db.repositories import JobRepository, Lease
from anime.db.session import Database
from anime.jobs.background import monitor_of
from anime.jobs.monitor import AnswerTimes, MonitorCounts
from anime.jobs.service import JobService, open_job_service
from anime.progress.publisher import ProgressPublisher
from anime.schemas import GenerationRequest, JobSnapshot
from anime.settings import Settings, load_settings
from tests.integration.prefect_peer import AUTH, PrefectPeer
from tests.support.jobs import newest_jobs

REQUEST = GenerationRequest(prompt="a girl on a rooftop at dusk", steps=4)


@dataclass(frozen=True)
class Office:
    """The desk, and what a test looks into."""

    service: JobService
    database: Database
    settings: Settings

    async def job(self, job_id: UUID) -> JobSnapshot:
        """The job as its row has it."""
        async with self.database.session_scope() as session:
            return await JobRepository(session).get(job_id)

    async def jobs(self) -> list[JobSnapshot]:
        """All jobs, the newest first."""
        return await newest_jobs(self.database)

    async def begin(self, job_id: UUID, run: UUID, *, seconds: float = 60) -> Lease:
        """What a run does first: it takes the job."""
        async with self.database.session_scope() as session:
            lease = await JobRepository(session).lease(job_id, run, seconds=seconds)
        assert lease is not None
        return lease

    async def monitor(self) -> MonitorCounts:
        """One step, for which no job is too young."""
        ever_since = AnswerTimes(since=-inf, last=time.monotonic())
        return await monitor_of(self.service, ever_since).step(is_patient=False)


@asynccontextmanager
async def open_office(
    database_url: str, redis_url: str, prefect: PrefectPeer, **given: object
) -> AsyncIterator[Office]:
    """An office in which nothing happens by itself."""
    settings = load_settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        prefect_api_url=prefect.url,
        prefect_api_auth_string=AUTH,
        **given,
    )
    async with (
        Database(database_url) as database,
        ProgressPublisher(redis_url) as publisher,
        open_job_service(settings, database, publisher) as service,
    ):
        yield Office(service, database, settings)

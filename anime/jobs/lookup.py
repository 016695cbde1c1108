"""Jobs as they are now: by their ids with the time at which each is to end, in pages, over time.

A query by ids costs a millisecond, however many it names: all who ask while one is under way
share the next. It begins after they have asked, so that none gets an old answer.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from anime.core.composition.record import Composition
from anime.core.job_status import JobStatus, Stage
from anime.db.repositories import (
    JobList,
    JobQuery,
    JobRepository,
    SlotRepository,
    TimelineRepository,
)
from anime.db.repositories.job_rows import no_such_job
from anime.db.session import Database
from anime.schemas import JobSnapshot, TimelineEntry
from anime.settings import Settings
from anime.settings.addresses import database_address


class JobLookup:
    """Runs one query at a time for all who wait; for one event loop."""

    def __init__(self, database: Database, *, slots: int) -> None:
        """`slots`: how many prompts a ComfyUI server has at a time."""
        self._database, self._slots = database, slots
        self._wanted: dict[UUID, asyncio.Future[JobSnapshot | None]] = {}
        self._query: asyncio.Task[None] | None = None

    async def get(self, job_id: UUID) -> JobSnapshot:
        """The job as it is now.

        Raises:
            NotFound: there is no job with that id.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        if job_id not in self._wanted:
            self._wanted[job_id] = asyncio.get_running_loop().create_future()
        answer = self._wanted[job_id]
        if self._query is None or self._query.done():
            self._query = asyncio.create_task(self._answer_all())
        job = await asyncio.shield(answer)  # a client that leaves must not cancel others' answer
        if job is None:
            raise no_such_job(job_id)
        return job

    async def page(
        self, query: JobQuery, *, limit: int, cursor: str | None = None
    ) -> tuple[list[JobSnapshot], str | None]:
        """The jobs that fit, newest first, and the cursor of the next page. Raises as `JobList`."""
        async with self._database.session_scope() as session:
            return await JobList(session).page(query, limit=limit, cursor=cursor)

    async def timeline(self, job_id: UUID) -> list[TimelineEntry]:
        """What happened to the job, the oldest entry first. Raises as `get`."""
        async with self._database.autocommit() as session:
            entries = await TimelineRepository(session).of_job(job_id)
        if not entries:
            await self.get(job_id)
        return entries

    async def composition(self, job_id: UUID) -> Composition:
        """What the job's request became. Raises as `JobRepository.composition_of`."""
        async with self._database.session_scope() as session:
            return await JobRepository(session).composition_of(job_id)

    async def _answer_all(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            try:
                async with self._database.autocommit() as session:
                    found = await JobRepository(session).among(wanted.keys())
                    if any(_may_be_in_line(job) for job in found.values()):
                        left = await SlotRepository(session).seconds_left(size=self._slots)
                        found = {id_: expected(job, left) for id_, job in found.items()}
            except Exception as fault:  # noqa: BLE001  raised by each who asked
                for answer in wanted.values():
                    answer.set_exception(fault)
                    answer.exception()  # retrieved, even if all who asked have left
            else:
                for job_id, answer in wanted.items():
                    answer.set_result(found.get(job_id))


@asynccontextmanager
async def connect_job_lookup(settings: Settings) -> AsyncIterator[JobLookup]:
    """Jobs to be read, with a connection of its own: for commands, which load nothing else."""
    async with Database(database_address(settings)) as database:
        yield JobLookup(database, slots=settings.in_flight)


def _may_be_in_line(job: JobSnapshot) -> bool:
    return job.status is JobStatus.PROCESSING and job.stage in {Stage.SUBMITTING, Stage.RENDERING}


def expected(job: JobSnapshot, seconds_left: Mapping[UUID, float]) -> JobSnapshot:
    """The job with the time at which its render is expected to end, if that is known."""
    if job.id not in seconds_left:
        return job
    at = datetime.now(UTC) + timedelta(seconds=round(seconds_left[job.id]))
    return job.model_copy(update={"expected_at": at.replace(microsecond=0)})

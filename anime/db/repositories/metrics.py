"""What is counted: for graphs of how the studio does."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Float, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.job_status import FailureKind, JobStatus
from anime.db.models import AnimeFile, ProductionJob
from anime.db.repositories.leases import NOW

LONGEST_JOB = timedelta(days=7)  # the index is by when a job was asked for


class JobCount(NamedTuple):
    """How many jobs are in a state, for one reason if they failed."""

    status: JobStatus
    error_kind: FailureKind | None
    jobs: int


class JobTimes(NamedTuple):
    """Where the time of a completed job went, in seconds."""

    job_id: UUID
    waited: float  # from the request until a run took it
    worked: float  # from then until its files were recorded
    rendered: float | None  # of that, at ComfyUI, by its own word

    @property
    def overhead(self) -> float | None:
        """What the run took beside the render: checks, VRAM, its place in line, files, rows."""
        return None if self.rendered is None else max(self.worked - self.rendered, 0.0)


class MetricsRepository:
    """The figures in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def jobs(self) -> list[JobCount]:
        """How many jobs there are in each state, those that failed by kind."""
        rows = await self._session.execute(
            select(ProductionJob.status, ProductionJob.error_kind, func.count()).group_by(
                ProductionJob.status, ProductionJob.error_kind
            )
        )
        return [JobCount(*row) for row in rows]

    async def files_organised(self) -> int:
        """How many files have been put into the library."""
        counted = await self._session.scalar(
            select(func.count()).where(AnimeFile.organized_at.is_not(None))
        )
        return counted or 0

    async def now(self) -> datetime:
        """The database's clock, by which jobs are finished."""
        moment: datetime = (await self._session.execute(select(NOW))).scalar_one()
        return moment

    async def completed_since(self, moment: datetime) -> list[JobTimes]:
        """The times of the jobs that were completed after it."""
        rendered = (
            select(AnimeFile.details["timings"]["render_seconds"].astext.cast(Float))
            .where(AnimeFile.job_id == ProductionJob.id)
            .order_by(AnimeFile.id)
            .limit(1)
            .scalar_subquery()
        )
        started = func.coalesce(ProductionJob.started_at, ProductionJob.finished_at)
        rows = await self._session.execute(
            select(
                ProductionJob.id,
                func.extract("epoch", started - ProductionJob.created_at).cast(Float),
                func.extract("epoch", ProductionJob.finished_at - started).cast(Float),
                rendered,
            ).where(
                ProductionJob.status == JobStatus.COMPLETED,
                ProductionJob.created_at > moment - LONGEST_JOB,
                ProductionJob.finished_at > moment,
            )
        )
        return [JobTimes(*row) for row in rows]

"""What is counted: for graphs of how the studio does."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Float, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.job_status import JobStatus
from anime.db.counter_models import Counter, CounterChange
from anime.db.models import AnimeFile, ProductionJob
from anime.db.repositories.leases import NOW

_DAYS = "files/made/"


class JobTimes(NamedTuple):
    """Where the time of a completed job went, in seconds."""

    job_id: UUID
    waited: float  # from the request until a run took it
    worked: float  # from then until its files were recorded
    rendered: float | None  # of that, at ComfyUI, by its own word

    @property
    def overhead(self) -> float | None:
        """What the run took beside the render: checks, VRAM, its wait in line, files, rows."""
        return None if self.rendered is None else max(self.worked - self.rendered, 0.0)


class MetricsRepository:
    """The figures in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def counters(self) -> Mapping[str, int]:
        """All counters by name but those of days; none is left out but 0."""
        return await self._counters(is_of_a_day=False)

    async def files_by_day(self) -> Mapping[int, int]:
        """How many files were made on each day (in days since 1970, UTC) that has any."""
        counters = await self._counters(is_of_a_day=True)
        return {int(name.removeprefix(_DAYS)): value for name, value in counters.items() if value}

    async def _counters(self, *, is_of_a_day: bool) -> Mapping[str, int]:
        every = union_all(
            select(Counter.name, Counter.value.label("value")),
            select(CounterChange.name, CounterChange.change),
        ).subquery()
        rows = await self._session.execute(
            select(every.c.name, func.sum(every.c.value))
            .where(every.c.name.startswith(_DAYS) == is_of_a_day)
            .group_by(every.c.name)
        )
        return {name: int(value) for name, value in rows}

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
                ProductionJob.finished_at > moment,
            )
        )
        return [JobTimes(*row) for row in rows]

"""Jobs and their runs in Prefect: which have none yet, and what is left to settle.

A job of a batch is no concern of this: the batch renders it within a run of its own.
"""

from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.job_status import JobStatus
from anime.db.models import ProductionJob
from anime.db.repositories.leases import NOW, is_free, until
from anime.schemas import GenerationRequest, JobSnapshot

_LOCK = (8328, 5)  # of PostgreSQL's advisory locks: who reconciles jobs and runs


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A job and its run in Prefect: `run_id` is its latest run, the `run_number`-th, if any."""

    job_id: UUID
    params: dict[str, Any]  # JSON of the whole request
    run_number: int = 1
    run_id: UUID | None = None

    @classmethod
    def of(cls, job: JobSnapshot, request: GenerationRequest) -> Self:
        """The first run of that job."""
        return cls(job.id, request.model_dump(mode="json"))

    @property
    def request(self) -> GenerationRequest:
        """What was asked for. Raises pydantic's ValidationError for that of another version."""
        return GenerationRequest.model_validate(self.params)

    @property
    def key(self) -> str:
        """What Prefect knows that run by: dispatched twice, it is one run.

        >>> Dispatch(UUID(int=7), {}).key
        '00000000-0000-0000-0000-000000000007'
        >>> Dispatch(UUID(int=7), {}, run_number=2).key
        '00000000-0000-0000-0000-000000000007:2'
        """
        return str(self.job_id) if self.run_number == 1 else f"{self.job_id}:{self.run_number}"


class DispatchRepository:
    """Jobs and their runs, in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def try_lock(self) -> bool:
        """Whether nobody else reconciles jobs and runs until this transaction ends."""
        return bool(await self._session.scalar(select(func.pg_try_advisory_xact_lock(*_LOCK))))

    async def waiting(self, at_most: int) -> int:
        """How many jobs wait for their turn, counted no further than that."""
        counted = select(ProductionJob.id).where(_waits()).limit(at_most).subquery()
        return await self._session.scalar(select(func.count()).select_from(counted)) or 0

    async def without_run(self, *, older_than_seconds: float, limit: int) -> list[Dispatch]:
        """Jobs that wait and have no run, the oldest first."""
        is_old = ProductionJob.created_at <= until(-older_than_seconds)
        return await self._dispatches(
            _waits(), ProductionJob.flow_run_id.is_(None), is_old, limit=limit
        )

    async def with_run(self, *, limit: int) -> list[Dispatch]:
        """Jobs that wait and have a run, the oldest first."""
        return await self._dispatches(_waits(), ProductionJob.flow_run_id.is_not(None), limit=limit)

    async def of_job(self, job_id: UUID) -> Dispatch | None:
        """The run of that job, in whatever state; None for a job of a batch or an unknown one."""
        found = await self._dispatches(_is_apart(), ProductionJob.id == job_id, limit=1)
        return found[0] if found else None

    async def remember_run(self, dispatch: Dispatch, run_id: UUID) -> JobStatus | None:
        """The job's state; its run is recorded while it still waits. None without a job."""
        is_same = ProductionJob.run_number == dispatch.run_number
        status = await self._session.scalar(
            update(ProductionJob)
            .where(_waits(), ProductionJob.id == dispatch.job_id, is_same)
            .values(flow_run_id=run_id, updated_at=NOW)
            .returning(ProductionJob.status)
        )
        return status or await self._session.scalar(
            select(ProductionJob.status).where(ProductionJob.id == dispatch.job_id)
        )

    async def forget_run(self, dispatch: Dispatch) -> bool:
        """Whether the job is to get another run now, its latest having died before it began."""
        is_same = ProductionJob.flow_run_id == dispatch.run_id
        changed = await self._session.execute(
            update(ProductionJob)
            .where(_waits(), ProductionJob.id == dispatch.job_id, is_same)
            .values(flow_run_id=None, run_number=ProductionJob.run_number + 1, updated_at=NOW)
            .returning(ProductionJob.id)
        )
        return changed.first() is not None

    async def cancellations_left(self, limit: int) -> list[UUID]:
        """Jobs about to be cancelled that no live run is left to stop, any of them."""
        left = and_(ProductionJob.status == JobStatus.CANCELLING, is_free())
        # In no order, so that a few that do not stop hold up none of the others for good.
        some = select(ProductionJob.id).where(left).order_by(func.random()).limit(limit)
        found = await self._session.scalars(some)
        return list(found)

    async def _dispatches(self, *wanted: ColumnElement[bool], limit: int) -> list[Dispatch]:
        rows = await self._session.execute(
            select(
                ProductionJob.id,
                ProductionJob.params,
                ProductionJob.run_number,
                ProductionJob.flow_run_id,
            )
            .where(*wanted)
            .order_by(ProductionJob.created_at)
            .limit(limit)
        )
        return [Dispatch(*row) for row in rows]


def _is_apart() -> ColumnElement[bool]:
    return ProductionJob.batch_run_id.is_(None)


def _waits() -> ColumnElement[bool]:
    return and_(ProductionJob.status == JobStatus.QUEUED, _is_apart())

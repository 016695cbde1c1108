"""Jobs and their runs in Prefect: which have none, and which no run holds.

A job of a batch is rendered by the batch within a run of its own, until that run is found dead.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.job_status import JobStatus
from anime.core.recovery import LeaseView
from anime.core.timeline import TimelineKind
from anime.db.models import JOBS, ProductionJob
from anime.db.repositories.bulk import is_among, rows_of_arrays
from anime.db.repositories.job_rows import JobRows
from anime.db.repositories.leases import NOW, is_free
from anime.db.repositories.timeline import TimelineRepository, add_to_timelines
from anime.schemas import GenerationRequest, JobSnapshot

_LOCK = (8328, 5)  # of PostgreSQL's advisory locks: whose monitor is at work
_TOGETHER = timedelta(minutes=5)
_OPEN = (JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.CANCELLING)
_GOING_ON = (JobStatus.QUEUED, JobStatus.PROCESSING)


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A job and its run in Prefect: `run_id` is its latest run, the `run_number`-th, if any.

    `traceparent`: the span that submitted it, if that was traced.
    """

    job_id: UUID
    params: dict[str, Any]  # JSON of the whole request
    run_number: int = 1
    run_id: UUID | None = None
    traceparent: str | None = None

    @classmethod
    def of(
        cls, job: JobSnapshot, request: GenerationRequest, traceparent: str | None = None
    ) -> Self:
        """The first run of that job."""
        return cls(job.id, request.model_dump(mode="json"), traceparent=traceparent)

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


@dataclass(frozen=True, slots=True)
class UnheldJob:
    """A job that has not ended and that no live run holds. `idle_seconds`: since its last change.

    `run_id` is its latest run in Prefect; of a batch's child, the batch's own.
    """

    job_id: UUID
    status: JobStatus
    lease: LeaseView
    fence: int
    lost_runs: int
    idle_seconds: float
    flow_run_id: UUID | None
    batch_run_id: UUID | None

    @property
    def run_id(self) -> UUID | None:
        """The run that is to render it."""
        return self.batch_run_id or self.flow_run_id


@dataclass(frozen=True, slots=True)
class BatchLife:
    """What the jobs of a batch show of it."""

    has_live_child: bool
    idle_seconds: float


class DispatchRepository:
    """Jobs and their runs, in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def try_lock(self) -> bool:
        """Whether nobody else looks after jobs and runs until this transaction ends."""
        return bool(await self._session.scalar(select(func.pg_try_advisory_xact_lock(*_LOCK))))

    async def waiting(self, at_most: int) -> int:
        """How many jobs wait for their turn, counted no further than that."""
        waits = and_(ProductionJob.status == JobStatus.QUEUED, _is_apart())
        counted = select(ProductionJob.id).where(waits).limit(at_most).subquery()
        return await self._session.scalar(select(func.count()).select_from(counted)) or 0

    async def unheld(self, *, lease_seconds: float, limit: int) -> list[UnheldJob]:
        """Jobs that have not ended and that no live run holds, the oldest first.

        Those that wait within batches come last, from each in turn: there may be more of them than
        are looked at, and what becomes of one tells what becomes of the others.

        A lease that lapsed before PostgreSQL had been up for `lease_seconds` proves nothing.
        """
        rows = await self._session.execute(
            _UNHELD, {"statuses": _OPEN, "lease_seconds": lease_seconds, "limit": limit}
        )
        return [
            UnheldJob(job_id, status, LeaseView(lease), fence, lost_runs, float(idle), *runs)
            for job_id, status, lease, fence, lost_runs, idle, *runs in rows
        ]

    async def lives_of(self, batch_run_ids: Collection[UUID]) -> dict[UUID, BatchLife]:
        """What their jobs show of each of those batches; those that have just ended, too."""
        is_theirs = ProductionJob.batch_run_id.in_(batch_run_ids)
        # A batch inserts its jobs together: by their time there is an index, by their batch none.
        oldest = select(func.min(ProductionJob.created_at)).where(
            ProductionJob.status.in_(_OPEN), is_theirs
        )
        found = await self._session.execute(
            select(
                ProductionJob.batch_run_id,
                func.bool_or(~is_free()),
                func.min(_idle_seconds()),
            )
            .where(is_theirs, ProductionJob.created_at >= oldest.scalar_subquery() - _TOGETHER)
            .group_by(ProductionJob.batch_run_id)
        )
        return {run_id: BatchLife(alive, float(idle)) for run_id, alive, idle in found if run_id}

    async def seconds_to_lapse(self) -> float | None:
        """How long until the first lease lapses unless it is renewed; None without any."""
        held = select(func.min(ProductionJob.lease_expires_at)).where(
            ProductionJob.status.in_(_OPEN), ProductionJob.lease_expires_at > NOW
        )
        seconds = await self._session.scalar(
            select(func.extract("epoch", held.scalar_subquery() - NOW))
        )
        return None if seconds is None else float(seconds)

    async def of_job(self, job_id: UUID) -> Dispatch | None:
        """The run of that job, in whatever state; None for a job of a batch or an unknown one."""
        found = await self._dispatches(_is_apart(), ProductionJob.id == job_id)
        return found[0] if found else None

    async def is_superseded(self, job_id: UUID, run_id: UUID) -> bool:
        """Whether another run than that one is to go on with the job."""
        newer = select(ProductionJob.id).where(
            ProductionJob.id == job_id,
            ProductionJob.flow_run_id != run_id,
            ProductionJob.flow_run_id.is_distinct_from(ProductionJob.batch_run_id),
        )
        return await self._session.scalar(newer) is not None

    async def remember_runs(self, runs: Mapping[UUID, Dispatch]) -> dict[UUID, JobStatus]:
        """Record the new run, by id, of each job that may go on; the states of all others."""
        if not runs:
            return {}
        job_ids = [each.job_id for each in runs.values()]
        recorded = await self._session.execute(
            _REMEMBER,
            {
                "job_ids": job_ids,
                "run_numbers": [each.run_number for each in runs.values()],
                "run_ids": list(runs),
            },
        )
        others = set(job_ids) - set(recorded.scalars())
        return await JobRows(self._session).statuses(others) if others else {}

    async def forget_runs(
        self, jobs: Collection[UnheldJob], *, lost: Collection[UUID]
    ) -> set[UUID]:
        """Those of the jobs that may have another run now: no run has taken them since.

        Those of a batch leave it. `lost`: whose runs count as lost.
        """
        is_lost = ProductionJob.id.in_(lost)
        same = [(each.job_id, each.fence) for each in jobs]
        forgotten = await self._session.scalars(
            update(ProductionJob)
            .where(
                tuple_(ProductionJob.id, ProductionJob.fence).in_(same),
                ProductionJob.status.in_(_GOING_ON),
                is_free(),
            )
            .values(
                flow_run_id=None,
                batch_run_id=None,
                run_number=ProductionJob.run_number + 1,
                lost_runs=ProductionJob.lost_runs + case((is_lost, 1), else_=0),
                lease_owner=None,
                lease_expires_at=None,
                updated_at=NOW,
            )
            .returning(ProductionJob.id),
            execution_options={"synchronize_session": False},
        )
        return set(forgotten)

    async def join_batch(self, job_ids: Collection[UUID], run_id: UUID) -> set[UUID]:
        """Those of the jobs that this run of a batch is to render now: no other run has them."""
        joined = await self._session.scalars(
            update(ProductionJob)
            .where(
                ProductionJob.id.in_(job_ids),
                ProductionJob.status.in_(_GOING_ON),
                ProductionJob.flow_run_id.is_(None),
                _is_apart(),
                is_free(),
            )
            .values(flow_run_id=run_id, batch_run_id=run_id, updated_at=NOW)
            .returning(ProductionJob.id),
            execution_options={"synchronize_session": False},
        )
        found = set(joined)
        why = f"Run {run_id} of its batch was made for it in Prefect."
        await TimelineRepository(self._session).add_to_all(
            dict.fromkeys(found, why), TimelineKind.RUN
        )
        return found

    async def change_batch(self, job_ids: Collection[UUID], old: UUID, new: UUID) -> None:
        """Have another run of the same batch render those of the jobs that the old one was to."""
        changed = await self._session.scalars(
            update(ProductionJob)
            .where(
                is_among(ProductionJob.id, job_ids),
                ProductionJob.status.in_(_GOING_ON),
                ProductionJob.batch_run_id == old,
            )
            .values(flow_run_id=new, batch_run_id=new, updated_at=NOW)
            .returning(ProductionJob.id),
            execution_options={"synchronize_session": False},
        )
        why = f"Run {old} of its batch was cancelled: run {new} goes on with it."
        await TimelineRepository(self._session).add_to_all(
            dict.fromkeys(changed, why), TimelineKind.DECISION
        )

    async def without_run(self, job_ids: Collection[UUID]) -> list[Dispatch]:
        """Those of the jobs that have no run and may go on, the oldest first."""
        return await self._dispatches(
            ProductionJob.id.in_(job_ids),
            ProductionJob.status.in_(_GOING_ON),
            ProductionJob.flow_run_id.is_(None),
            _is_apart(),
            is_free(),
        )

    async def _dispatches(self, *wanted: ColumnElement[bool]) -> list[Dispatch]:
        rows = await self._session.execute(
            select(
                ProductionJob.id,
                ProductionJob.params,
                ProductionJob.run_number,
                ProductionJob.flow_run_id,
                ProductionJob.traceparent,
            )
            .where(*wanted)
            .order_by(ProductionJob.created_at)
        )
        return [Dispatch(*row) for row in rows]


def _is_apart() -> ColumnElement[bool]:
    return ProductionJob.batch_run_id.is_(None)


def _idle_seconds() -> ColumnElement[Any]:
    return func.extract("epoch", NOW - ProductionJob.updated_at)


def _lease_view(lease_seconds: ColumnElement[float]) -> ColumnElement[str]:
    """What the lease of a job that no live run holds proves."""
    was_up_since = NOW - func.make_interval(0, 0, 0, 0, 0, 0, lease_seconds)
    return case(
        (ProductionJob.lease_owner.is_(None), literal(LeaseView.NONE)),
        (func.pg_postmaster_start_time() > was_up_since, literal(LeaseView.UNSURE)),
        else_=literal(LeaseView.LAPSED),
    )


_WAITS_IN_BATCH = and_(ProductionJob.status == JobStatus.QUEUED, ~_is_apart())
_IN_TURN = func.row_number().over(
    partition_by=(ProductionJob.batch_run_id, ProductionJob.status),
    order_by=ProductionJob.created_at,
)
_PLACE_IN_BATCH = case((_WAITS_IN_BATCH, _IN_TURN), else_=0)
# Put together once: it is asked every few seconds.
_UNHELD = (
    select(
        ProductionJob.id,
        ProductionJob.status,
        _lease_view(bindparam("lease_seconds")),
        ProductionJob.fence,
        ProductionJob.lost_runs,
        _idle_seconds(),
        ProductionJob.flow_run_id,
        ProductionJob.batch_run_id,
    )
    .where(ProductionJob.status.in_(bindparam("statuses", expanding=True)), is_free())
    .order_by(_PLACE_IN_BATCH, ProductionJob.created_at)
    .limit(bindparam("limit"))
)
_NEW_RUN = rows_of_arrays(
    "new", job_id=("job_ids", Uuid), run_number=("run_numbers", Integer), run_id=("run_ids", Uuid)
)
_RECORDED = (
    update(JOBS)
    .where(
        JOBS.c.id == _NEW_RUN.c.job_id,
        JOBS.c.run_number == _NEW_RUN.c.run_number,
        JOBS.c.status.in_(_GOING_ON),
        JOBS.c.batch_run_id.is_(None),
        or_(is_free(), JOBS.c.lease_owner == _NEW_RUN.c.run_id),
    )
    .values(flow_run_id=_NEW_RUN.c.run_id, updated_at=NOW)
    .returning(JOBS.c.id, JOBS.c.flow_run_id)
    .cte("recorded")
)
# With the entry of each in its timeline: one statement, as people wait for their answers behind it.
_REMEMBER = add_to_timelines(
    _RECORDED,
    _RECORDED.c.id,
    TimelineKind.RUN,
    func.concat("Run ", _RECORDED.c.flow_run_id, " was made for it in Prefect."),
)

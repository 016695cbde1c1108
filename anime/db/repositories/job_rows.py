"""The rows of jobs: how they are read, and the one way in which they are changed."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningUpdate

from anime.core.composition.record import Composition
from anime.core.ids import trace_id_of
from anime.core.job_status import JobStatus
from anime.core.timeline import TimelineKind
from anime.db.models import JOBS, ProductionJob, Project
from anime.db.repositories.deliveries import DeliveryRepository
from anime.db.repositories.leases import NOW, is_free
from anime.db.repositories.projects import ProjectRepository
from anime.db.repositories.timeline import TimelineRepository
from anime.errors import InvalidRequest, NotFound
from anime.schemas import GenerationRequest, JobSnapshot

_projects = Project.__table__

# What a snapshot says. Plain columns take half as long as a row of the ORM with its request.
_NOT_TOLD = {
    "project_id",
    "shot",
    "params",
    "composition",
    "lease_owner",
    "lease_expires_at",
    "avoided_servers",
    "servers_killed",
    "lost_runs",
    "attempts_before",
}
TOLD = [column for column in JOBS.columns if column.name not in _NOT_TOLD]

# Put together once, and one statement however many ids: neither we nor PostgreSQL plan it anew.
IS_AMONG = JOBS.c.id == any_(bindparam("job_ids", type_=ARRAY(Uuid)))
_AMONG = (
    select(*TOLD, _projects.c.name.label("project"))
    .outerjoin_from(JOBS, _projects, _projects.c.id == JOBS.c.project_id)
    .where(IS_AMONG)
)
_STATUSES = select(JOBS.c.id, JOBS.c.status).where(IS_AMONG)
_AMONG_CHANGED = _AMONG.where(
    JOBS.c.updated_at >= NOW - func.make_interval(0, 0, 0, 0, 0, 0, bindparam("within_seconds"))
)

CANCELLED = "Cancelled."  # what the timeline of such a job ends with
_NEWEST_FIRST = (ProductionJob.created_at.desc(), ProductionJob.id.desc())


class JobRows:
    """The jobs of one transaction, read."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, job_id: UUID) -> JobSnapshot:
        """The job as it is now.

        Raises:
            NotFound: there is none with that id.
        """
        found = await self.among([job_id])
        if job_id not in found:
            raise no_such_job(job_id)
        return found[job_id]

    async def among(
        self, job_ids: Collection[UUID], *, changed_within_seconds: float | None = None
    ) -> dict[UUID, JobSnapshot]:
        """Those of the jobs that have a row, by id; only those that have just changed, if asked."""
        values: dict[str, object] = {"job_ids": list(job_ids)}
        statement = _AMONG
        if changed_within_seconds is not None:
            statement, values["within_seconds"] = _AMONG_CHANGED, changed_within_seconds
        rows = await self._session.execute(statement, values)
        return {row.id: snapshot_of(row, row.project) for row in rows}

    async def statuses(self, job_ids: Collection[UUID]) -> dict[UUID, JobStatus]:
        """The states of those of the jobs that have a row."""
        rows = await self._session.execute(_STATUSES, {"job_ids": list(job_ids)})
        return {row.id: row.status for row in rows}

    async def not_over(self) -> list[UUID]:
        """The jobs that wait, run, or have failed, so that they can be requeued."""
        is_over = ProductionJob.status.in_((JobStatus.COMPLETED, JobStatus.CANCELLED))
        return [*await self._session.scalars(select(ProductionJob.id).where(~is_over))]

    async def is_held(self, job_id: UUID) -> bool:
        """Whether a live run has the job."""
        held = await self._session.scalar(
            select(ProductionJob.id).where(ProductionJob.id == job_id, ~is_free())
        )
        return held is not None

    async def request_of(self, job_id: UUID) -> GenerationRequest:
        """What was asked for.

        Raises:
            NotFound: there is no such job.
            InvalidRequest: it was written by a version that knew other fields.
        """
        job = await self._row(job_id)
        try:
            return GenerationRequest.model_validate(job.params)
        except ValidationError as fault:
            raise InvalidRequest(
                f"The request of job {job_id} cannot be read: {fault.errors()[0]['msg']}.",
                "Generate it anew.",
            ) from fault

    async def composition_of(self, job_id: UUID) -> Composition:
        """What its request became when it was submitted.

        Raises:
            NotFound: there is no such job, or it renders its request as it was given.
        """
        job = await self._row(job_id)
        if job.composition is None:
            raise NotFound(
                f"Job {job_id} renders its request as it was given.",
                "Neither a project's style nor a character changed it.",
            )
        return Composition.model_validate(job.composition)

    async def _change(self, change: ReturningUpdate[Any], values: Mapping[str, object]) -> Any:
        """The row after the `change` with those values; None when its guard held it back.

        The end of a job goes into its timeline, and into the outbox if it is to be told of: what
        has ended is changed no more, but by `requeue`.
        """
        job = (await self._session.execute(change, values)).one_or_none()
        if job is not None and job.status.is_final:
            await self._note(job.id, TimelineKind.END, _end_of(job))
            await self._tell_of({job.id: job.params.get("webhook_url")})
        return job

    async def _note(self, job_id: UUID, kind: TimelineKind, message: str) -> None:
        await TimelineRepository(self._session).add(job_id, kind, message)

    async def _tell_of(self, urls: Mapping[UUID, object]) -> None:
        """Have the webhooks of these jobs called, which have ended."""
        # A row of another program may hold anything.
        told = {job_id: url for job_id, url in urls.items() if isinstance(url, str)}
        if told:
            jobs = await self.among(told)
            await DeliveryRepository(self._session).add_all(
                [(jobs[job_id], url) for job_id, url in told.items()]
            )

    async def _row(self, job_id: UUID) -> ProductionJob:
        job = await self._session.get(ProductionJob, job_id, populate_existing=True)
        if job is None:
            raise no_such_job(job_id)
        return job

    async def _of_project(self, named: str) -> ColumnElement[bool]:
        """Guard: the job is of that project. By its id, which has an index by time."""
        keys = await ProjectRepository(self._session).keys_of(named)
        return ProductionJob.project_id.in_([key.id for key in keys])

    async def _snapshots(
        self,
        *wanted: ColumnElement[bool],
        order: Sequence[Any] = _NEWEST_FIRST,  # columns of any type
        limit: int | None = None,
    ) -> list[JobSnapshot]:
        statement = (
            select(*TOLD, Project.name.label("project"))
            .outerjoin(Project, Project.id == ProductionJob.project_id)
            .where(*wanted)
            .order_by(*order)
            .limit(limit)
        )
        return [snapshot_of(row, row.project) for row in await self._session.execute(statement)]


def change(
    guard: ColumnElement[bool],
    *told: ColumnElement[Any],  # of any type
    **changes: Any,  # values of any column, by name
) -> ReturningUpdate[Any]:
    """A change of the job that the guard names, put together once: that takes longer than it.

    It gives the whole row, or what is to be told of it.
    """
    return update(JOBS).where(guard).values(updated_at=NOW, **changes).returning(*told or JOBS.c)


def _end_of(job: Any) -> str:  # a row of JOBS
    match job.status:
        case JobStatus.FAILED:
            return f"Failed as {job.error_kind}: {job.error_message}"
        case JobStatus.COMPLETED:
            return f"Completed: {job.output_path}"
    return CANCELLED


def no_such_job(job_id: UUID) -> NotFound:
    """The error for an id without a row."""
    return NotFound(f"There is no job {job_id}.", "`anime jobs` lists the newest.")


def snapshot_of(
    job: Any,  # a ProductionJob, or a row of TOLD, which SQLAlchemy 2.0 and 2.1 type differently
    project: str | None,
) -> JobSnapshot:
    """The job that the row describes, in the project of that name."""
    return JobSnapshot(
        id=job.id,
        type=job.type,
        status=job.status,
        stage=job.stage,
        progress=job.progress,
        project=project,
        character=job.character,
        prompt=job.prompt,
        workflow=job.workflow,
        seed=job.seed,
        attempt=job.attempt,
        fence=job.fence,
        prompt_id=job.prompt_id,
        comfyui_url=job.comfyui_url,
        flow_run_id=job.flow_run_id,
        trace_id=trace_id_of(job.traceparent),
        output_path=job.output_path,
        error_kind=job.error_kind,
        error=job.error_message,
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )

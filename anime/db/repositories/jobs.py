"""The jobs: one row a generation, with guarded changes of state.

Every change is one UPDATE that names the states it may start from and, for a run, its lease.
Nothing is read first and written later.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Self, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningUpdate

from anime.core.composition.record import Composition
from anime.core.ids import seed_of
from anime.core.job_status import FailureKind, JobStatus, Stage, stages_after
from anime.core.paths import slug_of
from anime.core.shots import code_key
from anime.core.timeline import TimelineKind
from anime.db.models import JOBS, ProductionJob, WebhookDelivery
from anime.db.notifications import MONITOR, STOP
from anime.db.repositories.bulk import insert_missing, is_among
from anime.db.repositories.job_rows import CANCELLED, IS_AMONG, TOLD, JobRows, change, snapshot_of
from anime.db.repositories.leases import (
    FOR_SECONDS,
    IS_HELD,
    IS_JOB,
    NOW,
    Lease,
    is_free,
    lease_of,
    may_become,
    refusal,
    values_of,
)
from anime.db.repositories.projects import ProjectRepository
from anime.db.repositories.timeline import TimelineRepository
from anime.db.server_models import JobEvent
from anime.db.session import NOTIFY_CHANNEL
from anime.db.shot_models import Shot
from anime.schemas import GenerationRequest, JobSnapshot

_SUBMITTED = "Submitted."
_CANCEL_ASKED = "Its cancellation was asked for."
# Put together once, and without the ORM: each request that is taken on waits for it. Its entry in
# the timeline comes with it, without a second round trip.
_GIVEN = (
    *("id", "project_id", "character", "shot", "type", "workflow", "prompt", "params", "seed"),
    *("flow_run_id", "batch_run_id", "composition", "characters", "traceparent"),
)
_NEW = (
    insert(JOBS)
    .values({name: bindparam(f"new_{name}", type_=JOBS.c[name].type) for name in _GIVEN})
    .on_conflict_do_nothing(index_elements=[ProductionJob.id])
    .returning(*TOLD)
    .cte("new")
)
_ENTRY = (
    insert(JobEvent)
    .from_select(
        ["job_id", "kind", "message"],
        select(_NEW.c.id, literal(TimelineKind.SUBMITTED.value), literal(_SUBMITTED)),
    )
    .cte("entry")
)
_INSERT = select(*_NEW.c).add_cte(_ENTRY)
_UNLEASED = {"lease_owner": None, "lease_expires_at": None}

_OWNER: ColumnElement[UUID] = bindparam("to_owner", type_=Uuid)
_LEASE = change(
    and_(IS_JOB, may_become(JobStatus.PROCESSING), is_free(_OWNER)),
    status=JobStatus.PROCESSING,
    fence=JOBS.c.fence + 1,
    lease_owner=_OWNER,
    lease_expires_at=FOR_SECONDS,
    started_at=func.coalesce(JOBS.c.started_at, NOW),
    flow_run_id=func.coalesce(bindparam("to_run", type_=Uuid), JOBS.c.flow_run_id),
    traceparent=func.coalesce(JOBS.c.traceparent, bindparam("to_traceparent", type_=Text)),
)
_IS_PROCESSING = and_(IS_HELD, JOBS.c.status == JobStatus.PROCESSING)
_HOLD = change(IS_HELD, lease_expires_at=FOR_SECONDS)
_RELEASE = change(IS_HELD, **_UNLEASED)
_ATTEMPT = bindparam("to_attempt", type_=Integer)
_IS_SAME_ATTEMPT = JOBS.c.attempt == _ATTEMPT
_BEGIN_ATTEMPT = change(
    _IS_PROCESSING,
    attempt=_ATTEMPT,
    prompt_id=bindparam("to_prompt", type_=Uuid),
    comfyui_url=bindparam("to_server", type_=Text),
    progress=case((_IS_SAME_ATTEMPT, JOBS.c.progress), else_=0),
    stage=case((_IS_SAME_ATTEMPT, JOBS.c.stage), else_=Stage.SUBMITTING),
)
_IS_STOPPING = JOBS.c.status == JobStatus.CANCELLING
_SETTLED: dict[str, Any] = {  # values of any column
    "status": JobStatus.CANCELLED,
    "finished_at": NOW,
    "stage": None,
    **_UNLEASED,
}
_SETTLE = change(and_(IS_JOB, _IS_STOPPING, is_free(_OWNER)), **_SETTLED)


def _end(then: JobStatus, **changes: Any) -> ReturningUpdate[Any]:  # by column
    is_allowed = and_(IS_HELD, may_become(then))
    return change(is_allowed, status=then, finished_at=NOW, **_UNLEASED, **changes)


_COMPLETE = _end(
    JobStatus.COMPLETED, output_path=bindparam("to_path", type_=Text), progress=100, stage=None
)
_FAIL = _end(
    JobStatus.FAILED,
    error_kind=bindparam("to_kind", type_=JOBS.c.error_kind.type),
    error_message=bindparam("to_message", type_=Text),
)
_CANCEL = _end(JobStatus.CANCELLED, stage=None)
_FAIL_UNLEASED = change(
    and_(IS_JOB, may_become(JobStatus.FAILED), is_free()),
    status=JobStatus.FAILED,
    finished_at=NOW,
    error_kind=bindparam("to_kind", type_=JOBS.c.error_kind.type),
    error_message=bindparam("to_message", type_=Text),
    **_UNLEASED,
)
_IS_QUEUED = JOBS.c.status == JobStatus.QUEUED
_MAY_STOP = may_become(JobStatus.CANCELLING)
_STOPPED: dict[str, Any] = {  # values of any column
    "status": case((_IS_QUEUED, JobStatus.CANCELLED), else_=JobStatus.CANCELLING),
    "finished_at": case((_IS_QUEUED, NOW)),
}
_REQUEST_CANCEL = change(and_(IS_JOB, _MAY_STOP), **_STOPPED)
# The same of many jobs: a worker that is to stop has seconds for it.
_OUTCOME = (JOBS.c.id, JOBS.c.status, JOBS.c.params["webhook_url"].label("webhook_url"))
_LOCK_OPEN = (
    select(JOBS.c.id)
    .where(IS_AMONG, or_(_MAY_STOP, _IS_STOPPING))
    .order_by(JOBS.c.id)  # against deadlocks
    .with_for_update()
)
_REQUEST_ALL = change(and_(IS_AMONG, _MAY_STOP), *_OUTCOME, **_STOPPED)
_SETTLE_ALL = change(and_(IS_AMONG, _IS_STOPPING, is_free()), *_OUTCOME, **_SETTLED)
_NOTIFY_ALL = select(func.pg_notify(NOTIFY_CHANNEL, func.concat(STOP, JOBS.c.id))).where(
    IS_AMONG, _IS_STOPPING
)
_REQUEUE = change(
    and_(IS_JOB, may_become(JobStatus.QUEUED)),
    status=JobStatus.QUEUED,
    stage=None,
    progress=0,
    attempts_before=case((JOBS.c.prompt_id.is_not(None), JOBS.c.attempt), else_=JOBS.c.attempt - 1),
    error_kind=None,
    error_message=None,
    finished_at=None,
    flow_run_id=None,
    batch_run_id=None,
    run_number=JOBS.c.run_number + 1,
    fence=JOBS.c.fence + 1,  # so that what its former run still publishes is late
    lost_runs=0,
    avoided_servers=[],
    servers_killed=0,
    **_UNLEASED,
)


@cache
def _renewal(stage: Stage | None, *, has_progress: bool, has_attempt: bool) -> ReturningUpdate[Any]:
    """Renews a lease and says how far the job is, if that is known and not to come yet."""
    changes: dict[str, Any] = {"lease_expires_at": FOR_SECONDS}  # values of any column
    is_to_come = JOBS.c.attempt != _ATTEMPT if has_attempt else false()
    if stage is not None:
        is_later = JOBS.c.stage.in_(stages_after(stage))
        changes["stage"] = case((or_(is_to_come, is_later), JOBS.c.stage), else_=stage)
    if has_progress:
        furthest = func.greatest(JOBS.c.progress, bindparam("to_progress", type_=Integer))
        changes["progress"] = case((is_to_come, JOBS.c.progress), else_=furthest)
    return change(_IS_PROCESSING, **changes)


# What is rendered for a request; None where it is the request as it is given.
Compose: TypeAlias = Callable[[GenerationRequest], Awaitable[Composition | None]]


@dataclass(frozen=True, slots=True)
class NewJob:
    """What the row of a job says from the beginning."""

    request: GenerationRequest
    workflow: str
    seed: int
    batch_run_id: UUID | None = None
    composition: Composition | None = None
    traceparent: str | None = None

    @property
    def is_one_statement(self) -> bool:
        """Whether nothing else is read or written to insert it."""
        return self.request.project is None and self.composition is None

    @classmethod
    def of(
        cls,
        job_id: UUID,
        request: GenerationRequest,
        batch_run_id: UUID | None = None,
        composition: Composition | None = None,
        traceparent: str | None = None,
    ) -> Self:
        """The row of a request, with a seed that follows from the id where none is given."""
        rendered = composition.request if composition else request
        seed = rendered.seed if rendered.seed is not None else seed_of(job_id)
        return cls(request, rendered.workflow_name, seed, batch_run_id, composition, traceparent)


class JobRepository(JobRows):
    """The jobs in one transaction."""

    async def create(
        self,
        job_id: UUID,
        request: GenerationRequest,
        *,
        workflow: str,
        seed: int,
        compose: Compose | None = None,
    ) -> JobSnapshot:
        """The job's row, written as `queued` unless it is there already.

        A new one is composed, if that is asked for.
        """
        known = (await self.among([job_id])).get(job_id)  # as most have been, when a run begins
        if known is not None:
            return known
        job = NewJob(request, workflow, seed)
        if compose is not None and (composition := await compose(request)) is not None:
            job = NewJob.of(job_id, request, composition=composition)
        return await self.insert(job_id, job) or await self.get(job_id)

    async def insert(self, job_id: UUID, job: NewJob) -> JobSnapshot | None:
        """The job, inserted as `queued`; None when its id is taken."""
        name = job.request.project
        project_id = (
            (await ProjectRepository(self._session).get_or_create(name)).id if name else None
        )
        given = _row(job_id, job, project_id)
        await self._name_shots([given])
        inserted = await self._session.execute(
            _INSERT, {f"new_{name}": value for name, value in given.items()}
        )
        row = inserted.one_or_none()
        if row is None:
            return None
        await self._note_warnings({job_id: job})
        return snapshot_of(row, None) if project_id is None else await self.get(job_id)

    async def create_all(self, jobs: Mapping[UUID, NewJob]) -> None:
        """Rows for those jobs that have none, written as `queued`."""
        projects = ProjectRepository(self._session)
        # In one order, however they are spelled: two batches that share some wait in turn.
        named = {job.request.project for job in jobs.values() if job.request.project}
        names = sorted(named, key=slug_of)
        ids = {name: (await projects.get_or_create(name)).id for name in names}
        rows = [
            _row(job_id, job, ids.get(job.request.project or "")) for job_id, job in jobs.items()
        ]
        if rows:
            await self._name_shots(rows)
            added = await insert_missing(self._session, ProductionJob, rows, returning="id")
            await TimelineRepository(self._session).add_to_all(
                dict.fromkeys(added, _SUBMITTED), TimelineKind.SUBMITTED
            )
            await self._note_warnings(jobs)

    async def _name_shots(self, rows: Sequence[dict[str, Any]]) -> None:  # by column
        """Write the codes of shots in the rows as the projects write them: as such they are found.

        The requests in them stay as they were given.
        """
        named = [row for row in rows if row["shot"] and row["project_id"]]
        if not named:
            return
        found = await self._session.execute(
            select(Shot.project_id, Shot.code_key, Shot.code).where(
                is_among(Shot.project_id, {row["project_id"] for row in named}),
                is_among(Shot.code_key, {code_key(row["shot"]) for row in named}),
            )
        )
        codes = {(project_id, key): code for project_id, key, code in found}
        for row in named:
            row["shot"] = codes.get((row["project_id"], code_key(row["shot"])), row["shot"])

    async def _note_warnings(self, jobs: Mapping[UUID, NewJob]) -> None:
        """Say in their timelines what of styles and characters is left out or unchecked."""
        said = {
            job_id: " ".join(job.composition.warnings)
            for job_id, job in jobs.items()
            if job.composition is not None and job.composition.warnings
        }
        await TimelineRepository(self._session).add_to_all(said, TimelineKind.DECISION)

    async def lease(
        self,
        job_id: UUID,
        owner: UUID,
        *,
        seconds: float,
        run_id: UUID | None = None,
        traceparent: str | None = None,
    ) -> Lease | None:
        """The job, for that owner alone for so many seconds; None when it has ended.

        Free, lapsed or the owner's own: the job is processing under a higher fence. A
        cancellation that no live run is left to confirm is settled here: None as well. `get`
        says how a job has ended. `run_id`: the run in Prefect that works on it now;
        `traceparent`: its span, which counts if the job was submitted without one.

        Raises:
            NotFound: there is no such job.
            LeaseLost: another live run holds it; the message says until when.
            JobCancelled: another live run is about to stop it.
        """
        job = await self._change(
            _LEASE,
            {
                "of_job": job_id,
                "to_owner": owner,
                "to_run": run_id,
                "to_traceparent": traceparent,
                **_lasting(seconds),
            },
        )
        if job is not None:
            verb = "began" if job.fence == 1 else "goes on with"
            await self._note(job_id, TimelineKind.RUN, f"Run {owner} {verb} it.")
            return lease_of(job, owner)
        if await self.settle_cancellation(job_id, owner):
            return None
        row = await self._row(job_id)
        if row.status.is_final:
            return None
        raise refusal(row)

    async def renew(
        self,
        lease: Lease,
        *,
        seconds: float,
        stage: Stage | None = None,
        progress: int | None = None,
        attempt: int | None = None,
    ) -> None:
        """Keep the job for so many seconds from now, and say how far it is.

        Progress (percent) and stage never go back within an attempt. Those of an attempt that
        has not begun yet are not recorded: until then the row shows the one before.

        Raises:
            LeaseLost: another run has taken the job, or it has ended.
            JobCancelled: somebody asked to stop; the lease stands until `cancelled`.
        """
        renewal = _renewal(
            stage, has_progress=progress is not None, has_attempt=attempt is not None
        )
        told = {"to_progress": progress, "to_attempt": attempt}
        values = {name: value for name, value in told.items() if value is not None}
        await self._while_processing(renewal, lease, **_lasting(seconds), **values)

    async def hold(self, lease: Lease, *, seconds: float) -> None:
        """Keep the job for so many seconds from now, even while somebody asks to stop it.

        Raises:
            LeaseLost: another run has taken the job, or it has ended.
        """
        if await self._change(_HOLD, values_of(lease) | _lasting(seconds)) is None:
            raise refusal(await self._row(lease.job_id))

    async def begin_attempt(
        self, lease: Lease, *, attempt: int, prompt_id: UUID, comfyui_url: str
    ) -> Lease:
        """The lease with that attempt, recorded before anything is submitted.

        A new attempt starts at 0 percent, about to be submitted. Raises as `renew` does.
        """
        job = await self._while_processing(
            _BEGIN_ATTEMPT, lease, to_attempt=attempt, to_prompt=prompt_id, to_server=comfyui_url
        )
        return lease_of(job, lease.owner)

    async def left_server(
        self, lease: Lease, server: str, *, avoids: bool, was_killed: bool
    ) -> None:
        """Record that an attempt at the job has failed at that server.

        `avoids`: this one is left out for the job from now on; `was_killed`: it died while it
        rendered it. Raises as `renew` does.
        """
        changes: dict[str, Any] = {  # values of any column
            "servers_killed": JOBS.c.servers_killed + int(was_killed)
        }
        if avoids:
            changes["avoided_servers"] = func.array_append(JOBS.c.avoided_servers, server)
        await self._while_processing(change(_IS_PROCESSING, **changes), lease)

    async def complete(self, lease: Lease, *, output_path: str) -> JobSnapshot:
        """The job, completed, even when a cancellation came too late to stop it.

        Raises:
            LeaseLost: another run has taken the job, or it has ended otherwise.
            JobCancelled: it is cancelled.
        """
        return await self._end(_COMPLETE, lease, JobStatus.COMPLETED, to_path=output_path)

    async def fail(self, lease: Lease, kind: FailureKind, message: str) -> JobSnapshot:
        """The job, failed in the stage it was in. Raises as `complete` does."""
        return await self._end(_FAIL, lease, JobStatus.FAILED, to_kind=kind, to_message=message)

    async def cancelled(self, lease: Lease) -> JobSnapshot:
        """The job, its stop confirmed. Raises LeaseLost as `complete` does."""
        return await self._end(_CANCEL, lease, JobStatus.CANCELLED)

    async def release(self, lease: Lease) -> None:
        """Let another run take the job at once. A lost lease is nothing to give back."""
        if await self._change(_RELEASE, values_of(lease)) is not None:
            await self._session.execute(select(func.pg_notify(NOTIFY_CHANNEL, MONITOR)))

    async def request_cancel(self, job_id: UUID) -> JobSnapshot:
        """The job, cancelled if no run has taken it yet, else about to be, or as it ended.

        Raises:
            NotFound: there is no such job.
        """
        if await self._change(_REQUEST_CANCEL, {"of_job": job_id}) is not None:
            await self._note(job_id, TimelineKind.PERSON, _CANCEL_ASKED)
        await self._session.execute(select(func.pg_notify(NOTIFY_CHANNEL, f"{STOP}{job_id}")))
        return await self.get(job_id)

    async def cancel_all(self, job_ids: Collection[UUID]) -> list[JobSnapshot]:
        """Those of the jobs that had not ended: cancelled, or about to be by their live runs.

        As `request_cancel` and `settle_cancellation` do it, in a few statements for all.
        """
        going = [*await self._session.scalars(_LOCK_OPEN, {"job_ids": list(job_ids)})]
        asked = (await self._session.execute(_REQUEST_ALL, {"job_ids": going})).all()
        settled = (await self._session.execute(_SETTLE_ALL, {"job_ids": going})).all()
        urls = {job.id: job.webhook_url for job in (*asked, *settled) if job.status.is_final}
        timelines = TimelineRepository(self._session)
        await timelines.add_to_all(
            dict.fromkeys([job.id for job in asked], _CANCEL_ASKED), TimelineKind.PERSON
        )
        await timelines.add_to_all(dict.fromkeys(urls, CANCELLED), TimelineKind.END)
        await self._tell_of(urls)
        await self._session.execute(_NOTIFY_ALL, {"job_ids": going})
        return [*(await self.among(going)).values()]

    async def requeue(self, job_id: UUID) -> bool:
        """Whether the job had failed and waits again now, as on its first day.

        Its attempts are counted anew, under numbers that no prompt has had; what an earlier
        attempt has finished is still found. The message about its former end is withdrawn, so
        that the new end is told.
        """
        if await self._change(_REQUEUE, {"of_job": job_id}) is None:
            return False
        await self._session.execute(delete(WebhookDelivery).where(WebhookDelivery.job_id == job_id))
        await self._note(job_id, TimelineKind.PERSON, "It was requeued.")
        return True

    async def recompose(self, job_id: UUID, compose: Compose) -> None:
        """Compose its request anew if that was refused: what was wrong may have been mended."""
        job = await self._row(job_id)
        if job.composition is None or not job.composition.get("refused"):
            return
        request = await self.request_of(job_id)
        new = NewJob.of(job_id, request, composition=await compose(request))
        row = _row(job_id, new, None)
        composed = {name: row[name] for name in ("workflow", "seed", "composition")}
        await self._change(change(IS_JOB, **composed), {"of_job": job_id})
        await self._note_warnings({job_id: new})

    async def fail_unleased(self, job_id: UUID, kind: FailureKind, message: str) -> JobSnapshot:
        """The job, failed although no run ever took it (or as it ended before).

        Raises:
            NotFound: there is no such job.
            LeaseLost: a live run holds it.
        """
        values = {"of_job": job_id, "to_kind": kind, "to_message": message}
        await self._change(_FAIL_UNLEASED, values)
        job = await self._row(job_id)
        if not job.status.is_final:
            raise refusal(job)
        return await self.get(job_id)

    async def settle_cancellation(self, job_id: UUID, owner: UUID | None = None) -> bool:
        """Whether a cancellation without a live run but the owner's was made final now."""
        values = {"of_job": job_id, "to_owner": owner}
        return await self._change(_SETTLE, values) is not None

    async def _while_processing(
        self, change: ReturningUpdate[Any], lease: Lease, **values: object
    ) -> Any:  # a row of JOBS
        job = await self._change(change, values_of(lease) | values)
        if job is None:
            raise refusal(await self._row(lease.job_id))
        return job

    async def _end(
        self, end: ReturningUpdate[Any], lease: Lease, then: JobStatus, **values: object
    ) -> JobSnapshot:
        if await self._change(end, values_of(lease) | values) is None:
            job = await self._row(lease.job_id)
            if (job.status, job.fence) != (then, lease.fence):  # else: our own, repeated
                raise refusal(job)
        return await self.get(lease.job_id)


def _lasting(seconds: float) -> dict[str, object]:
    """The value of FOR_SECONDS."""
    return {"for_seconds": timedelta(seconds=seconds)}


def _row(job_id: UUID, job: NewJob, project_id: UUID | None) -> dict[str, Any]:  # by column
    request = job.request
    names = (job.composition.request if job.composition else request).named_characters
    return {
        "id": job_id,
        "project_id": project_id,
        "character": next(iter(names), None),
        "characters": names if len(names) > 1 else None,
        "shot": request.shot,
        "type": request.type,
        "workflow": job.workflow,
        "prompt": request.prompt,
        "params": request.model_dump(mode="json"),
        "seed": job.seed,
        "flow_run_id": job.batch_run_id,
        "batch_run_id": job.batch_run_id,
        "composition": job.composition.model_dump(mode="json") if job.composition else None,
        "traceparent": job.traceparent,
    }

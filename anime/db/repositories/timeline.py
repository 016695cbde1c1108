"""The timelines of jobs: what happened to each of them, and why."""

from collections.abc import Mapping
from typing import cast
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    exists,
    insert,
    literal,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningInsert

from anime.core.timeline import TimelineKind
from anime.db.repositories.bulk import rows_of_arrays
from anime.db.server_models import JobEvent
from anime.schemas import TimelineEntry

MAX_ENTRIES = 200  # of one job; the oldest go first
_MAX_MESSAGE_CHARS = 1000

# Put together once, and without the ORM: that takes longer than what it does.
_EVENTS = cast("Table", JobEvent.__table__)
_JOB = bindparam("of_job", type_=Uuid)
_KEPT = select(_EVENTS.c.id).where(_EVENTS.c.job_id == _JOB).order_by(_EVENTS.c.id.desc())
_LAST_KEPT = _KEPT.offset(MAX_ENTRIES - 1).limit(1).scalar_subquery()
_SURPLUS = delete(_EVENTS).where(_EVENTS.c.job_id == _JOB, _EVENTS.c.id <= _LAST_KEPT)
_KIND = sql_cast(bindparam("new_kind", type_=_EVENTS.c.kind.type), Text)
_MESSAGE = sql_cast(bindparam("new_message", type_=Text), Text)
_LAST = (
    select(_EVENTS.c.kind, _EVENTS.c.message)
    .where(_EVENTS.c.job_id == _JOB)
    .order_by(_EVENTS.c.id.desc())
    .limit(1)
    .subquery()
)
_IS_REPEATED = exists().where(_LAST.c.kind == _KIND, _LAST.c.message == _MESSAGE)
_ADD = (
    insert(_EVENTS)
    .from_select(["job_id", "kind", "message"], select(_JOB, _KIND, _MESSAGE).where(~_IS_REPEATED))
    .returning(_EVENTS.c.id)
    .add_cte(_SURPLUS.cte("surplus"))
)
_NEW = rows_of_arrays("new", job_id=("of_jobs", Uuid), message=("new_messages", Text))
_ADD_ALL = insert(_EVENTS).from_select(
    ["job_id", "kind", "message"],
    select(_NEW.c.job_id, bindparam("new_kind", type_=_EVENTS.c.kind.type), _NEW.c.message),
)


def add_to_timelines(
    changed: CTE,
    job_id: ColumnElement[UUID],
    kind: TimelineKind,
    message: ColumnElement[str],
) -> ReturningInsert[tuple[UUID]]:
    """A statement that also changes rows, and appends an entry for each job that it has changed.

    It gives the jobs' ids. `changed` returns what `job_id` and `message` are made of.
    """
    entries = select(job_id, literal(kind, _EVENTS.c.kind.type), message).select_from(changed)
    columns = ["job_id", "kind", "message"]
    return insert(_EVENTS).from_select(columns, entries).returning(_EVENTS.c.job_id)


class TimelineRepository:
    """The timelines in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, job_id: UUID, kind: TimelineKind, message: str) -> bool:
        """Append an entry, in one statement; the job need not have a row.

        False for the very entry that is the last one: whoever did not hear the answer says it
        again.
        """
        entry = {"of_job": job_id, "new_kind": kind, "new_message": _text_of(message)}
        return await self._session.scalar(_ADD, entry) is not None

    async def add_to_all(self, messages: Mapping[UUID, str], kind: TimelineKind) -> None:
        """Append an entry to the timeline of each job, in one statement.

        The bound is kept by `add`, which every further run of a job comes through.
        """
        if messages:
            texts = [_text_of(message) for message in messages.values()]
            entries = {"of_jobs": [*messages], "new_kind": kind, "new_messages": texts}
            await self._session.execute(_ADD_ALL, entries)

    async def of_job(self, job_id: UUID) -> list[TimelineEntry]:
        """The job's timeline, the oldest entry first; empty for an unknown job."""
        rows = await self._session.execute(
            select(JobEvent.at, JobEvent.kind, JobEvent.message)
            .where(JobEvent.job_id == job_id)
            .order_by(JobEvent.id)
        )
        return [TimelineEntry(at=row.at, kind=row.kind, message=row.message) for row in rows]


def _text_of(message: str) -> str:
    """What PostgreSQL can hold of the message."""
    return message.replace("\x00", "")[:_MAX_MESSAGE_CHARS]

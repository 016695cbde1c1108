"""How a job stands, for its listeners: by its hash on Redis and its row in PostgreSQL."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, cast
from uuid import UUID

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from anime.core.event_sequence import EventSequence
from anime.core.job_status import JobStatus
from anime.db.repositories import FileRepository, JobRepository
from anime.db.session import Database
from anime.errors import DatabaseUnavailable, InvalidRequest, NotFound
from anime.progress.keys import job_hash, job_stream
from anime.progress.updates import event_in
from anime.schemas import FileRecord, GenerationRequest, JobSnapshot, ProgressEvent

_Entries: TypeAlias = list[tuple[str, dict[str, str]]]
Fields: TypeAlias = dict[str, str | int]

NUMBERS = ("progress", "seq", "attempt", "fence")  # of the fields of a hash; the rest is text
_OUTCOME = ("result", "error", "error_kind")


@dataclass(frozen=True, slots=True)
class ProgressSnapshot:
    """A job as it stands. `fields` is what clients get: the fields of the hash.

    `event` says the same in one event; None for a hash that another program has written in a
    way of its own. Its `seq` is 0 if only the database knows the job.
    """

    fields: Fields
    event: ProgressEvent | None
    is_published: bool = True

    @property
    def seq(self) -> int:
        """The number of the job's newest event."""
        return self.event.seq if self.event else 0

    @property
    def published_seq(self) -> int:
        """The number of the newest event that Redis has; 0 without any."""
        return int(self.fields.get("seq") or 0)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.event is not None and self.event.status.is_final

    @property
    def has_failed(self) -> bool:
        """Whether it has failed: only so it may come back."""
        return self.event is not None and self.event.status is JobStatus.FAILED


class SnapshotReader:
    """Reads both. Redis may be away; then PostgreSQL has to be there."""

    def __init__(self, redis: Redis | None, database: Database) -> None:
        self._redis = redis
        self._database = database

    async def snapshot(self, job_id: UUID) -> ProgressSnapshot:
        """The job as it stands.

        The hash says it first. How the job ended, how far it came or that it was requeued while
        Redis was away and nobody could publish it, only the row knows.

        Raises:
            NotFound: neither knows it.
            DatabaseUnavailable: Redis does not know it, and PostgreSQL does not answer.
        """
        published = await self._published(job_id)
        if published is not None and published.is_final and not published.has_failed:
            return published
        try:
            recorded = await self._recorded(job_id)
        except (NotFound, DatabaseUnavailable):
            if published is None:
                raise
            return published
        if published is None or published.event is None:
            return recorded
        if published.has_failed and recorded.has_failed:
            return published
        if published.has_failed or recorded.is_final:
            kept = {name: said for name, said in published.fields.items() if name not in _OUTCOME}
            fields = kept | recorded.fields | {"seq": published.seq}
            return ProgressSnapshot(fields, recorded.event, is_published=False)
        return _not_behind(published, published.event, recorded)

    async def events_after(self, job_id: UUID, seq: int) -> list[ProgressEvent]:
        """The job's events after that number, as far as Redis has them; empty without Redis."""
        if self._redis is None:
            return []
        try:
            entries = await self._redis.xrange(job_stream(job_id), min=f"{seq + 1}-0")
        except (RedisError, OSError, TimeoutError):
            return []
        return _events_in(entries)

    async def newest_event(self, job_id: UUID) -> list[ProgressEvent]:
        """The job's last event, if Redis has one."""
        if self._redis is None:
            return []
        try:
            return _events_in(await self._redis.xrevrange(job_stream(job_id), count=1))
        except (RedisError, OSError, TimeoutError):
            return []

    async def published_events(self, job_ids: Sequence[UUID]) -> dict[UUID, ProgressEvent]:
        """How far each of the jobs is, as far as Redis has it; empty without Redis."""
        if self._redis is None or not job_ids:
            return {}
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for job_id in job_ids:
                    pipeline.hgetall(job_hash(job_id))
                hashes = await pipeline.execute()
        except (RedisError, OSError, TimeoutError):
            return {}
        found = zip(job_ids, hashes, strict=True)
        events = {job_id: _snapshot_of_hash(job_id, fields).event for job_id, fields in found}
        return {job_id: event for job_id, event in events.items() if event is not None}

    async def recorded_events(self, job_ids: Collection[UUID]) -> list[ProgressEvent]:
        """The jobs' progress by their rows, as events without a number."""
        async with self._database.session_scope() as session:
            jobs = await JobRepository(session).among(job_ids)
            files = await FileRepository(session).of_jobs(
                [job.id for job in jobs.values() if job.status.is_final]
            )
        return [_event_of_row(job, files.get(job.id, ())) for job in jobs.values()]

    async def _published(self, job_id: UUID) -> ProgressSnapshot | None:
        if self._redis is None:
            return None
        try:
            fields = await self._redis.hgetall(job_hash(job_id))
        except (RedisError, OSError, TimeoutError):
            return None
        # redis-py types its answers for every protocol at once
        return _snapshot_of_hash(job_id, cast("dict[str, str]", fields)) if fields else None

    async def _recorded(self, job_id: UUID) -> ProgressSnapshot:
        async with self._database.session_scope() as session:
            jobs = JobRepository(session)
            job = await jobs.get(job_id)
            try:
                request = await jobs.request_of(job_id)
            except InvalidRequest:  # of a version that knew other fields: the rest still counts
                request = None
            files = await FileRepository(session).of_job(job_id) if job.status.is_final else []
        event = _event_of_row(job, files)
        return ProgressSnapshot(_fields_of_row(job, request, event), event, is_published=False)


def _not_behind(
    published: ProgressSnapshot, event: ProgressEvent, recorded: ProgressSnapshot
) -> ProgressSnapshot:
    """What is published, with the row's progress and stage where those are further."""
    if recorded.event is None:
        return published
    furthest = EventSequence().after(recorded.event).in_order(event)
    if furthest is event:
        return published
    further: Fields = {"progress": furthest.progress, "stage": furthest.stage or ""}
    return ProgressSnapshot(published.fields | further, furthest)


def _events_in(entries: object) -> list[ProgressEvent]:
    # redis-py types its answers for every protocol at once
    texts = [fields.get("event", "") for _, fields in cast("_Entries", entries)]
    return [event for text in texts if (event := event_in(text))]


def _snapshot_of_hash(job_id: UUID, fields: Mapping[str, str]) -> ProgressSnapshot:
    numbers = {name: int(fields[name]) for name in NUMBERS if fields.get(name, "").isdecimal()}
    known = {name: fields[name] for name in ("status", *NUMBERS) if name in fields}
    try:
        event = ProgressEvent.model_validate(
            {
                **known,
                "job_id": job_id,
                "stage": fields.get("stage") or None,
                "message": fields.get("message", ""),
                "timestamp": fields.get("updated_at") or fields.get("created_at"),
                "error": fields.get("error"),
            }
        )
    except ValidationError:
        event = None
    return ProgressSnapshot({**fields, **numbers}, event)


def _event_of_row(job: JobSnapshot, files: Collection[FileRecord]) -> ProgressEvent:
    return ProgressEvent.of(job, result=[file.file_path for file in files] or None)


def _fields_of_row(
    job: JobSnapshot, request: GenerationRequest | None, event: ProgressEvent
) -> Fields:
    """The row as the fields of a hash."""
    fields: Fields = {
        "id": str(job.id),
        "project_id": job.project or "",
        "type": str(job.type),
        "params": request.model_dump_json(exclude_none=True) if request else "{}",
        "status": str(job.status),
        "progress": job.progress,
        "stage": str(job.stage or ""),
        "message": "",
        "attempt": event.attempt,
        "fence": event.fence,
        "seq": 0,
        "created_at": _utc(job.created_at),
        "updated_at": _utc(job.updated_at),
    }
    if event.result is not None:
        fields["result"] = json.dumps(event.result)
    if job.error is not None:
        fields |= {"error": job.error, "error_kind": str(job.error_kind or "")}
    return fields


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()

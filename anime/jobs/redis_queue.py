"""Jobs that other programs put into Redis: read at least once, and inserted exactly once.

An id moves from the queue into `anime:job:processing` and leaves it when its job is inserted.
Whatever stays there, of this consumer or of one that died, is submitted again: the same id is
the same job. So two consumers at a time do no harm either, nor does submitting what another one
is about to submit.
"""

import json
import logging
import time
from datetime import UTC, datetime
from math import ceil
from typing import cast
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from anime.core.job_status import FailureKind, JobStatus
from anime.db.repositories import JobRepository, ProjectRepository
from anime.errors import AnimeError, InvalidRequest, StorageUnavailable, is_retryable
from anime.jobs.redis_entry import job_id_of, project_id_of, request_of
from anime.jobs.service import JobService
from anime.progress.keys import DEAD_LETTERS, MAX_DEAD_LETTERS, PROCESSING, QUEUE, job_hash
from anime.progress.redis_connection import redis_at
from anime.retry_policies import REDIS_QUEUE
from anime.schemas import ProgressEvent

RECOVERY_SECONDS = 8.0  # between two checks for what dead consumers left, under any load
ANSWER_SECONDS = 5.0

# In one step, so that of two consumers one moves it: the other finds nothing to remove.
_MOVE_TO_DEAD_LETTERS = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, ARGV[3] - 1)
return 1
"""

_log = logging.getLogger(__name__)


class RedisQueueConsumer:
    """The consumer of the queue."""

    def __init__(self, redis_url: str, service: JobService) -> None:
        self._url = redis_url
        self._service = service

    async def consume(self) -> None:
        """Submit what comes, until cancelled; Redis and PostgreSQL may be away meanwhile."""
        is_failing = False
        while True:
            try:
                async with _connect(self._url) as redis:
                    await redis.ping()
                    is_failing = False
                    await self._consume(redis)
            except (RedisError, OSError) as fault:
                if not is_failing:
                    _log.warning("Redis gives no jobs for now: %s", fault)
                is_failing = True
                await REDIS_QUEUE.wait()

    async def _consume(self, redis: Redis) -> None:
        while True:
            left = await redis.lrange(PROCESSING, 0, -1)
            for entry in reversed(cast("list[str]", left)):  # redis-py types every protocol
                await self.submit_entry(redis, entry)
            await self._submit_until(redis, time.monotonic() + RECOVERY_SECONDS)

    async def _submit_until(self, redis: Redis, end: float) -> None:
        """Submit what comes, the oldest first; each id is moved into `processing` before."""
        while (seconds := end - time.monotonic()) > 0:
            moved = await redis.blmove(QUEUE, PROCESSING, ceil(seconds), "RIGHT", "LEFT")
            if moved is not None:
                await self.submit_entry(redis, cast("str", moved))

    async def submit_entry(self, redis: Redis, entry: str) -> None:
        """Submit the entry's job, or move the entry to the dead letters; wait until one works."""
        try:
            await self._submit_when_possible(redis, entry)
        except AnimeError as fault:
            await self._move_to_dead_letters(redis, entry, fault)
        except (RedisError, OSError):
            raise  # the entry stays where it is
        except Exception as bug:  # noqa: BLE001  one odd entry must not hold up all others
            _log.exception("Unexpected error with entry %.64r of the queue", entry)
            error = AnimeError(f"Unexpected {type(bug).__name__}.", "See the log of the API.")
            await self._move_to_dead_letters(redis, entry, error)
        else:
            await redis.lrem(PROCESSING, 1, entry)

    async def _submit_when_possible(self, redis: Redis, entry: str) -> None:
        def may_come_off(fault: Exception) -> bool:
            return is_retryable(fault) or isinstance(fault, StorageUnavailable)

        await REDIS_QUEUE.call(lambda: self._submit(redis, entry), retry_on=may_come_off)

    async def _submit(self, redis: Redis, entry: str) -> None:
        job_id = job_id_of(entry)
        try:
            fields = cast("dict[str, str]", await redis.hgetall(job_hash(job_id)))
        except ResponseError as fault:
            raise InvalidRequest(
                f"{job_hash(job_id)} is no hash.", "Write it anew and push the id again."
            ) from fault
        request = request_of(fields, await self._project_of(fields))
        await self._service.submit(request, job_id=job_id)

    async def _project_of(self, fields: dict[str, str]) -> str | None:
        project = project_id_of(fields)
        if not isinstance(project, UUID):
            return project
        async with self._service.database.session_scope() as session:
            name = await ProjectRepository(session).name_of(project)
        if name is None:
            raise InvalidRequest(
                f"There is no project {project}.", "Create it, or give its name as project_id."
            )
        return name

    async def _move_to_dead_letters(self, redis: Redis, entry: str, fault: AnimeError) -> None:
        """Move the entry to the dead letters with the reason, and publish it unless it is a job."""
        _log.warning("Entry %.64r of the queue cannot become a job: %s", entry, fault)
        await self._mark_failed(entry, fault)
        now = datetime.now(UTC).isoformat()
        letter = json.dumps({"id": entry, "reason": str(fault), "at": now})
        await redis.eval(
            _MOVE_TO_DEAD_LETTERS, 2, PROCESSING, DEAD_LETTERS, entry, letter, MAX_DEAD_LETTERS
        )

    async def _is_job(self, job_id: UUID) -> bool:
        async with self._service.database.session_scope() as session:
            return bool(await JobRepository(session).statuses([job_id]))

    async def _mark_failed(self, entry: str, fault: AnimeError) -> None:
        try:
            job_id = job_id_of(entry)
        except InvalidRequest:
            return  # no key of ours has such a name
        if await REDIS_QUEUE.call(lambda: self._is_job(job_id)):
            return  # its hash says how it is
        await self._service.publisher.publish(
            ProgressEvent(
                job_id=job_id,
                status=JobStatus.FAILED,
                progress=0,
                message=fault.what,
                timestamp=datetime.now(UTC),
                error_kind=FailureKind.INVALID_WORKFLOW,
                error=str(fault),
            )
        )


def _connect(url: str) -> Redis:
    return redis_at(
        url,
        protocol=2,  # one shape of answers from every server
        decode_responses=True,
        encoding_errors="surrogateescape",  # so that an id of any bytes can be removed again
        socket_connect_timeout=ANSWER_SECONDS,
        socket_timeout=RECOVERY_SECONDS + 1 + ANSWER_SECONDS,  # it waits for whole seconds
    )

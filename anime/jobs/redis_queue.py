"""Jobs that other programs put into Redis: taken at least once, and made exactly once.

An id moves from the queue into `anime:job:processing` and leaves it when its job is written
down. Whatever stays there, of this consumer or of one that died, is taken on again: the same
id is the same job. So two consumers at a time do no harm either, and what another one is about
to write down may be taken as well.
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
from anime.db.repositories import ProjectRepository
from anime.errors import AnimeError, InvalidRequest, KeyReused
from anime.jobs.redis_entry import job_id_of, project_id_of, request_of
from anime.jobs.service import JobService
from anime.progress.keys import DEAD_LETTERS, MAX_DEAD_LETTERS, PROCESSING, QUEUE, job_hash
from anime.retry_policies import REDIS_QUEUE
from anime.schemas import ProgressEvent

LOOK_SECONDS = 8.0  # between looks for what dead consumers left, however much is in the queue
ANSWER_SECONDS = 5.0

# In one step, so that of two consumers one buries it: the other finds nothing to remove.
_BURY = """
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
        """Take what comes, until cancelled; Redis and PostgreSQL may come and go."""
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
            await self._submit_until(redis, time.monotonic() + LOOK_SECONDS)

    async def _submit_until(self, redis: Redis, end: float) -> None:
        """Submit what comes, each id in `processing` first; the longest in the queue begins."""
        while (seconds := end - time.monotonic()) > 0:
            moved = await redis.blmove(QUEUE, PROCESSING, ceil(seconds), "RIGHT", "LEFT")
            if moved is not None:
                await self.submit_entry(redis, cast("str", moved))

    async def submit_entry(self, redis: Redis, entry: str) -> None:
        """Make the entry a job or bury it; while that cannot be, wait."""
        try:
            await self._submit_when_possible(redis, entry)
        except AnimeError as fault:
            await self._move_to_dead_letters(redis, entry, fault)
        except (RedisError, OSError):
            raise  # it stays where it is
        except Exception as bug:  # noqa: BLE001  one odd entry must not hold up all others
            _log.exception("Unexpected error with entry %.64r of the queue", entry)
            surprise = AnimeError(f"Unexpected {type(bug).__name__}.", "See the log of the API.")
            await self._move_to_dead_letters(redis, entry, surprise)
        else:
            await redis.lrem(PROCESSING, 1, entry)

    async def _submit_when_possible(self, redis: Redis, entry: str) -> None:
        await REDIS_QUEUE.call(lambda: self._submit(redis, entry))

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
        """Put the entry among the dead with the reason, and say so to who watches it."""
        _log.warning("Entry %.64r of the queue cannot become a job: %s", entry, fault)
        if not isinstance(fault, KeyReused):  # its hash is that of a healthy job
            await self._mark_failed(entry, fault)
        now = datetime.now(UTC).isoformat()
        words = json.dumps({"id": entry, "reason": str(fault), "at": now})
        await redis.eval(_BURY, 2, PROCESSING, DEAD_LETTERS, entry, words, MAX_DEAD_LETTERS)

    async def _mark_failed(self, entry: str, fault: AnimeError) -> None:
        try:
            job_id = job_id_of(entry)
        except InvalidRequest:
            return  # nothing of ours has such a name
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
    return Redis.from_url(
        url,
        protocol=2,  # one shape of answers from every server
        decode_responses=True,
        encoding_errors="surrogateescape",  # an id of any bytes is found again to be removed
        socket_connect_timeout=ANSWER_SECONDS,
        socket_timeout=LOOK_SECONDS + 1 + ANSWER_SECONDS,  # whole seconds are waited for
    )

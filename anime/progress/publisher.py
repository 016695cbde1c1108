"""The Redis side of progress: publishing what happens to a job, and following it.

Redis only notifies. It never fails or holds up whoever publishes, and whoever follows gets
full snapshots, so that a lost one does no harm. PostgreSQL says what is true.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Self, TypeAlias, TypeVar, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from anime.core.job_status import Stage
from anime.core.shots import ShotEvent
from anime.core.work_queues import WorkQueue
from anime.errors import reason_of
from anime.progress.keys import (
    JOB_TTL_SECONDS,
    PREVIEWS_CHANNEL,
    SHOTS_CHANNEL,
    STREAM_MAX_EVENTS,
    UPDATES_CHANNEL,
    job_hash,
    job_stream,
    preview_request_key,
    worker_channel,
)
from anime.progress.redis_connection import connect_redis
from anime.retry_policies import REDIS_PUBLISHING, REDIS_STREAM
from anime.schemas import GenerationRequest, JobSnapshot, Preview, ProgressEvent

T = TypeVar("T")
_Entries: TypeAlias = list[tuple[str, dict[str, str]]]
_Streams: TypeAlias = list[tuple[str, _Entries]]

_log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 1.0
LAST_EVENT_SECONDS = 5.0  # for a job's last event: whoever listens waits for it
BLOCK_SECONDS = 5.0  # how long one read waits for events; below every idle time-out on the way

# One script, one round trip, nothing in between: two publishers of one job (who accepts it and
# who runs it) can neither share a number nor overtake each other. Entries of the stream have
# the id `seq-0`, so "what came after n" is one range read. What is final stays final, and
# what is being stopped does not go on. Only a failed job can come back: a requeue, and each lease,
# has a higher fence, whose first event that arrives begins the job anew. Within an attempt progress
# and stage never go back, and events of an earlier attempt or lease are dropped: a second run of a
# job begins from the beginning, and the first may not know yet that it has lost the job. A fence
# of 0 is not known. In the event's JSON both fields stand before any text of ours, where quotation
# marks are escaped.
_PUBLISH = """
local hash, stream = KEYS[1], KEYS[2]
local channel, lifetime, max_events, event, first_only, once =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == 'first', tonumber(ARGV[6])
local new = {}
for i = 7 + 2 * once, #ARGV, 2 do new[ARGV[i]] = ARGV[i + 1] end
local is_processing, is_queued = new['status'] == 'processing', new['status'] == 'queued'
local ends = new['status'] == 'completed' or new['status'] == 'cancelled'
local old = redis.call('HMGET', hash, 'status', 'attempt', 'progress', 'stage', 'fence')
local status, before, attempt = old[1], tonumber(old[2]), tonumber(new['attempt'])
local known, fence = tonumber(old[5]) or 0, tonumber(new['fence'])
local is_later, had_failed = fence > known, status == 'failed'
if status == 'completed' or status == 'cancelled' or had_failed and not is_later then return 0 end
if fence > 0 and fence < known and not ends then return 0 end
if is_processing and not is_later and (status == 'cancelling' or before and attempt < before) then
  return 0
end
for i = 7, 6 + 2 * once, 2 do redis.call('HSETNX', hash, ARGV[i], ARGV[i + 1]) end
local begins_anew = had_failed or is_queued and is_later
if first_only and not begins_anew and redis.call('HEXISTS', hash, 'seq') == 1 then return 0 end
local function rank(stage) return string.find(' STAGES', stage, 1, true) or 0 end
if attempt == before and not begins_anew then
  if tonumber(new['progress']) < (tonumber(old[3]) or 0) then
    new['progress'] = old[3]
    event = string.gsub(event, '"progress":%d+', '"progress":' .. old[3], 1)
  end
  local stage = old[4] or ''
  if is_processing and rank(stage) > rank(new['stage']) then
    new['stage'] = stage
    event = string.gsub(event, '"stage":[^,]+', '"stage":"' .. stage .. '"', 1)
  end
end
local seq = redis.call('HINCRBY', hash, 'seq', 1)
if seq == 1 or begins_anew then redis.call('DEL', stream) end
event = '{"seq":' .. seq .. ',' .. string.sub(event, 2)
new['fence'] = math.max(fence, known)
redis.call('HDEL', hash, 'result', 'error', 'error_kind')
for name, value in pairs(new) do redis.call('HSET', hash, name, value) end
redis.call('XADD', stream, 'MAXLEN', '~', max_events, seq .. '-0', 'event', event)
redis.call('EXPIRE', hash, lifetime)
redis.call('EXPIRE', stream, lifetime)
redis.call('PUBLISH', channel, event)
return seq
""".replace("STAGES", " ".join(Stage))


class ProgressPublisher:
    """Publishes events and previews. Never raises, and never waits long for Redis.

    Without a URL it does nothing.
    """

    def __init__(self, redis_url: str | None) -> None:
        self._redis = (
            connect_redis(redis_url, read_seconds=LAST_EVENT_SECONDS) if redis_url else None
        )
        self._script = self._redis.register_script(_PUBLISH) if self._redis else None
        self._paused_until = 0.0
        self._is_failing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        if self._redis is not None:
            await self._redis.aclose()

    async def publish(self, event: ProgressEvent) -> None:
        """Number the event, keep it as the job's latest snapshot, and send it to listeners."""
        await self._send(event, once={"created_at": event.timestamp.isoformat()})

    async def announce(self, job: JobSnapshot, request: GenerationRequest) -> None:
        """Store what the job is and publish its first event, unless a run has begun it.

        A job that had failed and waits again has a first event once more.
        """
        event = ProgressEvent.of(job, "Waiting for a worker")
        await self._send(event, once=_identity(job, request), first_only=True)

    async def is_preview_requested(self, job_id: UUID) -> bool:
        """Whether somebody wants previews of the job, or of all jobs, now."""
        keys = preview_request_key(job_id), preview_request_key(None)
        if self._redis is not None and time.monotonic() >= self._paused_until:
            with suppress(RedisError, OSError, TimeoutError):
                return bool(await _in_own_task(_count(self._redis, *keys), TIMEOUT_SECONDS))
        return False

    async def publish_preview(self, preview: Preview) -> None:
        """Send the picture to those who watch now; it is stored nowhere."""
        if self._redis is not None and time.monotonic() >= self._paused_until:
            with suppress(RedisError, OSError, TimeoutError):
                await _in_own_task(_publish_picture(self._redis, preview), TIMEOUT_SECONDS)

    async def publish_shots(self, events: Sequence[ShotEvent]) -> None:
        """Tell those who watch now how far the shots are; it is stored nowhere."""
        if self._redis is not None and time.monotonic() >= self._paused_until:
            with suppress(RedisError, OSError, TimeoutError):
                await _in_own_task(_publish_shots(self._redis, events), TIMEOUT_SECONDS)

    async def notify_worker(self, work_pool: str, queue: WorkQueue) -> None:
        """Notify the pool's workers of a new run; they would poll within seconds anyway."""
        if self._redis is not None and time.monotonic() >= self._paused_until:
            with suppress(RedisError, OSError, TimeoutError):
                await _in_own_task(_notify(self._redis, work_pool, queue), TIMEOUT_SECONDS)

    async def _send(
        self, event: ProgressEvent, *, once: Mapping[str, str], first_only: bool = False
    ) -> None:
        is_last = event.status.is_final
        if self._script is None or (not is_last and time.monotonic() < self._paused_until):
            return
        try:
            sending = _run_script(self._script, event, once=once, first_only=first_only)
            await _in_own_task(sending, LAST_EVENT_SECONDS if is_last else TIMEOUT_SECONDS)
        except (RedisError, OSError, TimeoutError) as fault:
            self._paused_until = time.monotonic() + REDIS_PUBLISHING.delay()
            if not self._is_failing:
                _log.warning(
                    "Redis does not accept progress, the work goes on without: %s", reason_of(fault)
                )
            self._is_failing = True
        else:
            if self._is_failing:
                _log.info("Redis accepts progress again")
            self._is_failing = False


async def forget_jobs(redis_url: str, job_ids: Sequence[UUID]) -> str | None:
    """Let Redis forget what was published of the jobs; why it could not, if so.

    A hash without a number stays: another program has written it to enqueue the job.
    """
    try:
        async with connect_redis(redis_url, read_seconds=LAST_EVENT_SECONDS) as redis:
            asking = redis.pipeline(transaction=False)
            for job_id in job_ids:
                asking.hexists(job_hash(job_id), "seq")
            were_published = zip(job_ids, await asking.execute(), strict=True)
            published = [job_id for job_id, was_published in were_published if was_published]
            if published:
                keys = ((job_hash(job_id), job_stream(job_id)) for job_id in published)
                await redis.delete(*chain.from_iterable(keys))
    except (RedisError, OSError, TimeoutError) as fault:
        return reason_of(fault)
    return None


async def follow_job(
    redis_url: str, job_id: UUID, *, after_seq: int | None = None
) -> AsyncGenerator[ProgressEvent, None]:
    """The job's latest snapshot, then each event as it comes, up to the terminal one.

    With `after_seq`, every event after that one instead, as far as Redis keeps them. Reading
    and waiting are the same command on the job's stream: no event is lost in between, and none
    comes twice. While Redis is away this waits for it.
    """
    last = after_seq
    async with connect_redis(redis_url, read_seconds=TIMEOUT_SECONDS + BLOCK_SECONDS) as redis:
        while True:
            try:
                events = await _in_own_task(_next_events(redis, job_stream(job_id), last))
            except (RedisError, OSError, TimeoutError) as fault:
                _log.debug("Redis does not answer: %s", reason_of(fault))
                await REDIS_STREAM.wait()
                continue
            for event in events:
                if last is None or event.seq != last:
                    yield event
                if event.status.is_final:
                    return
                last = event.seq


async def _next_events(redis: Redis, stream: str, last: int | None) -> list[ProgressEvent]:
    """The events after event `last`; without one, the newest event.

    The newest also comes when nothing followed for a while: perhaps `last` was the end of the
    job, or Redis has lost its data and counts from one again.
    """
    events = await _wait_for_events(redis, stream, last) if last is not None else []
    if events:
        return events
    entries = cast(
        "_Entries", await redis.xrevrange(stream, count=1)
    )  # redis-py types every protocol
    newest = [_event_of(fields) for _, fields in entries]
    if last is None:
        return newest or await _wait_for_events(redis, stream, 0)
    return [event for event in newest if event.seq <= last]


async def _wait_for_events(redis: Redis, stream: str, last: int) -> list[ProgressEvent]:
    reply = await redis.xread({stream: f"{last}-0"}, block=int(BLOCK_SECONDS * 1000))
    streams = cast("_Streams", reply or [])  # redis-py types every protocol
    return [_event_of(fields) for _, entries in streams for _, fields in entries]


async def _in_own_task(work: Coroutine[None, None, T], timeout_seconds: float | None = None) -> T:
    """The result of the work, done in a task of its own.

    redis-py waits with `asyncio.wait_for`, which up to Python 3.11 can swallow a cancellation.
    It must not swallow that of a generation, nor of our time-out.
    https://github.com/python/cpython/issues/86296

    Raises:
        TimeoutError: it took longer.
    """
    task = asyncio.ensure_future(work)
    # Retrieved here, as perhaps nobody else does.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        done, _ = await asyncio.wait([task], timeout=timeout_seconds)
        if not done:
            raise TimeoutError(f"no answer within {timeout_seconds:g} s")
        return task.result()
    finally:
        task.cancel()


async def _notify(redis: Redis, work_pool: str, queue: WorkQueue) -> None:
    await redis.publish(worker_channel(work_pool), queue)


async def _count(redis: Redis, *keys: str) -> int:
    return int(await redis.exists(*keys))


async def _publish_picture(redis: Redis, preview: Preview) -> None:
    await redis.publish(PREVIEWS_CHANNEL, preview.model_dump_json())


async def _publish_shots(redis: Redis, events: Sequence[ShotEvent]) -> None:
    async with redis.pipeline(transaction=False) as pipeline:
        for event in events:
            pipeline.publish(SHOTS_CHANNEL, event.model_dump_json())
        await pipeline.execute()


async def _run_script(
    script: AsyncScript, event: ProgressEvent, *, once: Mapping[str, str], first_only: bool
) -> None:
    fields = _snapshot(event)
    await script(
        keys=[job_hash(event.job_id), job_stream(event.job_id)],
        args=[
            UPDATES_CHANNEL,
            JOB_TTL_SECONDS,
            STREAM_MAX_EVENTS,
            event.model_dump_json(exclude={"seq"}),
            "first" if first_only else "any",
            len(once),
            *(part for field in once.items() for part in field),
            *(part for field in fields.items() for part in field),
        ],
    )


def _identity(job: JobSnapshot, request: GenerationRequest) -> dict[str, str]:
    """The fields of the hash that say what the job is. They never change."""
    return {
        "project_id": job.project or "",
        "type": job.type,
        "params": request.model_dump_json(exclude_none=True, exclude={"webhook_url"}),
        "created_at": job.created_at.isoformat(),
    }


def _snapshot(event: ProgressEvent) -> dict[str, str]:
    """The fields of the hash that change with each event."""
    fields = {
        "id": str(event.job_id),
        "status": str(event.status),
        "progress": str(event.progress),
        "stage": event.stage or "",
        "message": event.message,
        "updated_at": event.timestamp.isoformat(),
        "attempt": str(event.attempt),
        "fence": str(event.fence),
    }
    if event.result is not None:
        fields["result"] = json.dumps(event.result)
    if event.error is not None:
        fields["error"] = event.error
    if event.error_kind is not None:
        fields["error_kind"] = str(event.error_kind)
    return fields


def _event_of(fields: Mapping[str, str]) -> ProgressEvent:
    return ProgressEvent.model_validate_json(fields["event"])

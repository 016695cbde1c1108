"""Jobs that other programs put into Redis, with three commands and no library of ours."""

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository, ProjectRepository
from anime.db.session import Database
from anime.errors import DatabaseUnavailable, StorageTimedOut
from anime.jobs import redis_queue
from anime.jobs.background import background_work
from anime.retry_policies import RetryPolicy
from tests.integration.job_service import Office, open_office
from tests.integration.prefect_peer import AUTH, PrefectPeer, running_prefect_peer
from tests.support.forks import fork_with_pipes
from tests.support.jobs import shipped_as_mine
from tests.support.waiting import HUNG_SECONDS

PARAMS = {
    "prompt": "a fox in the rain",
    "negative_prompt": "blurry",
    "model": None,
    "width": 512,
    "height": 512,
    "steps": 4,
    "cfg": 7.0,
    "seed": 42,
}
QUEUE, PROCESSING, DEAD_LETTERS = "anime:job:queue", "anime:job:processing", "anime:job:dead"


@pytest_asyncio.fixture
async def prefect() -> AsyncIterator[PrefectPeer]:
    async with running_prefect_peer() as peer:
        yield peer


@pytest_asyncio.fixture
async def office(
    database_url: str, redis_url: str, prefect: PrefectPeer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    soon = RetryPolicy(first_seconds=0.05, longest_seconds=0.05)
    monkeypatch.setattr(redis_queue, "REDIS_QUEUE", soon)
    async with open_office(database_url, redis_url, prefect) as office:
        yield office


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, decode_responses=True, protocol=2) as redis:
        yield redis
        await redis.delete(QUEUE, PROCESSING, DEAD_LETTERS)


@asynccontextmanager
async def consuming(office: Office) -> AsyncIterator[None]:
    async with background_work(office.service, takes_redis_queue=True):
        yield


async def enqueue(redis: Redis, entry: str | None = None, **fields: Any) -> str:  # of the hash
    """What an old program does. Returns the id."""
    entry = entry or str(uuid4())
    old = {"status": "queued", "type": "image", "project_id": "", "params": json.dumps(PARAMS)}
    await redis.hset(f"anime:job:{entry}", mapping=old | fields)
    await redis.lpush(QUEUE, entry)
    return entry


async def until_empty(redis: Redis) -> None:
    async with asyncio.timeout(HUNG_SECONDS):
        while await redis.llen(QUEUE) or await redis.llen(PROCESSING):
            await asyncio.sleep(0.02)  # a list gives no sign when it becomes empty


async def test_an_old_entry_becomes_one_job_with_its_run_and_its_hash(
    office: Office, redis: Redis, prefect: PrefectPeer
) -> None:
    async with consuming(office):
        entry = await enqueue(redis)
        await until_empty(redis)
        await prefect.until_runs(1)
    job = await office.job(UUID(entry))
    assert (job.status, job.prompt, job.seed) == (JobStatus.QUEUED, PARAMS["prompt"], 42)
    assert list(prefect.runs) == [entry]
    hash_ = await redis.hgetall(f"anime:job:{entry}")
    assert hash_.keys() >= {"id", "project_id", "type", "params", "status", "progress"}
    assert (hash_["status"], hash_["progress"], json.loads(hash_["params"])) == (
        "queued",
        "0",
        PARAMS,
    )


async def test_entries_are_taken_in_the_order_in_which_they_came(
    office: Office, redis: Redis
) -> None:
    entries = [await enqueue(redis) for _ in range(5)]
    async with consuming(office):
        await until_empty(redis)
    assert [str(job.id) for job in reversed(await office.jobs())] == entries


async def test_what_a_dead_consumer_left_is_taken_on_and_twice_makes_no_second_job(
    office: Office, redis: Redis, prefect: PrefectPeer
) -> None:
    taken, written = await enqueue(redis), await enqueue(redis)
    for _ in range(2):
        await redis.lmove(QUEUE, PROCESSING, "RIGHT", "LEFT")
    await redis_queue.RedisQueueConsumer("", office.service)._submit(
        redis, written
    )  # and then it died
    async with consuming(office):
        await until_empty(redis)
        await prefect.until_runs(2)
    assert {str(job.id) for job in await office.jobs()} == {taken, written} == set(prefect.runs)
    assert await redis.llen(DEAD_LETTERS) == 0


async def test_what_a_dead_consumer_left_is_taken_on_while_the_queue_is_never_empty(
    office: Office, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_queue, "RECOVERY_SECONDS", 0.2)

    is_done = asyncio.Event()  # a cancellation could be swallowed by redis-py

    async def feed() -> None:
        while not is_done.is_set():
            if await redis.llen(QUEUE) < 5:
                await enqueue(redis)
            await asyncio.sleep(0.005)  # a list gives no sign when it becomes short

    async with consuming(office):
        await enqueue(redis)
        await until_empty(redis)  # the consumer has looked at what was left when it began
        for _ in range(5):
            await enqueue(redis)
        feeding = asyncio.create_task(feed())
        try:
            left = await enqueue(redis)
            await redis.lrem(QUEUE, 1, left)
            await redis.lpush(PROCESSING, left)
            async with asyncio.timeout(HUNG_SECONDS):
                await until_job(office.database, UUID(left))
        finally:
            is_done.set()
            await feeding
            await redis.delete(QUEUE)


def test_what_a_dead_consumer_left_is_looked_for_often_enough() -> None:
    """It has 30 seconds: time for the look after the next, if one thing on the way is slow."""
    assert 2 * redis_queue.RECOVERY_SECONDS < 20


async def test_two_consumers_make_one_job_of_each_entry(
    office: Office, redis: Redis, database_url: str, redis_url: str, prefect: PrefectPeer
) -> None:
    async with open_office(database_url, redis_url, prefect) as other:
        entries = [await enqueue(redis) for _ in range(20)]
        broken = await enqueue(redis, params="no JSON")
        async with consuming(office), consuming(other):
            await until_empty(redis)
            await prefect.until_runs(20)
    assert {str(job.id) for job in await office.jobs()} == set(entries) == set(prefect.runs)
    assert [json.loads(dead)["id"] for dead in await redis.lrange(DEAD_LETTERS, 0, -1)] == [broken]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"params": "no JSON"}, "no JSON object"),
        ({"params": "[1]"}, "no JSON object"),
        ({"params": '{"prompt": "a", "prompt": "b"}'}, 'the key "prompt" stands twice'),
        ({"params": json.dumps(PARAMS | {"width": 100})}, "width: 100 is not a multiple of 8"),
        ({"params": json.dumps(PARAMS | {"colour": "red"})}, "colour: is not known"),
        ({"params": json.dumps(PARAMS | {"workflow": "nope"})}, "nope"),
        ({"type": "song"}, "type"),
        ({"project_id": str(uuid4())}, "There is no project"),
    ],
)
async def test_what_is_no_job_goes_to_the_dead_and_its_hash_says_why(
    office: Office, redis: Redis, fields: dict[str, str], said: str
) -> None:
    async with consuming(office):
        entry = await enqueue(redis, **fields)
        sound = await enqueue(redis)
        await until_empty(redis)
    [dead] = [json.loads(each) for each in await redis.lrange(DEAD_LETTERS, 0, -1)]
    hash_ = await redis.hgetall(f"anime:job:{entry}")
    assert dead["id"] == entry
    assert said in dead["reason"]
    assert (hash_["status"], hash_["error"]) == ("failed", dead["reason"])
    assert [str(job.id) for job in await office.jobs()] == [sound]


@pytest.mark.parametrize(
    "entry", ["7", "queue", "", "x" * 5000, b"\xff\xfe", "E5E19279-AE30-4215-B6B7-353C36E8AAAA"]
)
async def test_an_id_that_is_none_does_no_harm(
    office: Office, redis: Redis, entry: str | bytes
) -> None:
    async with consuming(office):
        await redis.lpush(QUEUE, entry)
        sound = await enqueue(redis)
        await until_empty(redis)
    assert "UUID" in json.loads(await redis.lindex(DEAD_LETTERS, 0) or "{}")["reason"]
    assert [str(job.id) for job in await office.jobs()] == [sound]


async def test_an_id_without_a_hash_or_with_something_else_there_is_dead(
    office: Office, redis: Redis
) -> None:
    other = str(uuid4())
    await redis.set(f"anime:job:{other}", "text")
    await redis.lpush(QUEUE, str(uuid4()), other)
    async with consuming(office):
        await until_empty(redis)
    assert await redis.llen(DEAD_LETTERS) == 2
    assert await office.jobs() == []


@pytest.mark.parametrize("params", [json.dumps(PARAMS | {"prompt": "another"}), "no JSON"])
async def test_an_id_that_comes_again_with_other_params_leaves_the_job_alone(
    office: Office, redis: Redis, params: str
) -> None:
    async with consuming(office):
        entry = await enqueue(redis)
        await until_empty(redis)
        await enqueue(redis, entry, params=params)
        await until_empty(redis)
    assert (await office.job(UUID(entry))).prompt == PARAMS["prompt"]
    assert await redis.hget(f"anime:job:{entry}", "status") == "queued"
    assert await redis.llen(DEAD_LETTERS) == 1


async def test_an_entry_that_is_submitted_again_is_its_job_though_its_workflow_is_gone(
    redis: Redis, database_url: str, redis_url: str, prefect: PrefectPeer, tmp_path: Path
) -> None:
    """A consumer died between the two steps, and somebody renamed the workflow meanwhile."""
    shipped_as_mine(tmp_path)
    async with open_office(database_url, redis_url, prefect, workflows_dir=tmp_path) as office:
        entry = await enqueue(redis, params=json.dumps(PARAMS | {"workflow": "mine"}))
        await redis.lmove(QUEUE, PROCESSING, "RIGHT", "LEFT")
        consumer = redis_queue.RedisQueueConsumer("", office.service)
        await consumer._submit(redis, entry)
        before = await redis.hgetall(f"anime:job:{entry}")
        (tmp_path / "mine.toml").unlink()
        await consumer.submit_entry(redis, entry)
    assert await redis.hgetall(f"anime:job:{entry}") == before
    assert (await redis.llen(DEAD_LETTERS), await redis.llen(PROCESSING)) == (0, 0)


@pytest.mark.parametrize("by_id", [True, False])
async def test_a_project_is_given_by_its_id_or_by_its_name(
    office: Office, redis: Redis, by_id: bool
) -> None:
    async with office.database.session_scope() as session:
        project = await ProjectRepository(session).get_or_create("Neon City")
    async with consuming(office):
        entry = await enqueue(redis, project_id=str(project.id) if by_id else "neon city")
        await until_empty(redis)
    assert (await office.job(UUID(entry))).project == "Neon City"


async def test_f50_while_the_database_is_away_entries_wait_where_they_are_safe(
    office: Office, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_back, was_asked = asyncio.Event(), asyncio.Event()
    insert = JobRepository.insert

    async def away_at_first(*arguments: Any) -> Any:
        was_asked.set()
        if not is_back.is_set():
            raise DatabaseUnavailable("PostgreSQL is away.")
        return await insert(*arguments)

    monkeypatch.setattr(JobRepository, "insert", away_at_first)
    async with consuming(office):
        entry = await enqueue(redis)
        await asyncio.wait_for(was_asked.wait(), HUNG_SECONDS)
        assert await redis.lrange(PROCESSING, 0, -1) == [entry]
        is_back.set()
        await until_empty(redis)
    assert [str(job.id) for job in await office.jobs()] == [entry]


@pytest.mark.parametrize(
    "fault",
    [OSError(errno.ESTALE, os.strerror(errno.ESTALE)), StorageTimedOut("It has not answered.")],
)
async def test_while_the_folder_of_workflows_does_not_answer_entries_wait(
    office: Office, redis: Redis, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    was_asked, folder = asyncio.Event(), Path.iterdir
    loop = asyncio.get_running_loop()

    def stale(_: Path) -> Iterator[Path]:
        loop.call_soon_threadsafe(was_asked.set)
        raise fault

    monkeypatch.setattr(Path, "iterdir", stale)
    async with consuming(office):
        entry = await enqueue(redis)
        await asyncio.wait_for(was_asked.wait(), HUNG_SECONDS)
        assert await redis.lrange(PROCESSING, 0, -1) == [entry]
        monkeypatch.setattr(Path, "iterdir", folder)
        await until_empty(redis)
    assert [str(job.id) for job in await office.jobs()] == [entry]
    assert await redis.llen(DEAD_LETTERS) == 0


@pytest.mark.parametrize("delay_ms", [0, 30, 60])
async def test_a_consumer_killed_between_any_two_steps_loses_nothing_and_makes_nothing_twice(
    office: Office, redis: Redis, prefect: PrefectPeer, delay_ms: int
) -> None:
    """The killed one is `anime intake`, in a process of its own."""
    settings = office.settings
    environment = os.environ | {
        "ANIME_DATABASE_URL": settings.database_url.get_secret_value(),  # type: ignore[union-attr]  # set above
        "ANIME_REDIS_URL": settings.redis_url.get_secret_value(),  # type: ignore[union-attr]
        "PREFECT_API_URL": prefect.url,
        "PREFECT_API_AUTH_STRING": AUTH,
    }
    intake = await fork_with_pipes("anime.cli.app", ["intake"], environment)
    try:
        first = await enqueue(redis)
        async with asyncio.timeout(HUNG_SECONDS):
            await until_job(office.database, UUID(first))
        entries = [await enqueue(redis) for _ in range(30)]
        await asyncio.sleep(delay_ms / 1000)  # somewhere in the middle
    finally:
        intake.kill()
        await intake.wait()
    async with consuming(office):
        await until_empty(redis)
    await office.monitor()
    assert {str(job.id) for job in await office.jobs()} == {first, *entries} == set(prefect.runs)


async def until_job(database: Database, job_id: UUID) -> None:
    while True:
        async with database.session_scope() as session:
            if job_id in await JobRepository(session).among([job_id]):
                return
        await asyncio.sleep(0.05)

"""Publishing to and following from a real Valkey."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from anime.core.job_status import FailureKind, JobStatus, Stage
from anime.progress import publisher as progress
from anime.progress.keys import JOB_TTL_SECONDS, UPDATES_CHANNEL, job_hash, job_stream
from anime.progress.publisher import ProgressPublisher, follow_job
from anime.retry_policies import RetryPolicy
from anime.schemas import GenerationRequest, GenerationType, JobSnapshot, ProgressEvent
from tasks.progress import Reporter
from tests.integration.test_cli_commands import somebody_watches
from tests.support.embedded import embedded_valkey
from tests.support.waiting import HUNG_SECONDS

REQUEST = GenerationRequest(prompt="a girl on a rooftop", project="Neon City", seed=2**64 - 1)


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest_asyncio.fixture
async def publisher(redis_url: str) -> AsyncIterator[ProgressPublisher]:
    async with ProgressPublisher(redis_url) as publisher:
        yield publisher


def event(
    job_id: UUID, percent: int = 0, status: JobStatus = JobStatus.PROCESSING, **more: object
) -> ProgressEvent:
    return ProgressEvent.model_validate(
        {
            "job_id": job_id,
            "status": status,
            "stage": Stage.RENDERING if status is JobStatus.PROCESSING else None,
            "progress": percent,
            "message": f"{percent} %",
            "timestamp": datetime.now(UTC),
            **more,
        }
    )


def queued_job(job_id: UUID) -> JobSnapshot:
    now = datetime.now(UTC)
    return JobSnapshot(
        id=job_id,
        type=GenerationType.IMAGE,
        status=JobStatus.QUEUED,
        progress=0,
        project="neon-city",
        prompt=REQUEST.prompt,
        workflow="txt2img",
        attempt=0,
        created_at=now,
        updated_at=now,
    )


async def all_of(
    redis_url: str, job_id: UUID, *, after_seq: int | None = None
) -> list[ProgressEvent]:
    async with asyncio.timeout(HUNG_SECONDS):
        return [event async for event in follow_job(redis_url, job_id, after_seq=after_seq)]


async def test_announced_job_has_every_field_of_the_contract(
    publisher: ProgressPublisher, redis: Redis
) -> None:
    job_id = uuid4()
    await publisher.announce(queued_job(job_id), REQUEST)
    hash_ = await redis.hgetall(job_hash(job_id))
    assert set(hash_) >= {
        *("id", "project_id", "type", "params", "status", "progress"),
        *("created_at", "updated_at", "stage", "seq", "message"),
    }
    assert (hash_["id"], hash_["status"], hash_["progress"]) == (str(job_id), "queued", "0")
    assert json.loads(hash_["params"])["seed"] == 2**64 - 1
    assert 0 < await redis.ttl(job_hash(job_id)) <= JOB_TTL_SECONDS
    assert 0 < await redis.ttl(job_stream(job_id)) <= JOB_TTL_SECONDS


async def test_events_are_published_as_json_with_a_number_each(
    publisher: ProgressPublisher, redis: Redis
) -> None:
    job_id = uuid4()
    async with redis.pubsub() as listener:
        await listener.subscribe(UPDATES_CHANNEL)
        assert (await listener.get_message(timeout=HUNG_SECONDS))["type"] == "subscribe"
        for percent in (10, 20):
            await publisher.publish(event(job_id, percent))
        heard = [
            json.loads((await listener.get_message(timeout=HUNG_SECONDS))["data"]) for _ in range(2)
        ]
    assert [(one["seq"], one["progress"]) for one in heard] == [(1, 10), (2, 20)]
    assert heard[0].keys() >= {"job_id", "progress", "message", "timestamp", "status", "stage"}
    assert isinstance(heard[0]["progress"], int)


async def test_announcing_late_does_not_set_a_begun_job_back(
    publisher: ProgressPublisher, redis: Redis
) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 40))
    await publisher.announce(queued_job(job_id), REQUEST)
    hash_ = await redis.hgetall(job_hash(job_id))
    assert (hash_["status"], hash_["progress"], hash_["seq"]) == ("processing", "40", "1")
    assert hash_["project_id"] == "neon-city"


async def test_within_an_attempt_nothing_published_goes_back(
    publisher: ProgressPublisher, redis: Redis, redis_url: str
) -> None:
    """A second run of the same attempt begins from the beginning, or the first is not dead."""
    job_id = uuid4()
    odd = 'say "progress":99 and "stage":"recording"'
    for told in (
        event(job_id, 0, stage=Stage.SUBMITTING, message=odd),
        event(job_id, 40, stage=Stage.RENDERING, message=odd),
        event(job_id, 0, stage=Stage.CHECKING_VRAM, message=odd),
        event(job_id, 0, stage=None, message=odd),
        event(job_id, 5, stage=Stage.SUBMITTING, attempt=2),
        event(job_id, 70, stage=Stage.RENDERING, attempt=1),
        event(job_id, 0, stage=Stage.CHECKING_VRAM, attempt=2),
        event(job_id, 0, JobStatus.FAILED, attempt=2),
    ):
        await publisher.publish(told)
    kept = await all_of(redis_url, job_id, after_seq=0)
    assert [(each.attempt, each.progress, each.stage) for each in kept] == [
        (1, 0, Stage.SUBMITTING),
        (1, 40, Stage.RENDERING),
        (1, 40, Stage.RENDERING),
        (1, 40, Stage.RENDERING),
        (2, 5, Stage.SUBMITTING),
        (2, 5, Stage.SUBMITTING),
        (2, 5, None),
    ]
    assert [each.message for each in kept[:4]] == [odd] * 4
    hash_ = await redis.hgetall(job_hash(job_id))
    assert (hash_["progress"], hash_["attempt"], hash_["seq"]) == ("5", "2", "7")


async def test_a_second_run_of_an_attempt_goes_on_from_what_the_row_says(
    publisher: ProgressPublisher, redis: Redis
) -> None:
    """Even where Redis has lost its memory, and cannot know how far the first one was."""
    found = queued_job(uuid4()).model_copy(
        update={"stage": Stage.RENDERING, "progress": 40, "attempt": 2}
    )
    reporter = Reporter(publisher, found.id, found)
    await reporter.enter(Stage.CHECKING_VRAM, "Checking for 8000 MB of VRAM")
    assert (reporter.stage, reporter.reported_stage) == (Stage.CHECKING_VRAM, Stage.RENDERING)
    reporter.begin(2)
    await reporter.enter(Stage.SUBMITTING, "Submitting the prompt to ComfyUI")
    hash_ = await redis.hgetall(job_hash(found.id))
    assert (hash_["stage"], hash_["progress"], hash_["attempt"]) == ("rendering", "40", "2")
    reporter.begin(3)
    await reporter.enter(Stage.SUBMITTING, "Submitting the prompt to ComfyUI")
    hash_ = await redis.hgetall(job_hash(found.id))
    assert (hash_["stage"], hash_["progress"], hash_["attempt"]) == ("submitting", "0", "3")


async def test_what_is_final_stays_final(publisher: ProgressPublisher, redis: Redis) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 100, JobStatus.COMPLETED, result=["/library/a.png"]))
    await publisher.publish(event(job_id, 50))
    hash_ = await redis.hgetall(job_hash(job_id))
    assert (hash_["status"], hash_["seq"]) == ("completed", "1")
    assert json.loads(hash_["result"]) == ["/library/a.png"]


async def test_only_a_later_lease_leaves_a_failure_and_nothing_of_an_earlier_one_follows(
    publisher: ProgressPublisher, redis: Redis, redis_url: str
) -> None:
    """Redis was away when the job was requeued; its attempt may be the same one."""
    job_id = uuid4()
    failed = event(job_id, 40, JobStatus.FAILED, fence=1, error="Gone.", error_kind="lost")
    for told in (
        event(job_id, 40, fence=1),
        failed,
        event(job_id, 60, fence=1),
        event(job_id, 10, stage=Stage.SUBMITTING, fence=3),
        failed,
        event(job_id, 70, fence=1),
        event(job_id, 100, JobStatus.COMPLETED, fence=3, result=["/library/a.png"]),
    ):
        await publisher.publish(told)
    hash_ = await redis.hgetall(job_hash(job_id))
    assert (hash_["status"], hash_["attempt"], hash_["fence"]) == ("completed", "1", "3")
    assert not hash_.keys() & {"error", "error_kind"}
    kept = await all_of(redis_url, job_id, after_seq=2)
    assert [(each.seq, each.status, each.progress, each.stage) for each in kept] == [
        (3, JobStatus.PROCESSING, 10, Stage.SUBMITTING),
        (4, JobStatus.COMPLETED, 100, None),
    ]


async def test_a_failure_leaves_its_error_in_the_hash(
    publisher: ProgressPublisher, redis: Redis
) -> None:
    job_id = uuid4()
    await publisher.publish(
        event(
            job_id,
            status=JobStatus.FAILED,
            error="Node KSampler ran out of memory. Take a smaller size.",
            error_kind=FailureKind.OUT_OF_MEMORY,
        )
    )
    assert "out of memory" in (await redis.hget(job_hash(job_id), "error") or "")


async def test_publishers_of_one_job_never_share_a_number(redis_url: str) -> None:
    job_id = uuid4()
    async with ProgressPublisher(redis_url) as one, ProgressPublisher(redis_url) as other:
        await asyncio.gather(
            *(each.publish(event(job_id, n)) for n in range(50) for each in (one, other))
        )
        await one.publish(event(job_id, 100, JobStatus.COMPLETED))
    numbers = [each.seq for each in await all_of(redis_url, job_id, after_seq=0)][:100]
    assert numbers == list(range(1, 101))


async def test_without_a_url_nothing_happens() -> None:
    async with ProgressPublisher(None) as publisher:
        assert await publisher.publish(event(uuid4())) is None  # type: ignore[func-returns-value]


async def test_redis_away_costs_one_short_wait_and_one_line(
    caplog: pytest.LogCaptureFixture, tmp_path: object
) -> None:
    async with ProgressPublisher(f"unix://{tmp_path}/nothing.sock") as publisher:
        began = time.monotonic()
        with caplog.at_level(logging.WARNING, logger="anime.progress.publisher"):
            for percent in range(100):
                await publisher.publish(event(uuid4(), percent))
    assert time.monotonic() - began < 50  # a wait for each would take 100 s
    assert len(caplog.records) == 1


async def test_redis_that_never_answers_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "TIMEOUT_SECONDS", 0.5)
    never = RetryPolicy(first_seconds=HUNG_SECONDS, longest_seconds=HUNG_SECONDS)
    monkeypatch.setattr(progress, "REDIS_PUBLISHING", never)
    tries, in_own_task = list[float](), progress._in_own_task

    async def noted(sending: Coroutine[Any, Any, Any], seconds: float) -> Any:  # as Redis answers
        tries.append(seconds)
        return await in_own_task(sending, seconds)

    monkeypatch.setattr(progress, "_in_own_task", noted)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with ProgressPublisher(f"redis://127.0.0.1:{silent.getsockname()[1]}/1") as publisher:
            for percent in range(20):
                await publisher.publish(event(uuid4(), percent))
    assert tries == [0.5]


async def test_publishing_goes_on_when_redis_is_back(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        progress, "REDIS_PUBLISHING", RetryPolicy(first_seconds=0, longest_seconds=0)
    )
    home, job_id = tmp_path_factory.mktemp("valkey"), uuid4()
    async with embedded_valkey(home) as url:
        publisher = ProgressPublisher(url)
        await publisher.publish(event(job_id, 10))
    await publisher.publish(event(job_id, 20))
    async with embedded_valkey(home) as url, Redis.from_url(url, decode_responses=True) as redis:
        await publisher.publish(event(job_id, 30))
        assert await redis.hget(job_hash(job_id), "progress") == "30"
        await publisher.aclose()


async def test_following_begins_with_the_latest_snapshot_and_ends_with_the_job(
    redis_url: str, publisher: ProgressPublisher
) -> None:
    job_id = uuid4()
    for percent in (10, 20):
        await publisher.publish(event(job_id, percent))
    seen: list[int] = []
    async with asyncio.timeout(HUNG_SECONDS), aclosing(follow_job(redis_url, job_id)) as events:
        async for each in events:
            seen.append(each.progress)
            if each.progress == 20:
                await publisher.publish(event(job_id, 60))
                await publisher.publish(event(job_id, 100, JobStatus.COMPLETED))
    assert seen == [20, 60, 100]


async def test_following_waits_for_a_job_nobody_has_heard_of(
    redis_url: str, publisher: ProgressPublisher
) -> None:
    job_id = uuid4()
    following = asyncio.create_task(all_of(redis_url, job_id))
    await asyncio.sleep(0)
    for percent in (1, 2, 3):
        await publisher.publish(event(job_id, percent))
    await publisher.publish(event(job_id, 100, JobStatus.COMPLETED))
    seen = [each.progress for each in await following]
    assert seen[-1] == 100
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 2, 3]), (1, [2, 3]), (3, [])])
async def test_a_reconnecting_follower_gets_what_it_can_name(
    redis_url: str,
    publisher: ProgressPublisher,
    after: int,
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "BLOCK_SECONDS", 0.1)
    job_id = uuid4()
    await publisher.publish(event(job_id, 10))
    await publisher.publish(event(job_id, 20))
    await publisher.publish(event(job_id, 100, JobStatus.COMPLETED))
    assert [each.seq for each in await all_of(redis_url, job_id, after_seq=after)] == expected


async def test_a_last_event_waits_for_a_redis_that_is_slow(
    redis_url: str, redis: Redis, publisher: ProgressPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "TIMEOUT_SECONDS", 0.2)
    job_id = uuid4()
    await publisher.publish(event(job_id, 10))
    await redis.client_pause(700)
    await publisher.publish(event(job_id, 50))  # given up
    await publisher.publish(event(job_id, 100, JobStatus.COMPLETED))
    assert (await all_of(redis_url, job_id))[-1].status is JobStatus.COMPLETED


async def test_following_survives_silence_longer_than_one_read(
    redis_url: str, publisher: ProgressPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 10))
    monkeypatch.setattr(progress, "BLOCK_SECONDS", 0.05)
    monkeypatch.setattr(progress, "TIMEOUT_SECONDS", 0.3)
    following = asyncio.create_task(all_of(redis_url, job_id))
    await somebody_watches(redis_url)
    await asyncio.sleep(0.5)  # silence is what is tested
    await publisher.publish(event(job_id, 100, JobStatus.COMPLETED))
    assert [each.progress for each in await following] == [10, 100]


async def test_following_goes_on_when_redis_lost_its_memory(
    redis_url: str, redis: Redis, publisher: ProgressPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "BLOCK_SECONDS", 0.1)
    job_id = uuid4()
    for percent in (10, 20, 30):
        await publisher.publish(event(job_id, percent))
    following = asyncio.create_task(all_of(redis_url, job_id))
    await somebody_watches(redis_url)  # it has read the snapshot and waits
    await redis.flushall()
    await publisher.publish(event(job_id, 100, JobStatus.COMPLETED))
    assert [each.progress for each in await following] == [30, 100]


@pytest.mark.parametrize("steps", range(12))
async def test_following_can_be_stopped_at_any_moment(redis_url: str, steps: int) -> None:
    following = asyncio.create_task(all_of(redis_url, uuid4()))
    for _ in range(steps):
        await asyncio.sleep(0)
    following.cancel()
    done, _ = await asyncio.wait([following], timeout=HUNG_SECONDS)
    assert done
    assert following.cancelled()


@pytest.mark.parametrize("steps", range(1, 12))
async def test_publishing_swallows_no_cancellation(redis_url: str, steps: int) -> None:
    async def publish_for_ever(redis: ProgressPublisher) -> None:
        while True:
            await redis.publish(event(uuid4()))

    async with ProgressPublisher(redis_url) as redis:
        publishing = asyncio.create_task(publish_for_ever(redis))
        for _ in range(steps):
            await asyncio.sleep(0)
        publishing.cancel()
        done, _ = await asyncio.wait([publishing], timeout=HUNG_SECONDS)
        assert done

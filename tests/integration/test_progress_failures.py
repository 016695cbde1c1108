"""What goes wrong between a job and its watchers: Redis, PostgreSQL, clients, other programs."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.progress import publisher as progress
from anime.progress import redis_feed, updates, websocket_connection
from anime.progress.keys import UPDATES_CHANNEL, job_hash, job_stream
from anime.progress.publisher import ProgressPublisher
from anime.retry_policies import RetryPolicy, cancel_until_ended
from anime.worker import notifications
from tests.integration.progress_peer import (
    Api,
    OldClient,
    event,
    gateway_settings,
    recorded_job,
    running_api,
)
from tests.support.embedded import embedded_valkey
from tests.support.waiting import HUNG_SECONDS

COMPLETED, CANCELLED = JobStatus.COMPLETED, JobStatus.CANCELLED


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with running_api(gateway_settings(database_url, redis_url)) as api:
        yield api


@pytest_asyncio.fixture
async def publisher(redis_url: str) -> AsyncIterator[ProgressPublisher]:
    async with ProgressPublisher(redis_url) as publisher:
        yield publisher


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        yield redis


async def cancel_in_the_database(database: Database, job_id: UUID) -> None:
    async with database.session_scope() as session:
        await JobRepository(session).request_cancel(job_id)


async def test_f26_events_out_of_order_or_after_the_end_are_not_told(
    api: Api, publisher: ProgressPublisher, redis: Redis
) -> None:
    job_id, now = uuid4(), datetime.now(UTC)

    async def publish_raw(seq: int, percent: int, **more: object) -> None:
        at = now + timedelta(seconds=seq)
        raw = event(job_id, percent, seq=seq, timestamp=at, **more)  # type: ignore[arg-type]  # fields by name
        await redis.publish(UPDATES_CHANNEL, raw.model_dump_json())

    await publisher.publish(event(job_id, 10, timestamp=now))
    async with OldClient(api.ws_url) as named, OldClient(api.ws_url) as watcher:
        await named.subscribe(job_id)
        await watcher.subscribe("*")
        for seq, percent in ((2, 20), (5, 50), (3, 30), (4, 40), (5, 50), (6, 45)):
            await publish_raw(seq, percent)
        await publish_raw(7, 5, attempt=2)
        await publish_raw(8, 60, attempt=1)
        await publish_raw(9, 100, status=COMPLETED, attempt=2)
        await publish_raw(10, 70, attempt=2)
        await publish_raw(11, 100, status=CANCELLED)
        for client in (named, watcher):
            told = await client.progress_until("completed")
            assert [(each["seq"], each["attempt"], each["progress"]) for each in told] == [
                *((2, 1, 20), (5, 1, 50), (6, 1, 50)),  # never back within an attempt
                *((7, 2, 5), (9, 2, 100)),
            ]
            await redis.publish(UPDATES_CHANNEL, event(job_id, 10, seq=12).model_dump_json())
            assert await client.told_before_pong() == []


async def test_f51_a_redis_that_restarts_costs_no_end(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        progress, "REDIS_PUBLISHING", RetryPolicy(first_seconds=0, longest_seconds=0)
    )
    job_id, other = uuid4(), uuid4()
    async with embedded_valkey(tmp_path) as url:
        settings = gateway_settings(database_url, url)
        publisher = ProgressPublisher(url)
        await publisher.publish(event(job_id, 10))
        serving = running_api(settings)
        api = await serving.__aenter__()
        client, watcher = OldClient(api.ws_url), OldClient(api.ws_url)
        await client.__aenter__()
        await watcher.__aenter__()
        await client.subscribe(job_id)
        await watcher.subscribe("*")
        await publisher.publish(event(job_id, 20))
        assert (await client.hear())["data"]["progress"] == 20
    async with asyncio.timeout(HUNG_SECONDS):
        while api.gateway.feed.is_live.is_set():
            await asyncio.sleep(0.01)
    async with embedded_valkey(tmp_path) as url:
        assert url == settings.redis_url.get_secret_value()  # type: ignore[union-attr]  # set above
        await publisher.publish(event(job_id, 50))
        await publisher.publish(event(job_id, 100, COMPLETED))
        told = await client.progress_until("completed")
        assert told[-1]["progress"] == 100
        await watcher.progress_until("completed")
        await publisher.publish(event(other, 10))
        assert (await watcher.hear())["job_id"] == str(other)
        await client.__aexit__(None, None, None)
        await watcher.__aexit__(None, None, None)
        await publisher.aclose()
        await serving.__aexit__(None, None, None)


async def test_f51_an_end_nobody_could_publish_is_told_from_the_database(
    api: Api, database: Database, publisher: ProgressPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_feed, "SILENCE_SECONDS", 0.1)
    async with running_api(api.app.state.anime.settings) as quick:
        job_id = await recorded_job(database)
        await publisher.publish(event(job_id, 10))
        async with OldClient(quick.ws_url) as client, OldClient(quick.ws_url) as late:
            await client.subscribe(job_id)
            await cancel_in_the_database(database, job_id)
            [end] = await client.progress_until("cancelled")
            assert end["seq"] == 0  # the database counts no events
            assert (await late.subscribe(job_id))["data"]["status"] == "cancelled"


async def test_f51_before_the_end_is_published_a_client_that_comes_back_misses_and_repeats_nothing(
    api: Api, database: Database, publisher: ProgressPublisher
) -> None:
    job_id = await recorded_job(database)
    for percent in (10, 20, 30):
        await publisher.publish(event(job_id, percent))
    await cancel_in_the_database(database, job_id)
    async with OldClient(api.ws_url) as client:
        await client.subscribe(job_id, seq=2)
        assert [told["seq"] for told in await client.progress_until("cancelled")] == [3, 0]


async def test_f51_without_any_redis_the_database_tells_how_far_a_job_is(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_feed, "SILENCE_SECONDS", 0.1)
    job_id = await recorded_job(database)
    settings = gateway_settings(database_url, None)
    async with running_api(settings) as api, OldClient(api.ws_url) as client:
        assert (await client.subscribe(job_id))["data"]["status"] == "queued"
        await cancel_in_the_database(database, job_id)
        assert (await client.progress_until("cancelled"))[-1]["status"] == "cancelled"


async def test_f52_the_subscription_survives_bad_messages_silence_and_being_cut(
    api: Api, publisher: ProgressPublisher, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "SILENCE_SECONDS", 0.1)
    job_id = uuid4()
    await publisher.publish(event(job_id, 1))
    async with OldClient(api.ws_url) as client:
        await client.subscribe(job_id)
        for bad in (b"\xff\xfe\x00", "{", "[]", '{"job_id": 7}', json.dumps({"progress": "x"})):
            await redis.publish(UPDATES_CHANNEL, bad)
        await publisher.publish(event(job_id, 2))
        assert (await client.hear())["data"]["seq"] == 2
        await asyncio.sleep(0.5)  # silence is what is tested
        await publisher.publish(event(job_id, 3))
        assert (await client.hear())["data"]["seq"] == 3
        await redis.client_kill_filter(_type="pubsub")
        for percent in (4, 5):
            await publisher.publish(event(job_id, percent))
        await publisher.publish(event(job_id, 100, COMPLETED))
        assert [each["seq"] for each in await client.progress_until("completed")] == [4, 5, 6]


async def test_f52_a_server_that_falls_silent_is_left_for_a_new_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(updates, "SILENCE_SECONDS", 0.05)
    connections: asyncio.Queue[None] = asyncio.Queue()

    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        connections.put_nowait(None)
        await reader.read()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    listening = asyncio.create_task(anext(updates.subscribe_channels(url, "any")))
    async with server, asyncio.timeout(HUNG_SECONDS):
        for _ in range(2):
            await connections.get()
        await cancel_until_ended(listening)
    assert listening.cancelled()


async def test_f52_a_worker_whose_subscription_falls_silent_makes_another(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "SILENCE_SECONDS", 0.05)
    connections: asyncio.Queue[None] = asyncio.Queue()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let the server's answers vanish once the subscription stands."""
        connections.put_nowait(None)
        from_server, to_server = await asyncio.open_unix_connection(urlsplit(redis_url).path)

        async def ask() -> None:
            while said := await reader.read(65_536):
                to_server.write(said)
            to_server.close()

        asking, stands = asyncio.create_task(ask()), False
        while said := await from_server.read(65_536):
            if not stands:
                writer.write(said)
            stands |= b"subscribe" in said
        await asking

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    listening = asyncio.create_task(notifications.listen(url, "pool", print))
    async with server, asyncio.timeout(HUNG_SECONDS):
        for _ in range(2):
            await connections.get()
        await cancel_until_ended(listening)


async def test_f53_a_client_that_comes_late_gets_the_end(
    api: Api, publisher: ProgressPublisher, redis: Redis
) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 10))
    await publisher.publish(event(job_id, 100, COMPLETED, result=["/library/a.png"]))
    async with OldClient(api.ws_url) as client:
        status = await client.subscribe(job_id)
        assert (status["data"]["status"], status["data"]["progress"]) == ("completed", 100)
        assert json.loads(status["data"]["result"]) == ["/library/a.png"]
        await client.subscribe(job_id, seq=1)
        assert [each["seq"] for each in await client.progress_until("completed")] == [2]
        await redis.delete(job_stream(job_id))  # trimmed: then the snapshot tells the end
        await client.subscribe(job_id, seq=1)
        assert [each["seq"] for each in await client.progress_until("completed")] == [2]
        await client.subscribe(job_id, seq=2)
        assert await client.told_before_pong() == []
    assert not list(api.gateway.hub.known_up_to())


async def test_f54_a_client_that_reads_nothing_is_dropped_and_nobody_waits_for_it(
    api: Api, publisher: ProgressPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_connection, "STALL_SECONDS", 0.3)
    job_id = uuid4()
    await publisher.publish(event(job_id, 0))
    async with OldClient(api.ws_url) as fast, DeafClient(api, job_id):
        await fast.subscribe(job_id)
        async with asyncio.timeout(HUNG_SECONDS):
            while len(api.gateway.hub._by_job[job_id]) < 2:
                await asyncio.sleep(0.01)
        for percent in range(1, 90):
            await publisher.publish(event(job_id, percent, message="x" * 100_000))
            assert (await fast.hear())["data"]["progress"] == percent
        async with asyncio.timeout(HUNG_SECONDS):
            while len(api.server.server_state.connections) > 1:
                await asyncio.sleep(0.02)
        assert len(api.gateway.hub._by_job[job_id]) == 1
        await publisher.publish(event(job_id, 100, COMPLETED))
        await fast.progress_until("completed")


async def test_f54_a_client_that_falls_behind_is_told_the_latest_of_each_job(
    api: Api, publisher: ProgressPublisher
) -> None:
    jobs = [uuid4() for _ in range(3)]
    async with OldClient(api.ws_url, max_queue=1) as client:
        await client.subscribe("*")
        for number in range(400):
            for job_id in jobs:
                await publisher.publish(event(job_id, number // 5, message="x" * 20_000))
        for job_id in jobs:
            await publisher.publish(event(job_id, 100, COMPLETED))
        told: list[dict[str, Any]] = []
        while len([each for each in told if each["data"]["status"] == "completed"]) < 3:
            told.append(await client.hear())
        for job_id in jobs:
            seqs = [each["data"]["seq"] for each in told if each["job_id"] == str(job_id)]
            assert seqs == sorted(set(seqs))
            assert seqs[-1] == 401
            assert len(seqs) < 401


async def test_f54_clients_that_vanish_leave_nothing_behind(
    api: Api, publisher: ProgressPublisher
) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 0))
    before = number_of_tasks()
    for _ in range(20):
        client = OldClient(api.ws_url)
        await client.__aenter__()
        await client.subscribe(job_id, previews=True)
        await client.subscribe("*")
        client.socket.transport.abort()
        await publisher.publish(event(job_id, 1))
    async with asyncio.timeout(HUNG_SECONDS):
        while api.server.server_state.connections or number_of_tasks() > before:
            await asyncio.sleep(0.01)
    assert not list(api.gateway.hub.known_up_to())
    assert not api.gateway.hub.requested_previews()


def number_of_tasks() -> int:
    """How many there are, without the waits of the monitor, which come and go."""
    waits = asyncio.Event.wait.__qualname__
    return sum(
        getattr(task.get_coro(), "__qualname__", "") != waits for task in asyncio.all_tasks()
    )


async def test_f55_clients_of_two_api_processes_hear_the_same(
    api: Api, publisher: ProgressPublisher
) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 0))
    async with (
        running_api(api.app.state.anime.settings) as other,
        OldClient(api.ws_url) as here,
        OldClient(other.ws_url) as there,
    ):
        await here.subscribe(job_id)
        await there.subscribe("*")
        for percent in (10, 20):
            await publisher.publish(event(job_id, percent))
        await publisher.publish(event(job_id, 100, COMPLETED))
        told = [await each.progress_until("completed") for each in (here, there)]
    assert [each["seq"] for each in told[0]] == [2, 3, 4]
    assert told[0] == told[1]


class DeafClient:
    """Subscribes to a job and then reads nothing; little fits into its socket."""

    def __init__(self, api: Api, job_id: UUID) -> None:
        address = urlsplit(api.ws_url)
        self._address = (str(address.hostname), int(address.port or 0))
        self._job_id = job_id

    async def __aenter__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.to_thread(self._socket.connect, self._address)
        await asyncio.to_thread(self._subscribe)

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    def _subscribe(self) -> None:
        self._socket.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert self._socket.recv(1000).startswith(b"HTTP/1.1 101")
        text = json.dumps({"action": "subscribe", "job_id": str(self._job_id)}).encode()
        self._socket.sendall(bytes((0x81, 0x80 | len(text))) + bytes(4) + text)


async def test_the_hash_of_an_expired_job_is_no_reason_to_lose_its_end(
    api: Api, database: Database, redis: Redis
) -> None:
    job_id = await recorded_job(database)
    await cancel_in_the_database(database, job_id)
    await redis.delete(job_hash(job_id), job_stream(job_id))
    async with OldClient(api.ws_url) as client:
        await client.subscribe(job_id, seq=3)
        assert (await client.progress_until("cancelled"))[-1]["seq"] == 0

"""The WebSocket as old clients know it, from a real server over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed, InvalidStatus

from anime.api.serve import listen_on_all
from anime.core.job_status import JobStatus, Stage
from anime.core.shots import ShotChange, ShotEvent, ShotState
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.errors import ConfigurationError
from anime.progress import websocket_connection
from anime.progress.keys import PREVIEWS_CHANNEL, job_hash, preview_request_key
from anime.progress.publisher import ProgressPublisher
from anime.progress.send_buffer import SendBuffer
from anime.progress.websocket_messages import shot_frame
from anime.settings import Settings
from tests.integration.progress_peer import (
    Api,
    OldClient,
    event,
    gateway_settings,
    recorded_job,
    running_api,
)
from tests.support.waiting import HUNG_SECONDS

COMPLETED = JobStatus.COMPLETED
SHOTS = uuid5(NAMESPACE_URL, "urn:shots")


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return gateway_settings(database_url, redis_url)


@pytest_asyncio.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with running_api(settings) as api:
        yield api


@pytest_asyncio.fixture
async def publisher(redis_url: str) -> AsyncIterator[ProgressPublisher]:
    async with ProgressPublisher(redis_url) as publisher:
        yield publisher


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        yield redis


async def test_an_old_client_gets_the_hash_at_once_and_then_each_event(
    api: Api, publisher: ProgressPublisher
) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 10))
    async with OldClient(api.ws_url) as client:
        status = await client.subscribe(job_id)
        assert (status["type"], status["job_id"]) == ("status", str(job_id))
        assert (status["data"]["id"], status["data"]["status"]) == (str(job_id), "processing")
        assert status["data"]["progress"] == 10
        await publisher.publish(event(job_id, 60))
        await publisher.publish(event(job_id, 100, COMPLETED, result=["/library/a.png"]))
        told = await client.progress_until("completed")
    assert [(each["progress"], each["seq"]) for each in told] == [(60, 2), (100, 3)]
    assert all(each["updated_at"] for each in told)
    assert told[-1]["result"] == ["/library/a.png"]


async def test_within_an_attempt_no_client_sees_progress_or_stage_go_back(
    api: Api, publisher: ProgressPublisher
) -> None:
    """Neither who listens already, nor who comes later, nor who reads the events again."""
    job_id = uuid4()
    async with OldClient(api.ws_url) as client, OldClient(api.ws_url) as late:
        await publisher.publish(event(job_id, 40))
        await client.subscribe(job_id)
        await client.subscribe("*")
        await publisher.publish(event(job_id, 0, stage="checking_vram"))  # by a second run
        again = (await client.hear())["data"]
        assert (again["progress"], again["stage"], again["message"]) == (40, "rendering", "0 %")
        status = (await late.subscribe(job_id, seq=1))["data"]
        assert (status["progress"], status["stage"]) == (40, "rendering")
        missed = (await late.hear())["data"]
        assert (missed["progress"], missed["stage"], missed["seq"]) == (40, "rendering", 2)
        await publisher.publish(event(job_id, 0, stage="submitting", attempt=2))
        anew = (await client.hear())["data"]
        assert (anew["progress"], anew["stage"], anew["attempt"]) == (0, "submitting", 2)


async def test_a_row_that_is_ahead_of_what_redis_last_heard_is_what_a_client_is_told(
    api: Api, publisher: ProgressPublisher, database: Database
) -> None:
    """Redis was away for a while: whoever was told of the row does not see it go back."""
    job_id = await recorded_job(database)
    await publisher.publish(event(job_id, 10, stage="submitting"))
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        lease = await jobs.lease(job_id, uuid4(), seconds=60)
        assert lease is not None
        await jobs.renew(lease, seconds=60, stage=Stage.RENDERING, progress=45)
    async with OldClient(api.ws_url) as client:
        status = (await client.subscribe(job_id))["data"]
        assert (status["progress"], status["stage"], status["seq"]) == (45, "rendering", 1)
        await publisher.publish(event(job_id, 20))
        assert (await client.hear())["data"]["progress"] == 45


async def test_the_socket_is_at_each_of_its_old_addresses(api: Api) -> None:
    on_api_port = api.http_url.replace("http", "ws")
    for url in (api.ws_url, f"{api.ws_url}/", f"{api.ws_url}/ws", f"{on_api_port}/ws"):
        async with OldClient(url) as client:
            assert (await client.subscribe("*"))["type"] == "status"


async def test_whoever_watches_all_jobs_hears_of_each_once(
    api: Api, publisher: ProgressPublisher
) -> None:
    one, other = uuid4(), uuid4()
    await publisher.publish(event(one, 10))
    async with OldClient(api.ws_url) as client:
        await client.subscribe("*")
        await client.subscribe(one)
        await publisher.publish(event(one, 20))
        await publisher.publish(event(other, 30))
        await publisher.publish(event(other, 100, COMPLETED))
        await client.progress_until("completed")
        assert await client.told_before_pong() == []
        await client.say(action="unsubscribe", job_id="*")
        assert await client.told_before_pong() == []
        await publisher.publish(event(other, 30))
        await publisher.publish(event(one, 40))
        assert (await client.hear())["job_id"] == str(one)


async def test_nothing_is_told_after_unsubscribing(api: Api, publisher: ProgressPublisher) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 10))
    async with OldClient(api.ws_url) as client, OldClient(api.ws_url) as witness:
        await client.subscribe(job_id)
        await witness.subscribe(job_id)
        await client.say(action="unsubscribe", job_id=job_id)
        assert await client.told_before_pong() == []
        await publisher.publish(event(job_id, 100, COMPLETED))
        await witness.progress_until("completed")
        assert await client.told_before_pong() == []
    assert not list(api.gateway.hub.known_up_to())


async def test_a_client_that_reconnects_misses_no_number(
    api: Api, publisher: ProgressPublisher
) -> None:
    for seq in (0, 3, 10):
        job_id = uuid4()
        for percent in range(10):
            await publisher.publish(event(job_id, percent))
        async with OldClient(api.ws_url) as client, asyncio.TaskGroup() as meanwhile:
            meanwhile.create_task(_publish_to_the_end(publisher, job_id))
            assert (await client.subscribe(job_id, seq=seq))["type"] == "status"
            told = await client.progress_until("completed")
        assert [each["seq"] for each in told] == list(range(seq + 1, 62))


async def _publish_to_the_end(publisher: ProgressPublisher, job_id: UUID) -> None:
    for percent in range(10, 60):
        await publisher.publish(event(job_id, percent))
    await publisher.publish(event(job_id, 100, COMPLETED))


async def test_a_replay_longer_than_any_queue_is_whole(
    api: Api, publisher: ProgressPublisher
) -> None:
    job_id = uuid4()
    for percent in range(600):
        await publisher.publish(event(job_id, percent // 7))
    await publisher.publish(event(job_id, 100, COMPLETED))
    async with OldClient(api.ws_url) as client:
        await client.subscribe(job_id, seq=0)
        told = await client.progress_until("completed")
    assert [each["seq"] for each in told] == list(range(1, 602))


async def test_a_number_redis_never_gave_starts_from_the_beginning(
    api: Api, publisher: ProgressPublisher
) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 10))
    await publisher.publish(event(job_id, 100, COMPLETED))
    async with OldClient(api.ws_url) as client:
        await client.subscribe(job_id, seq=4000)
        assert [each["seq"] for each in await client.progress_until("completed")] == [1, 2]


async def test_a_job_redis_has_forgotten_is_told_from_the_database(
    api: Api, database: Database, publisher: ProgressPublisher, redis: Redis
) -> None:
    job_id = await recorded_job(database)
    await redis.delete(job_hash(job_id))
    async with OldClient(api.ws_url) as client:
        status = await client.subscribe(job_id)
        assert (status["data"]["status"], status["data"]["seq"]) == ("queued", 0)
        assert json.loads(status["data"]["params"])["seed"] == 7
        await publisher.publish(event(job_id, 30))
        assert (await client.hear())["data"]["progress"] == 30


async def test_a_hash_in_another_programs_words_is_passed_on(api: Api, redis: Redis) -> None:
    job_id = uuid4()
    await redis.hset(job_hash(job_id), mapping={"status": "queued", "type": "image"})
    async with OldClient(api.ws_url) as client:
        data = (await client.subscribe(job_id))["data"]
    assert data == {"status": "queued", "type": "image"}


async def test_a_job_nobody_knows_is_an_error_and_the_connection_stays(api: Api) -> None:
    job_id = uuid4()
    async with OldClient(api.ws_url) as client:
        error = await client.subscribe(job_id)
        assert (error["type"], error["job_id"]) == ("error", str(job_id))
        assert error["data"]["type"] == "urn:anime:problem:not-found"
        assert await client.told_before_pong() == []


async def test_a_queued_job_is_cancelled_and_everybody_is_told(
    api: Api, database: Database
) -> None:
    job_id = await recorded_job(database)
    async with OldClient(api.ws_url) as client, OldClient(api.ws_url) as witness:
        await witness.subscribe(job_id)
        await client.say(action="cancel", job_id=job_id)
        answer = await client.hear()
        assert (answer["type"], answer["data"]["status"]) == ("status", "cancelled")
        assert (await witness.progress_until("cancelled"))[-1]["status"] == "cancelled"


NOT_UNDERSTOOD: list[tuple[str | bytes, str]] = [
    ("{", "valid JSON"),
    ("[]", "should be an object"),
    ('{"action": "dance"}', "must be subscribe, unsubscribe, cancel or ping"),
    ('{"action": "subscribe"}', "job_id: is missing"),
    ('{"action": "subscribe", "job_id": "7"}', "job_id"),
    ('{"action": "ping", "loud": true}', "loud: is not known"),
    ('{"action": "subscribe", "job_id": "*", "seq": 3}', "seq"),
    ("x" * 5000, "longer than 4096"),
    (b"\x00\xff", "Binary"),
]


async def test_what_cannot_be_understood_is_said_and_the_connection_stays(api: Api) -> None:
    async with OldClient(api.ws_url) as client:
        for message, said in NOT_UNDERSTOOD:
            await client.socket.send(message)
            error = await client.hear()
            assert error["type"] == "error"
            assert said in error["data"]["detail"]
            assert error["data"]["todo"]
        assert await client.told_before_pong() == []


async def test_a_frame_beyond_all_measure_closes_with_its_own_code(api: Api) -> None:
    async with OldClient(api.ws_url) as client:
        await client.socket.send("x" * 100_000)
        assert (await client.hear_close())[0] == 1009


async def test_one_client_follows_so_many_jobs_and_no_more(
    api: Api, publisher: ProgressPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_connection, "MAX_SUBSCRIPTIONS", 3)
    jobs = [uuid4() for _ in range(4)]
    for job_id in jobs:
        await publisher.publish(event(job_id, 10))
    async with OldClient(api.ws_url) as client:
        assert [(await client.subscribe(each))["type"] for each in jobs] == [
            *("status", "status", "status", "error")
        ]
        await publisher.publish(event(jobs[0], 100, COMPLETED))
        await client.progress_until("completed")
        assert (await client.subscribe(jobs[3]))["type"] == "status"  # one has ended


async def test_a_graceful_stop_says_that_the_service_restarts(settings: Settings) -> None:
    async with running_api(settings) as api:
        client = OldClient(api.ws_url)
        await client.__aenter__()
        await client.subscribe("*")
        api.server.should_exit = True
        code, _ = await client.hear_close()
    assert code == 1012


async def test_pages_from_elsewhere_may_not_connect_and_ours_may(api: Api) -> None:
    own = api.http_url
    async with OldClient(api.http_url.replace("http", "ws") + "/ws", origin=own) as client:
        assert await client.told_before_pong() == []
    with pytest.raises(InvalidStatus) as refused:
        async with OldClient(api.ws_url, origin="https://example.org"):
            pass
    assert refused.value.response.status_code == 403


async def test_a_name_that_is_not_this_machines_opens_no_socket(api: Api) -> None:
    """A page whose own name points here has the origin of that name, and sends it as Host."""
    port = urlsplit(api.ws_url).port
    name = f"rebound.example:{port}"
    with pytest.raises(InvalidStatus) as refused:
        async with OldClient(f"ws://{name}/", origin=f"http://{name}", host="127.0.0.1", port=port):
            pass
    assert refused.value.response.status_code == 400


async def test_open_sockets_are_counted(api: Api) -> None:
    async with httpx.AsyncClient(base_url=api.http_url, trust_env=False) as http:
        async with OldClient(api.ws_url) as one, OldClient(api.ws_url) as other:
            for client in (one, other):
                assert await client.told_before_pong() == []
            assert "anime_websocket_clients 2.0" in (await http.get("/metrics")).text
        async with asyncio.timeout(HUNG_SECONDS):
            while "anime_websocket_clients 0.0" not in (await http.get("/metrics")).text:
                await asyncio.sleep(0.02)


async def test_with_a_token_nobody_connects_without_it(database_url: str, redis_url: str) -> None:
    settings = gateway_settings(database_url, redis_url, api_token=SecretStr("open sesame"))
    bearer = {"Authorization": "Bearer open sesame"}
    async with running_api(settings) as api:
        for url in (api.ws_url, f"{api.ws_url}/?token=wrong"):
            with pytest.raises(InvalidStatus) as refused:
                async with OldClient(url):
                    pass
            assert refused.value.response.status_code == 401
        async with OldClient(f"{api.ws_url}/?token=open%20sesame") as client:
            assert await client.told_before_pong() == []
        async with OldClient(api.ws_url, additional_headers=bearer) as client:
            assert await client.told_before_pong() == []


async def test_previews_come_to_those_who_asked_and_only_then(api: Api, redis: Redis) -> None:
    job_id = uuid4()
    await redis.hset(job_hash(job_id), mapping={"status": "queued"})
    picture = json.dumps({"job_id": str(job_id), "media_type": "image/jpeg", "image": "/9j/"})
    async with OldClient(api.ws_url) as client, OldClient(api.ws_url) as other:
        await other.subscribe(job_id)
        assert not await redis.exists(preview_request_key(job_id))
        await client.subscribe(job_id, previews=True)
        assert 0 < await redis.ttl(preview_request_key(job_id)) <= 10
        await redis.publish(PREVIEWS_CHANNEL, picture)
        shown = await client.hear()
        assert shown["type"] == "preview"
        assert shown["data"] == {"media_type": "image/jpeg", "image": "/9j/"}
        assert await other.told_before_pong() == []


def test_a_taken_port_names_its_variable(settings: Settings) -> None:
    holding = listen_on_all(settings)
    try:
        taken = holding[-1].getsockname()[1]
        with pytest.raises(ConfigurationError, match="ANIME_WS_PORT"):
            listen_on_all(settings.model_copy(update={"ws_port": taken}))
    finally:
        for each in holding:
            each.close()


async def test_a_client_that_says_nothing_is_asked_whether_it_lives(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anime.api.serve.PING_SECONDS", 0.2)
    async with running_api(settings) as api, OldClient(api.ws_url) as client:
        client.socket.transport.pause_reading()  # no answer to any ping
        async with asyncio.timeout(HUNG_SECONDS):
            while api.server.server_state.connections:
                await asyncio.sleep(0.02)
        client.socket.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            await client.socket.recv()


def shot_event(code: str, project: str = "neon-city", takes: int = 1) -> ShotEvent:
    return ShotEvent(
        shot_id=uuid5(SHOTS, code),
        project=project,
        code=code,
        change=ShotChange.TAKE,
        state=ShotState.TO_REVIEW,
        **dict.fromkeys(("rejected", "retakes", "under_way", "failed"), 0),
        takes=takes,
        job_id=None,
        take=None,
        timestamp=datetime.now(UTC),
    )


async def test_who_watches_the_shots_of_a_project_is_told_of_those_and_no_others(
    api: Api, publisher: ProgressPublisher
) -> None:
    async with OldClient(api.ws_url) as client, OldClient(api.ws_url) as everybody:
        await client.say(action="subscribe_shots", project="neon-city")
        assert await client.hear() == {"type": "shots", "project": "neon-city"}
        await everybody.say(action="subscribe_shots", project="*")
        await everybody.hear()
        await publisher.publish_shots([shot_event("sc9", project="rain")])
        await publisher.publish_shots([shot_event("sc1")])
        told = await client.hear()
        assert (told["type"], told["shot_id"]) == ("shot", str(uuid5(SHOTS, "sc1")))
        assert (told["data"]["code"], told["data"]["state"]) == ("sc1", "to review")
        assert [(await everybody.hear())["data"]["code"] for _ in range(2)] == ["sc9", "sc1"]
        await client.say(action="unsubscribe_shots")
        assert await client.told_before_pong() == []
        await publisher.publish_shots([shot_event("sc2")])
        await everybody.hear()
        assert await client.told_before_pong() == []
        await client.say(action="subscribe_shots", project="Neon City")
        assert (await client.hear())["type"] == "error"


async def test_a_client_that_lags_gets_the_latest_event_of_each_shot() -> None:
    buffer = SendBuffer()
    for takes in range(3):
        buffer.put_preview(uuid5(SHOTS, "sc1"), shot_frame(shot_event("sc1", takes=takes)))
    assert json.loads(str(await buffer.take()))["data"]["takes"] == 2
    assert buffer.is_empty

"""The WebSocket as old clients know it, from a real server over real sockets."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis

from anime.core.job_status import JobStatus
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.progress import ProgressPublisher
from anime.schemas import GenerationRequest
from anime.settings import Settings, load_settings
from tests.integration.gateway_peer import Api, OldClient, event, running_api

COMPLETED = JobStatus.COMPLETED
REQUEST = GenerationRequest(prompt="a girl on a rooftop", seed=7)


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return load_settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        api_ports=(0, 0),
        ws_port=0,
    )


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


async def recorded_job(database: Database) -> UUID:
    async with database.session_scope() as session:
        job = await JobRepository(session).create(uuid4(), REQUEST, workflow="txt2img", seed=7)
    return job.id


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


@pytest.mark.parametrize("path", ["", "/", "/ws"])
async def test_the_socket_is_at_each_of_its_old_addresses(api: Api, path: str) -> None:
    async with OldClient(api.ws_url + path) as client:
        assert (await client.subscribe("*"))["type"] == "status"
    async with OldClient(api.http_url.replace("http", "ws") + "/ws") as client:
        assert (await client.subscribe("*"))["type"] == "status"

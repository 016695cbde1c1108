"""Server-sent events: the same messages for clients that cannot do WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio

from anime.api import routes_events
from anime.core.job_status import JobStatus
from anime.progress.publisher import ProgressPublisher
from tests.integration.progress_peer import (
    Api,
    event,
    gateway_settings,
    running_api,
)
from tests.support.waiting import HUNG_SECONDS

COMPLETED = JobStatus.COMPLETED


@dataclass
class Told:
    """One event of a stream; without data it was a comment."""

    id: str = ""
    data: str = ""
    comment: str = ""

    @property
    def message(self) -> dict[str, Any]:
        return dict(json.loads(self.data))


async def told_on(reply: httpx.Response) -> AsyncIterator[Told]:
    """The events of a stream, as a browser reads them."""
    told = Told()
    async for line in reply.aiter_lines():
        if not line:
            yield told
            told = Told()
        else:
            name, _, value = line.partition(":")
            setattr(told, name or "comment", value.removeprefix(" "))


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with running_api(gateway_settings(database_url, redis_url)) as api:
        yield api


@pytest_asyncio.fixture
async def publisher(redis_url: str) -> AsyncIterator[ProgressPublisher]:
    async with ProgressPublisher(redis_url) as publisher:
        yield publisher


@pytest_asyncio.fixture
async def http(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=api.http_url, trust_env=False, timeout=HUNG_SECONDS
    ) as http:
        yield http


def path_of(job_id: UUID) -> str:
    return f"/api/anime/jobs/{job_id}/events"


async def test_a_stream_begins_with_the_job_as_it_stands_and_ends_with_its_end(
    http: httpx.AsyncClient, publisher: ProgressPublisher
) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 10))
    told = []
    async with http.stream("GET", path_of(job_id)) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-accel-buffering"] == "no"
        async for each in told_on(reply):
            told.append(each)
            if each.message["type"] == "status":
                await publisher.publish(event(job_id, 60))
                await publisher.publish(event(job_id, 100, COMPLETED))
    assert [each.id for each in told] == ["1", "2", "3"]
    assert [each.message["type"] for each in told] == ["status", "progress", "progress"]
    assert [each.message["data"]["progress"] for each in told] == [10, 60, 100]


async def test_a_browser_that_reconnects_gets_what_it_missed_and_learns_of_the_end(
    http: httpx.AsyncClient, publisher: ProgressPublisher
) -> None:
    job_id = uuid4()
    for percent in (10, 20, 30):
        await publisher.publish(event(job_id, percent))
    await publisher.publish(event(job_id, 100, COMPLETED))
    async with http.stream("GET", path_of(job_id), headers={"Last-Event-ID": "1"}) as reply:
        told = [each async for each in told_on(reply)]
    assert [each.id for each in told] == ["1", "2", "3", "4"]  # the first is how it stands
    ended = await http.get(path_of(job_id), headers={"Last-Event-ID": "4"})
    assert ended.status_code == 204


async def test_what_nobody_knows_is_404_and_what_is_no_number_422(http: httpx.AsyncClient) -> None:
    for unknown in (str(uuid4()), "nonsense"):
        reply = await http.get(f"/api/anime/jobs/{unknown}/events")
        assert (reply.status_code, reply.json()["type"]) == (404, "urn:anime:problem:not-found")
    reply = await http.get(path_of(uuid4()), headers={"Last-Event-ID": "yesterday"})
    assert reply.status_code == 422


async def test_silence_is_filled_and_a_reader_that_goes_leaves_nothing(
    api: Api,
    http: httpx.AsyncClient,
    publisher: ProgressPublisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes_events, "KEEP_ALIVE_SECONDS", 0.05)
    job_id = uuid4()
    await publisher.publish(event(job_id, 10))
    async with http.stream("GET", path_of(job_id)) as reply:
        stream = told_on(reply)
        while (
            told := await anext(stream)
        ).comment:  # a busy machine's comes before the first event
            assert told.comment == "still here"
        assert told.message["type"] == "status"
        assert (await anext(stream)).comment == "still here"
    async with asyncio.timeout(HUNG_SECONDS):
        while api.gateway.streams or list(api.gateway.hub.known_up_to()):
            await asyncio.sleep(0.01)
    assert not api.gateway.streams


async def test_a_graceful_stop_ends_streams_at_once(
    api: Api, http: httpx.AsyncClient, publisher: ProgressPublisher
) -> None:
    job_id = uuid4()
    await publisher.publish(event(job_id, 10))
    async with http.stream("GET", path_of(job_id)) as reply:
        stream = told_on(reply)
        await anext(stream)
        api.server.should_exit = True
        async with asyncio.timeout(HUNG_SECONDS):
            assert [each async for each in stream] == []

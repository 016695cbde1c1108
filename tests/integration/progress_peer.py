"""A running API, and a client written from nothing but the contract."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

from fastapi import FastAPI
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from anime.api.app import create_app
from anime.api.serve import ApiServer, listen_on_all
from anime.core.job_status import JobStatus, Stage
from anime.db.repositories import JobRepository
from anime.db.session import Database
from anime.progress.gateway import Gateway
from anime.schemas import GenerationRequest, ProgressEvent
from anime.settings import Settings, load_settings
from tests.support.waiting import HUNG_SECONDS


@dataclass(frozen=True)
class Api:
    """Where a running API is reached, and its inside."""

    http_url: str
    ws_url: str
    app: FastAPI
    server: ApiServer

    @property
    def gateway(self) -> Gateway:
        gateway: Gateway = self.app.state.gateway
        return gateway


def gateway_settings(database_url: str, redis_url: str | None, **more: Any) -> Settings:
    """Settings of an API on free ports."""
    return load_settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url) if redis_url else None,
        api_ports=(0, 0),
        ws_port=0,
        takes_old_queue=False,
        **more,
    )


async def recorded_job(database: Database) -> UUID:
    """A job that has a row and no event."""
    request = GenerationRequest(prompt="a girl on a rooftop", seed=7)
    async with database.session_scope() as session:
        job = await JobRepository(session).create(uuid4(), request, workflow="txt2img", seed=7)
    return job.id


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[Api]:
    """The API on free ports, in this process."""
    app = create_app(settings)
    server = ApiServer(app, settings)
    sockets = listen_on_all(settings)
    ports = [each.getsockname()[1] for each in sockets]
    serving = asyncio.create_task(server._serve(sockets))
    try:
        async with asyncio.timeout(HUNG_SECONDS):
            while not server.started:
                await asyncio.sleep(0.005)
        api = Api(f"http://127.0.0.1:{ports[0]}", f"ws://127.0.0.1:{ports[-1]}", app, server)
        if settings.redis_url is not None:
            async with asyncio.timeout(HUNG_SECONDS):
                await api.gateway.feed.is_live.wait()
        yield api
    finally:
        server.should_exit = True
        await serving


class OldClient:
    """Knows the contract and nothing else."""

    def __init__(self, url: str, **more: Any) -> None:
        self._opening = connect(url, proxy=None, ping_interval=None, **more)
        self.socket: ClientConnection

    async def __aenter__(self) -> Self:
        self.socket = await self._opening.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opening.__aexit__(kind, error, trace)

    async def say(self, **message: object) -> None:
        await self.socket.send(json.dumps(message, default=str))

    async def hear(self, seconds: float = HUNG_SECONDS) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            return dict(json.loads(await self.socket.recv()))

    async def subscribe(self, job_id: UUID | str, **more: object) -> dict[str, Any]:
        """The answer to a subscription."""
        await self.say(action="subscribe", job_id=job_id, **more)
        return await self.hear()

    async def hear_close(self) -> tuple[int, str]:
        """The code and reason with which the server closes, whatever came before."""
        async with asyncio.timeout(HUNG_SECONDS):
            with suppress(ConnectionClosed):
                while True:
                    await self.socket.recv()
        await self.socket.wait_closed()
        return self.socket.close_code or 0, self.socket.close_reason or ""

    async def progress_until(self, status: str) -> list[dict[str, Any]]:
        """What is told of jobs, up to the first event with that status."""
        told: list[dict[str, Any]] = []
        while not told or told[-1]["status"] != status:
            message = await self.hear()
            assert message["type"] == "progress", message
            told.append(message["data"])
        return told

    async def told_before_pong(self) -> list[dict[str, Any]]:
        """Everything that was on its way."""
        await self.say(action="ping")
        told: list[dict[str, Any]] = []
        while (message := await self.hear())["type"] != "pong":
            told.append(message)
        return told


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

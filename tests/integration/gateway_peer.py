"""A running API, and a client written from nothing but the contract."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect

from anime.api.app import create_app
from anime.api.serve import ApiServer, listen_on_all
from anime.core.job_status import JobStatus, Stage
from anime.gateway.gateway import Gateway
from anime.schemas import ProgressEvent
from anime.settings import Settings

PATIENCE_SECONDS = 10


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


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[Api]:
    """The API on free ports, in this process."""
    app = create_app(settings)
    server = ApiServer(app)
    sockets = listen_on_all(settings)
    ports = [each.getsockname()[1] for each in sockets]
    serving = asyncio.create_task(server._serve(sockets))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not server.started:
                await asyncio.sleep(0.005)
        api = Api(f"http://127.0.0.1:{ports[0]}", f"ws://127.0.0.1:{ports[-1]}", app, server)
        if settings.redis_url is not None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await api.gateway.feed.is_live.wait()
        yield api
    finally:
        server.should_exit = True
        await serving


class OldClient:
    """Knows the contract and nothing else."""

    def __init__(self, url: str) -> None:
        self._opening = connect(url, proxy=None, ping_interval=None)
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

    async def hear(self, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            return dict(json.loads(await self.socket.recv()))

    async def subscribe(self, job_id: UUID | str, **more: object) -> dict[str, Any]:
        """The answer to a subscription."""
        await self.say(action="subscribe", job_id=job_id, **more)
        return await self.hear()

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

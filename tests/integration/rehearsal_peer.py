"""A rehearsal server and a client of it, for the tests of its protocol."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect

from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.server import serving
from tests.support.waiting import HUNG_SECONDS

Graph = dict[str, dict[str, Any]]  # inputs are whatever a node takes


@dataclass
class Peer:
    """A running rehearsal server and a client of it."""

    http: httpx.AsyncClient
    files: Path
    socket: ClientConnection
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def submit(self, graph: Graph, **body: object) -> str:
        answer = await self.http.post("/prompt", json={"prompt": graph, "client_id": "me", **body})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    async def until(self, kind: str, **wanted: object) -> dict[str, Any]:
        """The next message of that kind with these values; what came before is in `seen`."""
        async with asyncio.timeout(HUNG_SECONDS):
            while True:
                frame = await self.socket.recv()
                if isinstance(frame, str):
                    message: dict[str, Any] = json.loads(frame)
                    self.seen.append(message)
                    if message["type"] == kind and wanted.items() <= message["data"].items():
                        return message

    async def run(self, graph: Graph, **body: object) -> dict[str, Any]:
        """Submit, wait for the end, and give the history entry."""
        self.seen.clear()
        prompt_id = await self.submit(graph, **body)
        await self.until("executing", node=None, prompt_id=prompt_id)
        history = (await self.http.get(f"/history/{prompt_id}")).json()
        entry: dict[str, Any] = history[prompt_id]
        return entry

    def told(self) -> list[str]:
        """What came, in short."""
        return [
            f"executing {message['data']['node']}"
            if message["type"] == "executing"
            else message["type"]
            for message in self.seen
        ]


@asynccontextmanager
async def joined(url: str, files: Path) -> AsyncIterator[Peer]:
    async with (
        httpx.AsyncClient(base_url=url, timeout=HUNG_SECONDS) as http,
        connect(f"{url.replace('http', 'ws')}/ws?clientId=me") as socket,
    ):
        peer = Peer(http, files, socket)
        await peer.until("status")
        yield peer


@asynccontextmanager
async def opened(files: Path, **settings: Any) -> AsyncIterator[Peer]:  # of RehearsalConfig
    config = RehearsalConfig(data_dir=files, port=0, **{"step_seconds": 0, **settings})
    async with serving(config) as url, joined(url, files) as peer:
        yield peer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rehearsal_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[str, Path]]:
    """URL and folder of one server for all tests of a module, whose REHEARSAL configures it."""
    files = tmp_path_factory.mktemp("rehearsal")
    given = getattr(request.module, "REHEARSAL", {})
    async with serving(RehearsalConfig(data_dir=files, port=0, step_seconds=0, **given)) as url:
        yield url, files


@pytest_asyncio.fixture
async def peer(rehearsal_server: tuple[str, Path]) -> AsyncIterator[Peer]:
    """A client of that server, which is as good as new but for its counter."""
    url, files = rehearsal_server
    async with joined(url, files) as peer:
        await peer.http.post("/free", json={"free_memory": True})
        await peer.http.post("/history", json={"clear": True})
        for folder in ("output", "input"):
            shutil.rmtree(files / folder)
            (files / folder).mkdir()
        yield peer


def node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def modelless(prefix: str = "plain/x", color: int = 1) -> Graph:
    return {
        "1": node("EmptyImage", width=64, height=64, batch_size=1, color=color),
        "2": node("SaveImage", filename_prefix=prefix, images=["1", 0]),
    }


def txt2img(prefix: str = "art/x", batch: int = 1, **sampler: object) -> Graph:
    given = {
        "seed": 42,
        "steps": 3,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
        "model": ["4", 0],
        "positive": ["6", 0],
        "negative": ["7", 0],
        "latent_image": ["5", 0],
    }
    return {
        "4": node("CheckpointLoaderSimple", ckpt_name="rehearsal-sd15.safetensors"),
        "6": node("CLIPTextEncode", text="a girl at dusk", clip=["4", 1]),
        "7": node("CLIPTextEncode", text="blurry", clip=["4", 1]),
        "5": node("EmptyLatentImage", width=64, height=64, batch_size=batch),
        "3": node("KSampler", **given | sampler),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix=prefix, images=["8", 0]),
    }

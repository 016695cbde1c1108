"""What a script without this project would do: post, listen, fetch.

httpx and websockets, and nothing of this project but the WebSocket's address. No queue, no
database, no checks: as fast as ComfyUI allows.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx
from websockets.asyncio.client import ClientConnection, connect

from anime.comfyui.address import checked_address, websocket_url
from anime.core.graphs import Graph
from anime.errors import ComfyUIError

TIMEOUT_SECONDS = 30
FRAME_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BareRender:
    """One prompt: when it was sent and fetched, in seconds since the epoch, and its files."""

    prompt_id: str
    sent_at: float
    fetched_at: float
    files: tuple[Path, ...]


class BareClient:
    """A script's connections to one server, to be used in `async with`."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = checked_address(url)
        self._folder = folder
        self._client_id = uuid4().hex
        self._http = httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def render(self, graphs: Sequence[Graph], timeout_seconds: float) -> list[BareRender]:
        """The renders of these graphs, in their order, once all files are here.

        Raises:
            ComfyUIError: one of them failed.
            TimeoutError: they took longer.
        """
        ids = [str(uuid4()) for _ in graphs]
        sent: dict[str, float] = {}
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._websocket() as socket,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(self._post_all(ids, graphs, sent))
                fetches = await self._fetch_as_they_end(socket, set(ids), group)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        fetched = {prompt_id: fetch.result() for prompt_id, fetch in fetches.items()}
        return [BareRender(each, sent[each], *fetched[each]) for each in ids]

    def _websocket(self) -> connect:
        """A WebSocket for one series, as the server keeps messages that nobody reads in memory."""
        return connect(
            websocket_url(self._url, self._client_id),
            proxy=None,
            compression=None,
            max_size=FRAME_MAX_BYTES,
        )

    async def _post_all(
        self, ids: Sequence[str], graphs: Sequence[Graph], sent: dict[str, float]
    ) -> None:
        for prompt_id, graph in zip(ids, graphs, strict=True):
            body = {"prompt": graph, "prompt_id": prompt_id, "client_id": self._client_id}
            sent[prompt_id] = time.time()
            (await self._http.post("/prompt", json=body)).raise_for_status()

    async def _fetch_as_they_end(
        self, socket: ClientConnection, waiting: set[str], group: asyncio.TaskGroup
    ) -> dict[str, asyncio.Task[tuple[float, tuple[Path, ...]]]]:
        """The fetches under way, once the last prompt has ended."""
        fetches = {}
        while waiting:
            kind, about = await _next_message(socket)
            prompt_id = about.get("prompt_id")
            if prompt_id not in waiting:
                continue
            if kind in {"execution_error", "execution_interrupted"}:
                raise ComfyUIError(f"Prompt {prompt_id} failed: {about}.", "See ComfyUI's log.")
            # The history is complete when nothing runs any more.
            if kind == "executing" and about.get("node") is None:
                waiting.remove(prompt_id)
                fetches[prompt_id] = group.create_task(self._fetch(prompt_id))
        return fetches

    async def _fetch(self, prompt_id: str) -> tuple[float, tuple[Path, ...]]:
        """When the last file of the prompt was downloaded, and the files."""
        entry = (await self._http.get(f"/history/{prompt_id}")).raise_for_status().json()[prompt_id]
        files = [
            await self._download(image)
            for node in entry["outputs"].values()
            for image in node.get("images", ())
        ]
        return time.time(), tuple(files)

    async def _download(self, image: dict[str, str]) -> Path:
        reply = await self._http.get("/view", params=image)
        path = self._folder / image["subfolder"] / image["filename"]
        await asyncio.to_thread(_write, path, reply.raise_for_status().content)
        return path


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


async def _next_message(socket: ClientConnection) -> tuple[str, dict[str, Any]]:
    """Kind and content of the next text frame; previews are passed over."""
    while not isinstance(frame := await socket.recv(), str):
        pass
    message = json.loads(frame)
    return message["type"], message.get("data") or {}

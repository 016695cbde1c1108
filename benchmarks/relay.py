"""A proxy before ComfyUI: when it reports each sampler step, and what it is asked for."""

import asyncio
import re
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import urlsplit

from anime.comfyui.frames import decode_frame
from anime.comfyui.models import NodeProgressed, ProgressStates

CHUNK_BYTES = 64 * 1024
_TEXT = 0x81  # a whole frame of text
_UPGRADED, _END_OF_HEAD = b"HTTP/1.1 101", b"\r\n\r\n"
# Clients send a request when the answer to the one before has come, so one begins a chunk.
_REQUEST = re.compile(rb"(GET|POST|PUT|DELETE) (/[\w-]*(?:/[\w-]*)?)")


@dataclass
class Traffic:
    """What went through: connections, requests, and bytes of answers, by their paths' beginning."""

    connections: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    answered_bytes: Counter[str] = field(default_factory=Counter)

    def copy(self) -> Self:
        """What it is now."""
        return replace(
            self, requests=self.requests.copy(), answered_bytes=self.answered_bytes.copy()
        )

    def since(self, before: Self) -> Self:
        """What has come since it was as `before`."""
        return replace(
            self,
            connections=self.connections - before.connections,
            requests=self.requests - before.requests,
            answered_bytes=self.answered_bytes - before.answered_bytes,
        )


@dataclass(frozen=True)
class Relay:
    """Forwards what comes to `url`. `reported_at`: by step, in seconds since the epoch."""

    url: str
    reported_at: dict[int, float] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)

    def note(self, frame: bytes, at: float) -> None:
        """Keep when the frame came, if it is the first that reports its step."""
        match decode_frame(frame.decode()):
            case NodeProgressed(value=value, max=steps):
                steps_reported = [(value, steps)]
            case ProgressStates(nodes=nodes):
                steps_reported = [(node.value, node.max) for node in nodes.values()]
            case _:
                return
        for step, steps in steps_reported:
            if steps > 1:
                self.reported_at.setdefault(int(step), at)


@asynccontextmanager
async def relay_to(url: str) -> AsyncIterator[Relay]:
    """A relay on loopback, for as long as the block lasts."""
    address = urlsplit(url)
    forwardings: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        forwarding = _forward(relay, reader, writer, (str(address.hostname), address.port or 80))
        task = asyncio.create_task(forwarding)
        forwardings.add(task)
        task.add_done_callback(forwardings.discard)

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        relay = Relay(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield relay
        for task in forwardings:
            task.cancel()
        await asyncio.gather(*forwardings, return_exceptions=True)


async def _forward(
    relay: Relay,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: tuple[str, int],
) -> None:
    """Forward one connection, both ways, until either side closes it."""
    from_target, to_target = await asyncio.open_connection(*target)
    frames, counts = FrameReader(relay.note), ConnectionCounts(relay.traffic)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, to_target, counts.asked))
            group.create_task(_pump(from_target, writer, frames.feed, counts.answered))
    finally:
        for each in (to_target, writer):
            each.close()


async def _pump(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    *observers: Callable[[bytes, float], None],
) -> None:
    with suppress(ConnectionError):
        while chunk := await source.read(CHUNK_BYTES):
            at = time.time()
            target.write(chunk)
            for observe in observers:
                observe(chunk, at)
            await target.drain()
    target.close()


class ConnectionCounts:
    """Counts what goes through one connection."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._path = ""
        traffic.connections += 1

    def asked(self, chunk: bytes, at: float) -> None:
        """Count the request that the chunk begins, if it begins one."""
        del at
        if found := _REQUEST.match(chunk):
            self._path = found[2].decode().removeprefix("/api").split("/")[1]
            self._traffic.requests[self._path] += 1

    def answered(self, chunk: bytes, at: float) -> None:
        """Count the bytes of the answer."""
        del at
        self._traffic.answered_bytes[self._path] += len(chunk)


class FrameReader:
    """Finds the text frames that a server sends after the handshake of a WebSocket."""

    def __init__(self, note: Callable[[bytes, float], None]) -> None:
        self._note = note
        self._rest = b""
        self._is_open: bool | None = None  # unknown before the answer's head has arrived

    def feed(self, chunk: bytes, at: float) -> None:
        """Note each frame that the chunk completes."""
        if self._is_open is False:
            return
        self._rest += chunk
        if self._is_open is None and _END_OF_HEAD in self._rest:
            self._is_open = self._rest.startswith(_UPGRADED)
            self._rest = self._rest.partition(_END_OF_HEAD)[2]
        while self._is_open and (found := first_frame(self._rest)) is not None:
            kind, payload, self._rest = found
            if kind == _TEXT:
                self._note(payload, at)


def first_frame(content: bytes) -> tuple[int, bytes, bytes] | None:
    """A server's first frame: its first byte, its payload, and what follows; None if cut short."""
    if len(content) < 10:  # the longest head; no frame of interest is shorter
        return None
    length, start = content[1], 2
    if length == 126:
        (length,), start = struct.unpack_from(">H", content, 2), 4
    elif length == 127:
        (length,), start = struct.unpack_from(">Q", content, 2), 10
    end = start + length
    return (content[0], content[start:end], content[end:]) if len(content) >= end else None

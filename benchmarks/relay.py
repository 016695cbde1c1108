"""A proxy before ComfyUI that notes when ComfyUI reports each sampler step."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from anime.comfyui.frames import decode_frame
from anime.comfyui.models import NodeProgressed, ProgressStates

CHUNK_BYTES = 64 * 1024
_TEXT = 0x81  # a whole frame of text
_UPGRADED, _END_OF_HEAD = b"HTTP/1.1 101", b"\r\n\r\n"


@dataclass(frozen=True)
class Relay:
    """Forwards what comes to `url`. `reported_at`: by step, in seconds since the epoch."""

    url: str
    reported_at: dict[int, float] = field(default_factory=dict)

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
    frames = FrameReader(relay.note)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, to_target))
            group.create_task(_pump(from_target, writer, frames.feed))
    finally:
        for each in (to_target, writer):
            each.close()


async def _pump(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    observe: Callable[[bytes, float], None] | None = None,
) -> None:
    with suppress(ConnectionError):
        while chunk := await source.read(CHUNK_BYTES):
            at = time.time()
            target.write(chunk)
            if observe is not None:
                observe(chunk, at)
            await target.drain()
    target.close()


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

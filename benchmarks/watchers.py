"""Many WebSocket clients in a process of their own: python -m benchmarks.watchers URL COUNT JOB.

It prints "ready" once all have the answer to their subscription, and when its standard input
ends, each message with the time at which it arrived, as JSON. The clients do as little as
possible: what they cost would be measured as the server's.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from benchmarks.relay import first_frame

CONNECT_AT_ONCE = 50
TIMEOUT_SECONDS = 60
_HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: {netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_TEXT, _MASKED = 0x81, 0x80


class Watcher(asyncio.Protocol):
    """One client. It keeps each chunk with its time; they are decoded at the end."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._chunks: list[tuple[float, bytes]] = []
        self._transport: asyncio.Transport | None = None
        self.upgraded = asyncio.Event()
        self.answered = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to send by."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def send(self, content: bytes) -> None:
        """Send the bytes as they are."""
        if self._transport is not None:
            self._transport.write(content)

    def subscribe(self) -> None:
        """Subscribe to the job."""
        text = json.dumps({"action": "subscribe", "job_id": self._job_id}).encode()
        no_mask = bytes(4)  # of zeros: the text as it is
        self.send(bytes((_TEXT, _MASKED | len(text))) + no_mask + text)

    def data_received(self, chunk: bytes) -> None:
        """Keep the chunk; the first answers the handshake, the second the subscription."""
        if not self.upgraded.is_set():
            self.upgraded.set()
            return
        self._chunks.append((time.time(), chunk))
        self.answered.set()

    def events(self) -> Iterator[tuple[str, float]]:
        """The message of each event, and when it came, in seconds since the epoch."""
        rest = b""
        for at, chunk in self._chunks:
            rest += chunk
            while (frame := first_frame(rest)) is not None:
                kind, text, rest = frame
                if kind != _TEXT:  # a ping
                    continue
                message = json.loads(text)
                if message["type"] == "progress":
                    yield message["data"]["message"], at


async def watch(url: str, count: int, job_id: str) -> None:
    """Open the clients, wait for the end of the input, print what they received."""
    address = urlsplit(url)
    watchers: list[Watcher] = []
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(watchers) < count:
            few = min(CONNECT_AT_ONCE, count - len(watchers))
            watchers += await asyncio.gather(*(_opened(address, job_id) for _ in range(few)))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    sys.stdout.write(json.dumps([list(watcher.events()) for watcher in watchers]))


async def _opened(address: SplitResult, job_id: str) -> Watcher:
    watcher = Watcher(job_id)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: watcher, str(address.hostname), int(address.port or 80))
    watcher.send(_HANDSHAKE.format(netloc=address.netloc).encode())
    await watcher.upgraded.wait()
    watcher.subscribe()
    await watcher.answered.wait()
    return watcher


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[1], int(sys.argv[2]), sys.argv[3]))

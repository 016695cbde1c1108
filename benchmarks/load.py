"""Load on an HTTP server from a process of its own, light enough not to limit the measurement.

    python -m benchmarks.load '{"url": "http://127.0.0.1:8330", "path": "/health", "seconds": 5}'

prints a `Measured` as JSON. Bare sockets, as httpx would take longer for a request than the
server does.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from anime.errors import StackError

TRIVIAL = "trivial"  # with this argument, it is the server instead
TIMEOUT_SECONDS = 30.0  # of one answer


@dataclass(frozen=True, slots=True)
class Load:
    """Which request goes to which server, and how often.

    With a `rate` (requests per second), requests begin at even times, whether or not those before
    are answered, on as many connections as that takes. Without, each connection sends the next as
    soon as it has its answer. `{number}` in the body counts the requests.
    """

    url: str
    path: str
    seconds: float
    connections: int = 8
    rate: float | None = None
    method: str = "GET"
    body: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    def request(self, number: int) -> bytes:
        """The request as it goes over the wire."""
        body = self.body.replace("{number}", str(number)).encode()
        head = (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass
class Measured:
    """The times of answers, in seconds since the request was due, and the counts of statuses."""

    elapsed_seconds: float = 0.0
    answers_seconds: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        return len(self.answers_seconds) / self.elapsed_seconds


def require_only(status: str, measured: Measured) -> None:
    """Make sure that every answer had that status.

    Raises:
        StackError: another one had.
    """
    if measured.statuses.keys() != {status}:
        raise StackError(
            f"Not every answer was {status}: {measured.statuses}.", "See the API's log."
        )


async def measure_load(load: Load) -> Measured:
    """The measurement of a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load", json.dumps(asdict(load))),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return Measured(**json.loads(output))


@asynccontextmanager
async def trivial_server() -> AsyncIterator[str]:
    """The URL of a server that answers anything at once: the most that the load can reach."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load", TRIVIAL), stdout=asyncio.subprocess.PIPE
    )
    try:
        output = process.stdout or asyncio.StreamReader()  # never None, as it was opened as a pipe
        async with asyncio.timeout(TIMEOUT_SECONDS):
            port = int(await output.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


class _Connections:
    """Kept-alive connections; the one that was used last is used first."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def status_of(self, request: bytes) -> str:
        """The status of the answer, once all of it has arrived."""
        reader, writer = await self._connection()
        writer.write(request)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
            await reader.readexactly(int(length))
        self._idle.append((reader, writer))
        return head[9:12].decode()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._load.host, self._load.port)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


class _LoadRun:
    """One load under way."""

    def __init__(self, load: Load, connections: _Connections) -> None:
        self._load, self._connections = load, connections
        self._statuses: Counter[str] = Counter()
        self._answers: list[float] = []

    async def measure(self) -> Measured:
        """All answers to the load."""
        began = time.perf_counter()
        await (self._at_a_rate(began) if self._load.rate else self._back_to_back(began))
        elapsed = time.perf_counter() - began
        return Measured(elapsed, self._answers, dict(self._statuses))

    async def _back_to_back(self, began: float) -> None:
        request = self._load.request(0)

        async def ask_repeatedly() -> None:
            while (due := time.perf_counter()) < began + self._load.seconds:
                await self._ask(request, due)

        async with asyncio.TaskGroup() as group:
            for _ in range(self._load.connections):
                group.create_task(ask_repeatedly())

    async def _at_a_rate(self, began: float) -> None:
        rate = self._load.rate or 1.0
        async with asyncio.TaskGroup() as group:
            for number in range(round(rate * self._load.seconds)):
                due = began + number / rate
                await asyncio.sleep(due - time.perf_counter())
                group.create_task(self._ask(self._load.request(number), due))

    async def _ask(self, request: bytes, due: float) -> None:
        status = await self._connections.status_of(request)
        self._answers.append(time.perf_counter() - due)
        self._statuses[status] += 1


class _TrivialProtocol(asyncio.Protocol):
    """Answers each request with the same 200 bytes, as fast as Python can."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"x" * 200

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        del data
        if isinstance(self._transport, asyncio.Transport):
            self._transport.write(self.ANSWER)


async def _main(argument: str) -> None:
    if argument == TRIVIAL:
        server = await asyncio.get_running_loop().create_server(_TrivialProtocol, "127.0.0.1", 0)
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await server.serve_forever()
    load = Load(**json.loads(argument))
    connections = _Connections(load)
    measured = await _LoadRun(load, connections).measure()
    connections.close()
    sys.stdout.write(json.dumps(asdict(measured)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))

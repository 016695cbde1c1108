"""A TCP proxy before PostgreSQL that can swallow what the server answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import make_url

_CHUNK_BYTES = 65_536


class SilentProxy:
    """Passes everything on, until told to let the server's answers vanish."""

    def __init__(self, url: str) -> None:
        self._behind = make_url(url)
        self._tasks: set[asyncio.Task[None]] = set()
        self._silenced: set[int] = set()  # numbers of connections
        self._is_silent = False
        self._words: bytes | None = None
        self.connections = 0
        self.url = ""

    def listens_at(self, port: int) -> None:
        """Set `url`, the address for those who come through the proxy."""
        self.url = self._behind.set(host="127.0.0.1", port=port, query={}).render_as_string(
            hide_password=False
        )

    def silence_all(self) -> None:
        """No connection, not even one made later, gets an answer any more."""
        self._is_silent = True

    def silence_open(self) -> None:
        """The connections that are open get no answer any more; those made later do."""
        self._silenced = set(range(self.connections))

    def silence_at(self, words: bytes) -> None:
        """Silence the connection that sends those words next, from that moment on."""
        self._words = words

    def answer(self) -> None:
        """Pass on what the server sends from now on to connections made later."""
        self.silence_open()
        self._is_silent = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        socket = Path(str(self._behind.query["host"])) / ".s.PGSQL.5432"
        from_server, to_server = await asyncio.open_unix_connection(socket)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask(number, reader, to_server))
            group.create_task(self._tell(number, from_server, writer))

    async def _ask(
        self, number: int, client: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while said := await client.read(_CHUNK_BYTES):
                if self._words is not None and self._words in said:
                    self._words = None
                    self._silenced.add(number)
                server.write(said)
                await server.drain()
        server.close()

    async def _tell(
        self, number: int, server: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while said := await server.read(_CHUNK_BYTES):
                if not self._is_silent and number not in self._silenced:
                    client.write(said)
                    await client.drain()
        if not self._is_silent and number not in self._silenced:
            client.close()  # a route that is lost tells of no end either


@asynccontextmanager
async def silent_proxy(url: str) -> AsyncIterator[SilentProxy]:
    """A proxy before the embedded PostgreSQL of that address, which passes everything on."""
    proxy = SilentProxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.listens_at(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()

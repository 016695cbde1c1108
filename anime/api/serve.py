"""One application on several ports."""

import logging
import socket
from collections.abc import Sequence

import uvicorn

from anime.api.app import create_app
from anime.errors import ConfigurationError
from anime.listening import listening_socket
from anime.settings import Settings

STOP_SECONDS = 5  # how long a stop waits for requests under way

_log = logging.getLogger(__name__)


class WithoutQuery(logging.Filter):
    """Cuts queries off what uvicorn logs: they may hold a token, or the text of a prompt."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every line is let through, without its query."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                part.partition("?")[0] if isinstance(part, str) and part.startswith("/") else part
                for part in record.args
            )
        return True


async def serve(settings: Settings) -> None:
    """Answer on every port of the settings until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: a port is taken, no database is known, or others could reach the API
            without a token.
    """
    app = create_app(settings)
    sockets = listen(settings.api_host, settings.api_ports)
    config = uvicorn.Config(
        app, log_level="info", server_header=False, timeout_graceful_shutdown=STOP_SECONDS
    )
    for name in ("uvicorn.access", "uvicorn.error"):  # the second has the lines on sockets
        logging.getLogger(name).addFilter(WithoutQuery())
    for each in sockets:
        _log.info("The API listens on %s", address_of(each))
    await uvicorn.Server(config).serve(sockets=sockets)


def listen(host: str, ports: Sequence[int]) -> list[socket.socket]:
    """A listening socket for each port; 0 stands for any free one.

    Raises:
        ConfigurationError: one is taken or not allowed; none is left open.
    """
    opened: list[socket.socket] = []
    try:
        for port in ports:
            opened.append(listening_socket(host, port, variable="ANIME_API_PORTS"))  # noqa: PERF401  what is open must be known
    except ConfigurationError:
        for each in opened:
            each.close()
        raise
    return opened


def address_of(listening: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

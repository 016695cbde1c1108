"""Runs one application on several ports, one of them for the WebSocket."""

import logging
import socket
from collections.abc import Sequence

import uvicorn
from fastapi import FastAPI
from sse_starlette.sse import AppStatus

from anime.api.app import create_app
from anime.errors import ConfigurationError
from anime.net.sockets import listening_socket
from anime.progress.websocket_protocol import DroppingWebSocketProtocol
from anime.settings import Settings

STOP_SECONDS = 5  # how long a stop waits for requests under way
FRAME_MAX_BYTES = 64 * 1024  # a client that sends a larger one gets close code 1009
PING_SECONDS = 20.0  # how often a WebSocket client is pinged, and how long it may take to answer

_log = logging.getLogger(__name__)


class QueryFilter(logging.Filter):
    """Removes queries from what uvicorn logs: they may hold a token, or the text of a prompt."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every line on, without its query."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                part.partition("?")[0] if isinstance(part, str) and part.startswith("/") else part
                for part in record.args
            )
        return True


class ApiServer(uvicorn.Server):
    """Ends the streams of events before it waits for requests to end."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                ws=DroppingWebSocketProtocol,
                ws_max_size=FRAME_MAX_BYTES,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PING_SECONDS,
                # It takes 43 KB a client, and compresses each message again for each of them.
                ws_per_message_deflate=False,
                log_level="info",
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self._app = app
        # It would cut off a client that is behind; end_streams sends each all that is left.
        AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # theirs

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; WebSocket clients get the close code 1012."""
        self._app.state.gateway.end_streams()
        await super().shutdown(sockets)


async def serve(settings: Settings) -> None:
    """Answer on every port of the settings until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: a port is taken, no database is known, or others could reach the API
            without a token.
    """
    app = create_app(settings)
    server = ApiServer(app)
    for name in ("uvicorn.access", "uvicorn.error"):  # the second logs sockets
        logging.getLogger(name).addFilter(QueryFilter())
    sockets = listen_on_all(settings)
    for each in sockets:
        _log.info("The API listens on %s", address_of(each))
    await server.serve(sockets=sockets)


def listen_on_all(settings: Settings) -> list[socket.socket]:
    """A listening socket for each of the API's ports, and a last one for the WebSocket's.

    Raises:
        ConfigurationError: one is taken or not allowed; none is left open.
    """
    sockets = listen(settings.api_host, settings.api_ports)
    try:
        return sockets + listen(settings.api_host, [settings.ws_port], variable="ANIME_WS_PORT")
    except ConfigurationError:
        for each in sockets:
            each.close()
        raise


def listen(
    host: str, ports: Sequence[int], *, variable: str = "ANIME_API_PORTS"
) -> list[socket.socket]:
    """A listening socket for each port; 0 stands for any free one.

    Raises:
        ConfigurationError: one is taken or not allowed; none is left open.
    """
    opened: list[socket.socket] = []
    try:
        for port in ports:
            opened.append(listening_socket(host, port, variable=variable))  # noqa: PERF401  those that are open must be known
    except ConfigurationError:
        for each in opened:
            each.close()
        raise
    return opened


def address_of(listening: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

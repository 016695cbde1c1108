"""Runs one application on several ports, one of them for the WebSocket."""

import gc
import logging
import socket
import sys
from collections.abc import Sequence
from copy import deepcopy

import uvicorn
from fastapi import FastAPI
from sse_starlette.sse import AppStatus
from uvicorn.config import LOGGING_CONFIG

from anime.api.app import create_app
from anime.errors import ConfigurationError
from anime.net.log_lines import JsonFormatter
from anime.net.sockets import listening_socket
from anime.net.vault.start import resolve_at_start
from anime.progress.websocket_protocol import DroppingWebSocketProtocol
from anime.settings import Settings
from anime.settings.service_manager import ServiceManager, inherited_sockets

STOP_SECONDS = 5  # how long a stop waits for requests under way
FRAME_MAX_BYTES = 64 * 1024  # a client that sends a larger one gets close code 1009
TICKS_BETWEEN_WRITES = 10  # of uvicorn's, of 0.1 s each
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


class AccessHandler(logging.Handler):
    """Keeps its lines until it is flushed: to write each by itself takes a tenth of an answer."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        self._lines.append(f"{self.format(record)}\n")

    def flush(self) -> None:
        """Write all lines; the end of the process does so, too."""
        lines, self._lines = self._lines, []
        sys.stdout.write("".join(lines))
        sys.stdout.flush()


class ApiServer(uvicorn.Server):
    """Ends the streams of events before it waits for requests to end; tells its manager how it is.

    The loop that answers requests gives the signs of life: one that hangs gives none.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        logs = deepcopy(LOGGING_CONFIG)
        self._access_handler = AccessHandler()
        logs["handlers"]["access"] = {"()": lambda: self._access_handler, "formatter": "access"}
        if settings.log_format == "json":
            logs["formatters"] = {name: {"()": JsonFormatter} for name in logs["formatters"]}
        super().__init__(
            uvicorn.Config(
                app,
                ws=DroppingWebSocketProtocol,
                ws_max_size=FRAME_MAX_BYTES,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PING_SECONDS,
                # It takes 43 KB a client, and compresses each message again for each of them.
                ws_per_message_deflate=False,
                log_config=logs,
                log_level="info",
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self._app = app
        self._manager = ServiceManager.of_this_process()
        # It would cut off a client that is behind; end_streams sends each all that is left.
        AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # theirs

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the connections and answer requests."""
        await super().startup(sockets)
        if self.started:
            self._manager.tell_ready()

    async def on_tick(self, counter: int) -> bool:
        """Write what was logged in the last second; whether to stop."""
        self._manager.tell_alive()
        if counter % TICKS_BETWEEN_WRITES == 0:
            self._access_handler.flush()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; WebSocket clients get the close code 1012."""
        self._app.state.gateway.end_streams()
        await super().shutdown(sockets)
        self._access_handler.flush()


async def serve(settings: Settings) -> None:
    """Answer on every port of the settings until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: a port is taken, no database is known, or others could reach the API
            without a token.
        VaultUnavailable: a setting refers to Vault, which does not answer.
    """
    await resolve_at_start(settings, "API")
    app = create_app(settings)
    server = ApiServer(app, settings)
    for name in ("uvicorn.access", "uvicorn.error"):  # the second logs sockets
        logging.getLogger(name).addFilter(QueryFilter())
    sockets = inherited_sockets() or listen_on_all(settings)
    for each in sockets:
        _log.info("The API listens on %s", address_of(each))
    # What is imported lasts: to look through it for garbage holds up every request for 0.1 s.
    gc.freeze()
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

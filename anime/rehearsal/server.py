"""Starting and stopping the rehearsal server."""

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette

from anime.errors import ConfigurationError, StackError
from anime.net.sockets import listening_socket
from anime.rehearsal.app import build_app
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.fault_injector import FaultInjector
from anime.retry_policies import cancel_until_ended

logger = logging.getLogger(__name__)

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.005  # between two checks of a starting server


def run(config: RehearsalConfig) -> None:
    """Serve until SIGINT or SIGTERM, then end at once without a shutdown, as ComfyUI does.

    Raises:
        ConfigurationError: the port is taken or the folders cannot be made.
    """
    asyncio.run(_serve_until_signalled(config))


async def _serve_until_signalled(config: RehearsalConfig) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, os._exit, 0)
    async with serving(config) as url:
        logger.info("Rehearsal server on %s, files in %s", url, config.data_dir)
        await asyncio.Event().wait()


@asynccontextmanager
async def serving(config: RehearsalConfig) -> AsyncIterator[str]:
    """A server inside the running event loop; yields its base URL, without a trailing slash.

    Raises:
        ConfigurationError: the port is taken, this machine does not have the address, or the
            folders cannot be made.
        StackError: the server did not start.
    """
    await asyncio.sleep(config.faults.start_seconds)
    listener = listening_socket(config.host, config.port, variable="ANIME_REHEARSAL_PORT")
    await asyncio.to_thread(_prepare_folders, config)
    app = build_app(config)
    server = _Server(_uvicorn_config(app))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    refusing = asyncio.create_task(_refuse_when_told(server, app.state.injector))
    try:
        await _wait_until_started(server, task)
        host = f"[{config.host}]" if ":" in config.host else config.host
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        await cancel_until_ended(refusing)
        server.should_exit = True
        await asyncio.wait([task], timeout=STOP_TIMEOUT_SECONDS)
        listener.close()


async def _refuse_when_told(server: uvicorn.Server, injector: FaultInjector) -> None:
    """Close the listening socket and every connection once none is to be accepted."""
    await injector.refuses.wait()
    for listening in server.servers:
        listening.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()


def _uvicorn_config(app: Starlette) -> uvicorn.Config:
    """ComfyUI sends no pings and does not compress what it sends."""
    return uvicorn.Config(
        app,
        ws="auto",
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=1,
    )


class _Server(uvicorn.Server):
    """A server that leaves signals to its caller."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _prepare_folders(config: RehearsalConfig) -> None:
    """Make the folders, and empty temp/ as ComfyUI does when it starts."""
    try:
        shutil.rmtree(config.folders["temp"], ignore_errors=True)
        for folder in config.folders.values():
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ConfigurationError(
            f"The rehearsal server cannot make {fault.filename}: {fault.strerror}.",
            "Choose a data folder that this user may write to.",
        ) from fault


async def _wait_until_started(server: uvicorn.Server, task: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(START_TIMEOUT_SECONDS):
        while not server.started:
            if task.done():
                raise StackError(
                    "The rehearsal server did not start.",
                    "See the log lines above this one.",
                ) from task.exception()
            await asyncio.sleep(POLL_SECONDS)

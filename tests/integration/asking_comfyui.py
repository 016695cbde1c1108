"""A rehearsal server behind a proxy that asks who we are."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from anime.net.sockets import listening_socket
from anime.rehearsal.app import build_app
from anime.rehearsal.config import RehearsalConfig
from tests.support.waiting import HUNG_SECONDS


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: of who signs, and one with key for both sides."""

    authority: Path
    certificate: Path
    key: Path


class AskingProxy:
    """Lets through only whom it admits. As some proxies, it says what others have shown."""

    def __init__(self, app: ASGIApp, admits: Callable[[Headers], bool]) -> None:
        self._app = app
        self._admits = admits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._admits(shown := Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await WebSocketClose(1008)(scope, receive, send)
        else:
            await PlainTextResponse(f"Who are you? {dict(shown)}", 401)(scope, receive, send)


@asynccontextmanager
async def asking_comfyui(
    config: RehearsalConfig,
    admits: Callable[[Headers], bool],
    certificates: Certificates | None = None,
) -> AsyncIterator[str]:
    """Its address. With TLS, it asks for a certificate as well."""
    app = AskingProxy(build_app(config), admits)
    for name in ("input", "output", "temp"):
        (config.data_dir / name).mkdir(parents=True)
    settings = uvicorn.Config(app, lifespan="on", log_level="warning", timeout_graceful_shutdown=1)
    if certificates is not None:
        settings.ssl_certfile, settings.ssl_keyfile = certificates.certificate, certificates.key
        settings.ssl_ca_certs = str(certificates.authority)
        settings.ssl_cert_reqs = ssl.CERT_REQUIRED
    server = uvicorn.Server(settings)
    with listening_socket("127.0.0.1", 0, variable="") as listening:
        serving = asyncio.create_task(server._serve(sockets=[listening]))
        async with asyncio.timeout(HUNG_SECONDS):
            while not server.started:
                assert not serving.done()
                await asyncio.sleep(0.01)
        scheme = "http" if certificates is None else "https"
        try:
            yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving

"""Prefect's server as it is when it is ill: what a test names is refused, over a socket."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

import httpx
import pytest
from prefect.settings import PREFECT_API_URL

Asked = Callable[[httpx.Request], bool]


class PrefectOutage:
    """Which requests are refused; all others reach the real server.

    Each try of Prefect's client is decided anew, so that an outage may end under its retries.
    """

    def __init__(self, ill_server: httpx.URL) -> None:
        self._ill_server = ill_server
        self._is_refused: Asked = lambda _: False
        self.refused = asyncio.Event()
        self.refusals = 0

    def begin(self, is_refused: Asked = lambda _: True) -> None:
        """Refuse those requests from now on: all, unless told which."""
        self._is_refused = is_refused
        self.refused.clear()

    def end(self) -> None:
        """Answer all again."""
        self._is_refused = lambda _: False

    def rerouted(self, request: httpx.Request) -> httpx.Request:
        """The request, sent to the server that is ill if it is to be refused."""
        healthy = httpx.URL(str(PREFECT_API_URL.value()))
        if request.url.port != healthy.port or not self._is_refused(request):
            return request
        self.refused.set()
        self.refusals += 1
        return httpx.Request(
            request.method,
            request.url.copy_with(host=self._ill_server.host, port=self._ill_server.port),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )


def about_artifacts(request: httpx.Request) -> bool:
    """Whether the request is for what only shows."""
    return "/artifacts/" in request.url.path


@asynccontextmanager
async def prefect_outage(
    monkeypatch: pytest.MonkeyPatch, status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE
) -> AsyncIterator[PrefectOutage]:
    """An outage that may begin and end while the block lasts.

    `status`: what Prefect answers. Without its database that is INTERNAL_SERVER_ERROR, after which
    its client does not ask again.
    """
    handle = httpx.AsyncHTTPTransport.handle_async_request

    async def routed(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return await handle(transport, outage.rerouted(request))

    server = await asyncio.start_server(partial(_refuse, status), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outage = PrefectOutage(httpx.URL(f"http://127.0.0.1:{port}"))
    with monkeypatch.context() as patched:
        patched.setattr(httpx.AsyncHTTPTransport, "handle_async_request", routed)
        async with server:
            yield outage


async def _refuse(
    status: HTTPStatus, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = re.search(r"content-length: (\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    line = f"HTTP/1.1 {status.value} {status.phrase}"
    writer.write(f"{line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
    await writer.drain()
    writer.close()

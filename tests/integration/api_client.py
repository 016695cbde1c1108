"""The API in process, on a real database and library: fixtures of the tests of its routes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from anime.api.app import create_app
from anime.api.serve import address_of, listen
from anime.settings import Settings, load_settings
from tests.integration.prefect_peer import AUTH, PrefectPeer, running_prefect_peer

BASE_URL = "http://localhost:8330"
TOKENS = {"api_token": SecretStr("first, second")}


@pytest_asyncio.fixture
async def prefect_peer() -> AsyncIterator[PrefectPeer]:
    """A stand-in for Prefect's server."""
    async with running_prefect_peer() as peer:
        yield peer


@pytest.fixture
def api_settings(prefect_peer: PrefectPeer, database_url: str, tmp_path: Path) -> Settings:
    """Settings of an API that asks for no token."""
    (tmp_path / "library").mkdir()
    return load_settings(
        prefect_api_url=prefect_peer.url,
        prefect_api_auth_string=AUTH,
        database_url=database_url,
        library_dir=tmp_path / "library",
    )


@pytest_asyncio.fixture
async def api(api_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API."""
    async with opened_api(api_settings) as client:
        yield client


@asynccontextmanager
async def client_of(app: FastAPI, *, raises_bugs: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which runs as long as the block.

    `raises_bugs`: what no handler expects is raised here, too, instead of only answered with 500.
    """
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=raises_bugs)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client,
    ):
        yield client


@asynccontextmanager
async def serving_api(settings: Settings) -> AsyncIterator[str]:
    """The address of the API, on a free port."""
    [listening] = listen("127.0.0.1", [0])
    config = uvicorn.Config(create_app(settings), log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listening]))  # without its hold on the signals
    try:
        yield address_of(listening)
    finally:
        server.should_exit = True
        await task
        listening.close()


@asynccontextmanager
async def opened_api(settings: Settings, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API of these settings, with the changes named."""
    async with client_of(create_app(settings.model_copy(update=changes))) as client:
        yield client


def problem_in(answer: httpx.Response, status: int) -> dict[str, Any]:  # JSON
    """The problem document of an answer, which must be a whole one of that status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()  # JSON
    assert problem.keys() >= {"type", "title", "status", "detail", "todo", "instance"}
    assert problem["status"] == status
    assert "Traceback" not in answer.text
    return problem


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:  # JSON
    """Method, path and description of everything an OpenAPI document offers."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation

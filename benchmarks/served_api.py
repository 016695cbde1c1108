"""An API in a process of its own, on a database that a benchmark has filled; nothing renders."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from anime.errors import StackError
from anime.settings import PROJECT_DIR

START_SECONDS = 60.0


@asynccontextmanager
async def served_api(folder: Path, database_url: str) -> AsyncIterator[str]:
    """The address of an API in a process of its own, on that database."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ANIME_")}
    given = {
        "ANIME_HOME": str(folder / "home"),
        "ANIME_LIBRARY_DIR": str(folder / "library"),
        "ANIME_DATABASE_URL": database_url,
        "ANIME_API_PORTS": str(port),
        "ANIME_WS_PORT": "0",
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
    }
    with (folder / "api.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "anime.cli.app", "serve"),
            cwd=PROJECT_DIR,
            env={**bare, **given},
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url) as client, asyncio.timeout(START_SECONDS):
            while not await _answers(client):
                if process.returncode is not None:
                    raise StackError("The API has ended.", (folder / "api.log").read_text()[-2000:])
                await asyncio.sleep(0.1)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).is_success
    except httpx.TransportError:
        return False

"""`anime serve` as a program: how it refuses to start, what it logs, how it stops."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import make_url
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from anime.progress.publisher import ProgressPublisher
from anime.settings import Settings
from tests.integration.api_client import problem_in
from tests.integration.progress_peer import event
from tests.support.forks import PipedProgram, fork_with_pipes
from tests.support.ports import lasting_port
from tests.support.waiting import HUNG_SECONDS

EVENTS_BEHIND = 150
TOKEN = "a-token-nobody-may-see"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Served:
    """A running `anime serve`."""

    process: PipedProgram
    http: httpx.AsyncClient

    async def stopped(self) -> tuple[int | None, str]:
        """Its exit code and its log, once it has ended."""
        async with asyncio.timeout(HUNG_SECONDS):
            log, _ = await self.process.communicate()
        return self.process.returncode, log.decode()


def environment(settings: Settings, **more: str) -> Mapping[str, str]:
    assert settings.database_url is not None
    return os.environ | {
        "ANIME_DATABASE_URL": settings.database_url.get_secret_value(),
        "ANIME_LIBRARY_DIR": str(settings.library),
        **more,
    }


async def start(env: Mapping[str, str], command: str = "serve") -> PipedProgram:
    return await fork_with_pipes("anime.cli.app", [command], env, errors_to_output=True)


@asynccontextmanager
async def serving_api(env: Mapping[str, str], port: int) -> AsyncIterator[Served]:
    process = await start(env)
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=HUNG_SECONDS
        ) as http:
            async with asyncio.timeout(HUNG_SECONDS):
                while not await _answers(http):
                    assert process.returncode is None, "it has ended"
                    await asyncio.sleep(0.05)
            yield Served(process, http)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/health")).is_success
    except httpx.TransportError:
        return False


@pytest_asyncio.fixture
async def served(api_settings: Settings, tmp_path: Path) -> AsyncIterator[Served]:
    """As a service of systemd, which hears that it is ready and that its loop turns."""
    port = lasting_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(HUNG_SECONDS)
        env = environment(
            api_settings,
            ANIME_API_PORTS=str(port),
            ANIME_WS_PORT="0",
            ANIME_API_TOKEN=TOKEN,
            NOTIFY_SOCKET=str(tmp_path / "notify"),
            WATCHDOG_USEC="1500000",
        )
        async with serving_api(env, port) as api:
            heard = [await asyncio.to_thread(told.recv, 100) for _ in range(3)]
            assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            yield api


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65536):
        yield b" " * 65536


async def test_a_request_under_way_is_answered_before_it_stops(
    served: Served, database_url: str
) -> None:
    """And what it logs of all this holds neither the token nor what was searched for."""
    address = make_url(database_url).set(drivername="postgresql")
    url = address.render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(url) as holding:
        await holding.execute("LOCK anime_api.production_jobs IN ACCESS EXCLUSIVE MODE")
        query = {"character": "secret heroine"}
        waiting = asyncio.create_task(
            served.http.get("/api/anime/jobs", params=query, headers=BEARER)
        )
        async with asyncio.timeout(HUNG_SECONDS):
            while not await _someone_waits(url):
                await asyncio.sleep(0.02)
        served.process.send_signal(signal.SIGTERM)
        await _refuses_new_connections(served)
        assert not waiting.done()
        await holding.rollback()
    assert (await waiting).json() == {"items": [], "next_cursor": None}
    code, log = await served.stopped()
    assert code == -signal.SIGTERM, log  # uvicorn ends by the signal, once all is done
    assert "GET /api/anime/jobs" in log
    assert "heroine" not in log
    assert TOKEN not in log


async def _someone_waits(url: str) -> bool:
    async with await psycopg.AsyncConnection.connect(url) as check_lock:
        cursor = await check_lock.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted"
            " AND relation = 'anime_api.production_jobs'::regclass"
        )
        row = await cursor.fetchone()
    return row is not None and row[0] > 0


async def _refuses_new_connections(served: Served) -> None:
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            async with httpx.AsyncClient(base_url=served.http.base_url) as other:
                if not await _answers(other):
                    return
            await asyncio.sleep(0.02)


async def test_a_reader_of_events_that_is_behind_at_a_stop_is_told_all_of_them(
    api_settings: Settings, redis_url: str
) -> None:
    job_id, port = uuid4(), lasting_port()
    more = {"ANIME_API_PORTS": str(port), "ANIME_WS_PORT": "0", "ANIME_REDIS_URL": redis_url}
    path = f"/api/anime/jobs/{job_id}/events"
    async with (
        serving_api(environment(api_settings, **more), port) as served,
        ProgressPublisher(redis_url) as publisher,
        small_receiver(port) as behind,
    ):
        await publisher.publish(event(job_id, 1))
        async with behind.stream("GET", path) as slow, served.http.stream("GET", path) as quick:
            slow_lines, quick_lines = slow.aiter_lines(), quick.aiter_lines()
            await anext(slow_lines)
            await anext(quick_lines)
            for _ in range(EVENTS_BEHIND):  # 9 MB: more than the sockets on the way hold
                await publisher.publish(event(job_id, 1, message="x" * 60_000))
            last = f"id: {EVENTS_BEHIND + 1}"
            async with asyncio.timeout(HUNG_SECONDS):
                while await anext(quick_lines) != last:
                    pass
            served.process.send_signal(signal.SIGTERM)
            ids = []
            async for line in slow_lines:
                if line.startswith("id: "):
                    ids.append(line)
                    await asyncio.sleep(0.2 / EVENTS_BEHIND)
        assert (len(ids), ids[-1]) == (EVENTS_BEHIND, last)
        _, log = await served.stopped()
        assert "ERROR" not in log


def small_receiver(port: int) -> httpx.AsyncClient:
    """A client for which little can be on the way."""
    options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**18)]
    transport = httpx.AsyncHTTPTransport(socket_options=options)
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=HUNG_SECONDS
    )


async def test_bodies_that_are_too_long_are_refused_over_a_socket(served: Served) -> None:
    headers = BEARER | {"Content-Type": "application/json"}
    for body in (in_pieces(2**21), b" " * 2**21):
        answer = await served.http.post("/api/anime/generate", content=body, headers=headers)
        problem_in(answer, 413)
    problem_in(await served.http.post("/api/anime/generate", content=in_pieces(2**21)), 401)
    problem_in(await served.http.get("/api/anime/jobs", params={"token": TOKEN}), 401)
    served.process.send_signal(signal.SIGTERM)
    _, log = await served.stopped()
    assert "401" in log
    assert TOKEN not in log


async def test_the_log_of_sockets_holds_no_token_and_calls_a_refusal_no_error(
    served: Served,
) -> None:
    url = str(served.http.base_url).replace("http", "ws") + "/ws"
    async with connect(f"{url}?token={TOKEN}", proxy=None) as opened:
        await opened.send('{"action": "ping"}')
        assert "pong" in str(await opened.recv())
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{url}?token={TOKEN}-of-yesterday", proxy=None):
            pass
    assert refused.value.response.status_code == 401
    served.process.send_signal(signal.SIGTERM)
    _, log = await served.stopped()
    assert '"WebSocket /ws" [accepted]' in log
    assert '"WebSocket /ws" 401' in log
    assert TOKEN not in log
    assert "ERROR" not in log


@pytest.mark.parametrize("command", ["serve", "up"])
async def test_f71_it_does_not_start_where_everybody_could_come_in(
    api_settings: Settings, command: str
) -> None:
    env = environment(api_settings, ANIME_API_HOST="0.0.0.0", ANIME_API_PORTS="0")
    process = await start(env, command)
    async with asyncio.timeout(HUNG_SECONDS):
        said, _ = await process.communicate()
    assert process.returncode == 1
    assert "ANIME_API_TOKEN" in said.decode()
    assert "Traceback" not in said.decode()

"""Watching servers: what becomes of one that dies, hangs, renders nothing, or comes back."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from anime.comfyui.client import ComfyUIClient
from anime.core.server_health import DEAD_SECONDS, SILENT_SECONDS, STUCK_SECONDS, ServerHealth
from anime.core.servers import ServerRecord
from anime.db.repositories import (
    JobRepository,
    SentPromptRepository,
    ServerRepository,
    TimelineRepository,
    UnsettledPrompt,
)
from anime.db.session import Database
from anime.errors import DatabaseUnavailable
from anime.jobs.servers.moved_prompts import clear_moved
from anime.jobs.servers.watcher import ServerWatcher
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.faults import Faults
from anime.rehearsal.server import serving
from anime.schemas import GenerationRequest
from anime.settings import load_settings
from tests.integration.comfyui_peer import Host, Peer
from tests.integration.rehearsal_peer import modelless, txt2img
from tests.support.ports import lasting_port
from tests.support.waiting import HUNG_SECONDS


class Clock:
    """A clock that goes on when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Watch:
    """A watcher of one server, and what it has found."""

    def __init__(self, database: Database, url: str, **times: float) -> None:
        self.database, self.url, self.clock = database, url, Clock()
        settings = load_settings(comfyui_url=f"{url}/")
        self.watcher = ServerWatcher(database, settings, clock=self.clock, **times)

    async def look(self, *, later: float = 0.0) -> ServerHealth:
        """The health after one look more, and after what it leads to."""
        self.clock.seconds += later
        await self.watcher.step()
        async with asyncio.timeout(HUNG_SECONDS):
            await self.watcher.settled()
        return (await self.server()).health

    def expects_canaries_soon(self) -> None:
        """Take a server that renders none in a fifth of a second for one that renders none."""
        self.watcher._canary_seconds = 0.2

    async def server(self) -> ServerRecord:
        async with self.database.autocommit() as session:
            return await ServerRepository(session).get(self.url)


@asynccontextmanager
async def watching(database: Database, url: str, **times: float) -> AsyncIterator[Watch]:
    watch = Watch(database, url, **times)
    await watch.watcher.seed()
    try:
        yield watch
    finally:
        await watch.watcher.close()


def config_of(
    folder: Path, port: int = 0, step_seconds: float = 0, **faults: Any
) -> RehearsalConfig:
    return RehearsalConfig(
        data_dir=folder,
        port=port,
        step_seconds=step_seconds,
        log=folder / "log",
        faults=Faults(**faults),
    )


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def submit(url: str, graph: dict[str, Any], prompt_id: UUID | None = None) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=HUNG_SECONDS) as http:
        body = {"prompt": graph, "prompt_id": str(prompt_id or uuid4())}
        (await http.post("/prompt", json=body)).raise_for_status()


async def read(url: str, path: str) -> Any:  # JSON
    async with httpx.AsyncClient(base_url=url, timeout=HUNG_SECONDS) as http:
        return (await http.get(path)).json()


async def sent_prompt(database: Database, url: str, *, attempt: int = 1) -> tuple[UUID, UUID]:
    """A prompt that was sent there as the first attempt of a job; and the job, which may be at
    a later one.
    """
    job_id, prompt_id = uuid4(), uuid4()
    async with database.session_scope() as session:
        jobs = JobRepository(session)
        request = GenerationRequest(prompt="a girl")
        await jobs.create(job_id, request, workflow="txt2img", seed=1)
        await SentPromptRepository(session).record(prompt_id, job_id=job_id, server=url, attempt=1)
        lease = await jobs.lease(job_id, uuid4(), seconds=600)
        assert lease is not None
        await jobs.begin_attempt(lease, attempt=attempt, prompt_id=uuid4(), comfyui_url=url)
    return prompt_id, job_id


async def send_and_move(database: Database, url: str) -> tuple[UUID, UUID]:
    """A prompt that was sent there, of a job that now renders elsewhere; and the job."""
    return await sent_prompt(database, url, attempt=2)


async def unsettled(database: Database, url: str) -> int:
    async with database.autocommit() as session:
        return len(await SentPromptRepository(session).unsettled_at(url))


async def test_a_new_server_is_alive_once_it_has_rendered_a_canary_that_leaves_nothing(
    database: Database, tmp_path: Path
) -> None:
    async with serving(config_of(tmp_path)) as url, watching(database, url) as watch:
        assert await watch.look() is ServerHealth.UNKNOWN
        assert await watch.look() is ServerHealth.ALIVE
        server = await watch.server()
        assert await read(url, "/history") == {}
        assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == ["log"]
    assert server.health_reason == "It answers and renders."
    assert server.fingerprint is not None
    assert server.fingerprint.version == "0.33.0"
    assert server.fingerprint.vram_total_mb == 24_576
    assert server.fingerprint.packages is not None
    assert server.offers["checkpoints"] == (
        "rehearsal-sd15.safetensors",
        "rehearsal-sdxl.safetensors",
    )
    assert server.last_seen_at is not None


async def test_no_canary_disturbs_what_somebody_renders(database: Database, tmp_path: Path) -> None:
    async with (
        serving(config_of(tmp_path, step_seconds=HUNG_SECONDS)) as url,
        watching(database, url) as watch,
    ):
        await submit(url, txt2img())
        await watch.look()
        assert await watch.look() is ServerHealth.ALIVE
        assert (await watch.server()).health_reason == "It answers."
        assert await read(url, "/prompt") == {"exec_info": {"queue_remaining": 1}}


async def test_f80_a_server_that_refuses_is_dead_after_seconds_and_alive_when_it_is_back(
    database: Database, tmp_path: Path
) -> None:
    async with (
        serving(config_of(tmp_path, lasting_port())) as url,
        watching(database, url) as watch,
    ):
        await watch.look()
        assert await watch.look() is ServerHealth.ALIVE
        async with database.session_scope() as session:
            await ServerRepository(session).set_loaded_model(url, "sdxl")
    async with watching(database, url) as watch:
        assert await watch.look() is ServerHealth.ALIVE
        assert await watch.look(later=DEAD_SECONDS / 2) is ServerHealth.ALIVE
        assert await watch.look(later=DEAD_SECONDS / 2) is ServerHealth.UNREACHABLE
        assert (await watch.server()).loaded_model is None
        async with serving(config_of(tmp_path, port_of(url))):
            assert await watch.look() is ServerHealth.UNREACHABLE
            assert await watch.look() is ServerHealth.ALIVE


async def test_f05_f81_a_server_that_says_nothing_is_unresponsive_and_not_dead(
    database: Database,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with watching(database, url, look_seconds=0.05) as watch:
            assert await watch.look() is ServerHealth.UNKNOWN
            assert await watch.look(later=SILENT_SECONDS) is ServerHealth.UNRESPONSIVE
            assert "not answer" in (await watch.server()).health_reason


async def test_f04_a_server_that_renders_no_canary_is_a_zombie_until_it_is_restarted(
    database: Database, tmp_path: Path
) -> None:
    async with (
        serving(config_of(tmp_path, lasting_port(), zombie_after=0)) as url,
        watching(database, url) as watch,
    ):
        watch.expects_canaries_soon()
        await watch.look()
        assert await watch.look() is ServerHealth.ZOMBIE
        assert await watch.look() is ServerHealth.ZOMBIE
        assert await read(url, "/queue") == {"queue_running": [], "queue_pending": []}
    async with watching(database, url) as watch:
        assert await watch.look() is ServerHealth.UNREACHABLE
        async with serving(config_of(tmp_path, port_of(url))):
            await watch.look()
            assert await watch.look() is ServerHealth.ALIVE


async def test_f04_prompts_that_wait_while_nothing_runs_show_a_zombie_without_a_canary(
    database: Database, tmp_path: Path
) -> None:
    async with (
        serving(config_of(tmp_path, zombie_after=1)) as url,
        watching(database, url) as watch,
    ):
        await watch.look()
        assert await watch.look() is ServerHealth.ALIVE
        await submit(url, modelless())
        await watch.look()
        assert await watch.look(later=STUCK_SECONDS) is ServerHealth.ALIVE
        assert await watch.look() is ServerHealth.ZOMBIE


async def test_f04_what_waits_at_a_zombie_is_taken_back_if_another_server_could_render_it(
    database: Database, tmp_path: Path
) -> None:
    async with (
        serving(config_of(tmp_path, zombie_after=1)) as url,
        watching(database, url) as watch,
    ):
        await watch.look()
        prompt_id, job_id = await sent_prompt(database, url)
        await submit(url, modelless(), prompt_id)
        await watch.look()
        await watch.look(later=STUCK_SECONDS)
        assert await watch.look() is ServerHealth.ZOMBIE
        await watch.look()
        assert await read(url, "/prompt") == {"exec_info": {"queue_remaining": 1}}
        async with database.session_scope() as session:
            servers = ServerRepository(session)
            await servers.add("http://127.0.0.1:9", name="other", labels=[])
            await servers.set_health("http://127.0.0.1:9", ServerHealth.ALIVE, "it answers")
        await watch.look()
        assert await read(url, "/prompt") == {"exec_info": {"queue_remaining": 0}}
    async with database.autocommit() as session:
        *_, last = await TimelineRepository(session).of_job(job_id)
    assert last.message == (
        f"The prompt of attempt 1 was taken back from {url}, which begins no prompt."
    )


async def test_a_server_that_rendered_nothing_for_long_is_sent_a_canary(
    database: Database, tmp_path: Path
) -> None:
    async with (
        serving(config_of(tmp_path, zombie_after=1)) as url,
        watching(database, url) as watch,
    ):
        await watch.look()
        assert await watch.look() is ServerHealth.ALIVE
        watch.expects_canaries_soon()
        assert await watch.look(later=899) is ServerHealth.ALIVE
        await watch.look(later=1)
        assert await watch.look() is ServerHealth.ZOMBIE


async def test_a_server_that_a_run_suspects_must_render_a_canary(
    database: Database, tmp_path: Path
) -> None:
    async with (
        serving(config_of(tmp_path, zombie_after=1)) as url,
        watching(database, url) as watch,
    ):
        await watch.look()
        assert await watch.look() is ServerHealth.ALIVE
        watch.expects_canaries_soon()
        async with database.session_scope() as session:
            await ServerRepository(session).set_health(
                url, ServerHealth.UNKNOWN, "a render stalled"
            )
        await watch.look()
        assert await watch.look() is ServerHealth.ZOMBIE


async def test_f21_a_latched_server_is_healed_by_a_restart_and_by_nothing_else(
    database: Database, tmp_path: Path
) -> None:
    async with (
        serving(config_of(tmp_path, lasting_port())) as url,
        watching(database, url) as watch,
    ):
        async with database.session_scope() as session:
            await ServerRepository(session).set_health(url, ServerHealth.LATCHED, "a CUDA error")
        await watch.look()
        assert await watch.look(later=1000) is ServerHealth.LATCHED
    async with watching(database, url) as watch:
        assert await watch.look() is ServerHealth.UNREACHABLE
        async with serving(config_of(tmp_path, port_of(url))):
            await watch.look()
            assert await watch.look() is ServerHealth.ALIVE


async def test_f81_what_has_moved_is_stopped_before_a_server_that_returns_is_alive(
    database: Database, tmp_path: Path
) -> None:
    config = config_of(tmp_path, lasting_port(), step_seconds=HUNG_SECONDS, keep_queue=True)
    async with serving(config) as url:
        running, _ = await send_and_move(database, url)
        waiting, _ = await send_and_move(database, url)
        await submit(url, txt2img("a/x", steps=9999), running)
        await submit(url, txt2img("b/x"), waiting)
    config = config_of(tmp_path, port_of(url), step_seconds=0.05, keep_queue=True)
    async with watching(database, url) as watch:
        await watch.look()
        assert await watch.look(later=DEAD_SECONDS) is ServerHealth.UNREACHABLE
        async with serving(config):
            assert await watch.look() is ServerHealth.UNREACHABLE
            assert await unsettled(database, url) == 0
            assert await read(url, "/prompt") == {"exec_info": {"queue_remaining": 0}}
            assert await watch.look() is ServerHealth.ALIVE
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert events.count("accepted") >= 2
    assert events.count("succeeded") == 1  # the canary


async def test_f81_a_prompt_that_had_ended_where_nobody_waited_is_told_in_the_timeline(
    database: Database, tmp_path: Path
) -> None:
    async with serving(config_of(tmp_path)) as url, watching(database, url) as watch:
        prompt_id, job_id = await send_and_move(database, url)
        await submit(url, modelless(), prompt_id)
        async with asyncio.timeout(HUNG_SECONDS):
            while (await read(url, "/prompt"))["exec_info"]["queue_remaining"]:
                await asyncio.sleep(0.01)
        await watch.look()
        assert await unsettled(database, url) == 0
    async with database.autocommit() as session:
        *_, last = await TimelineRepository(session).of_job(job_id)
    assert last.message == (
        f"The prompt of attempt 1 had rendered to its end at {url}, where nobody waited for it."
    )


async def test_one_of_two_watchers_looks(database: Database, tmp_path: Path) -> None:
    async with serving(config_of(tmp_path)) as url, watching(database, url) as watch:
        async with database.session_scope() as session:
            assert await ServerRepository(session).try_lock()
            await watch.watcher.step()
        assert (await watch.server()).checked_at is None
        await watch.look()
        assert (await watch.server()).checked_at is not None


async def test_once_a_prompt_of_nobody_cannot_be_settled_no_other_one_is_stopped(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may watch the server by then."""
    first, second = (
        UnsettledPrompt("", uuid4(), uuid4(), 1, datetime.now(UTC), True, False) for _ in range(2)
    )
    begun, ended = asyncio.Event(), list[UUID]()

    async def settle(_: object, prompt_id: UUID) -> None:
        if prompt_id == first.prompt_id:
            await begun.wait()
            raise DatabaseUnavailable("It is away.", "")
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(prompt_id)

    monkeypatch.setattr(SentPromptRepository, "settle", settle)
    host = Host()
    async with host.up(Peer()), ComfyUIClient(host.url) as client:
        with pytest.raises(DatabaseUnavailable):
            await clear_moved(client, database, [first, second])
        assert ended == [second.prompt_id]

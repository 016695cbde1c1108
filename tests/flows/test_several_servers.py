"""Several ComfyUI servers: each render at the one that can, and elsewhere when that one fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from prefect.exceptions import CancelledRun
from sqlalchemy import text

from anime.comfyui.address import canonical_url
from anime.comfyui.client import ComfyUIClient
from anime.core.ids import prompt_id_of
from anime.core.job_status import FailureKind, JobStatus
from anime.core.server_health import ServerHealth
from anime.core.timeline import TimelineKind
from anime.db.repositories import (
    JobRepository,
    SentPromptRepository,
    ServerRepository,
    TimelineRepository,
)
from anime.errors import ComfyUIUnreachable, InvalidRequest, OutOfVram, PromptRejected
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.faults import Faults
from anime.rehearsal.server import serving
from anime.schemas import GenerationRequest, JobSnapshot
from anime.settings import get_settings
from flows.batch import batch
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio
from tests.support.jobs import newest_jobs
from tests.support.waiting import HUNG_SECONDS

SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 2}  # any fields of a request
SLOW: dict[str, Any] = SMALL | {"steps": 1000}


class Relay:
    """What a server is reached through; frozen, it accepts connections and answers nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._moves = asyncio.Event()
        self._moves.set()
        self._writers: list[asyncio.StreamWriter] = []

    def freeze(self) -> None:
        """Let nothing through any more, in either direction."""
        self._moves.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on both directions of one connection."""
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, there_writer]
        await asyncio.gather(
            self._pass_on(reader, there_writer), self._pass_on(there_reader, writer)
        )

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._moves.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    def close(self) -> None:
        """Break off all connections, as the end of a process does."""
        self._moves.set()
        for writer in self._writers:
            writer.transport.abort()


@dataclass
class Servers:
    """Rehearsal servers in this process, by name."""

    folder: Path
    urls: dict[str, str] = field(default_factory=dict)
    relays: dict[str, Relay] = field(default_factory=dict)
    _running: dict[str, AsyncExitStack] = field(default_factory=dict)
    _http: httpx.AsyncClient = field(
        default_factory=lambda: httpx.AsyncClient(timeout=HUNG_SECONDS, trust_env=False)
    )

    async def start(self, name: str, **settings: Any) -> str:  # of RehearsalConfig
        """The URL of a new server."""
        config = RehearsalConfig(
            **{"data_dir": self.folder / name, "port": 0, "step_seconds": 0.0, **settings}
        )
        stack = self._running[name] = AsyncExitStack()
        url = await stack.enter_async_context(serving(config))
        relay = self.relays[name] = Relay(int(url.rpartition(":")[2]))
        listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
        stack.callback(relay.close)
        stack.callback(listener.close)
        self.urls[name] = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        return self.urls[name]

    async def kill(self, name: str) -> None:
        """Stop the server: its port is closed from now on."""
        await self._running.pop(name).aclose()

    async def history(self, name: str) -> dict[str, Any]:
        """All prompts that have ended there."""
        return cast("dict[str, Any]", (await self._http.get(f"{self.urls[name]}/history")).json())

    async def queued(self, name: str) -> list[UUID]:
        """The prompts that it runs or that wait there."""
        queue = (await self._http.get(f"{self.urls[name]}/queue")).json()
        return [
            UUID(each[1]) for part in ("queue_running", "queue_pending") for each in queue[part]
        ]

    async def until_at(self) -> str:
        """The name of the first server that has a prompt."""
        async with asyncio.timeout(HUNG_SECONDS):
            while True:
                for name in self._running:
                    if await self.queued(name):
                        return name
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        for name in list(self._running):
            await self.kill(name)
        await self._http.aclose()


Start = Callable[..., Awaitable[Servers]]


@pytest_asyncio.fixture
async def start(
    studio: RehearsalStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Start]:
    """Starts servers, which are then those of the settings: names, each with what is special."""
    servers = Servers(tmp_path)

    async def started(**named: dict[str, Any]) -> Servers:  # of RehearsalConfig
        for name, settings in named.items():
            await servers.start(name, **settings)
        monkeypatch.setenv("ANIME_COMFYUI_URL", ",".join(servers.urls.values()))
        get_settings.cache_clear()
        async with studio.database.session_scope() as session:
            known = ServerRepository(session)
            for name, url in servers.urls.items():
                await known.add(canonical_url(url), name=name, labels=[f"label-{name}"])
        return servers

    yield started
    await servers.end()


async def server_of(studio: RehearsalStudio, servers: Servers) -> str:
    job = await studio.newest_job()
    return next(name for name, url in servers.urls.items() if url == job.comfyui_url)


async def jobs_of(studio: RehearsalStudio) -> list[JobSnapshot]:
    return await newest_jobs(studio.database)


async def cancel(studio: RehearsalStudio, job_id: UUID, run: "asyncio.Future[list[str]]") -> None:
    """Cancel the job, and wait until its run has ended."""
    async with studio.database.session_scope() as session:
        await JobRepository(session).request_cancel(job_id)
    with pytest.raises(CancelledRun):
        await asyncio.wait_for(run, HUNG_SECONDS)


async def timeline_of(studio: RehearsalStudio, job_id: UUID, kind: TimelineKind) -> list[str]:
    async with studio.database.session_scope() as session:
        entries = await TimelineRepository(session).of_job(job_id)
    return [entry.message for entry in entries if entry.kind is kind]


async def test_f80_a_batch_is_spread_over_the_servers_and_the_quick_one_renders_more(
    studio: RehearsalStudio, start: Start
) -> None:
    servers = await start(quick={"step_seconds": 0.1}, slow={"step_seconds": 0.6})
    async with studio.database.session_scope() as session:  # so that no load keeps one away
        for url in servers.urls.values():
            await ServerRepository(session).set_loaded_model(url, "rehearsal-sd15.safetensors")
    await batch(name="spread", prompts=["many"], takes=16, common=SMALL | {"steps": 10})
    rendered = {name: len(await servers.history(name)) for name in servers.urls}
    assert sum(rendered.values()) == len(studio.library_files()) == 16
    assert rendered["quick"] > rendered["slow"] > 0
    async with studio.database.session_scope() as session:
        rows = (
            await session.execute(
                text("SELECT server, renders, mean_seconds FROM anime_api.render_costs")
            )
        ).all()
    means = {row.server: row.mean_seconds for row in rows}
    assert means[servers.urls["quick"]] < means[servers.urls["slow"]]
    assert sum(row.renders for row in rows) <= 16


async def test_f80_what_only_one_server_can_run_goes_there_and_says_why(
    studio: RehearsalStudio, start: Start
) -> None:
    servers = await start(plain={}, inked={"loras": ("ours.safetensors",)})
    for _ in range(2):
        await generate(prompt="ink", loras=[{"name": "ours.safetensors"}], **SMALL)
        assert await server_of(studio, servers) == "inked"
    job = await studio.newest_job()
    [why] = await timeline_of(studio, job.id, TimelineKind.SERVER)
    assert servers.urls["inked"] in why
    assert "expected in" in why
    with pytest.raises(PromptRejected, match="None of 2 servers can run this"):
        await generate(prompt="?", loras=[{"name": "nobodys.safetensors"}], **SMALL)


async def test_a_request_may_name_its_server_or_a_label(
    studio: RehearsalStudio, start: Start
) -> None:
    servers = await start(first={}, second={})
    for named in ("second", "label-second", "first"):
        await generate(prompt="there", server=named, **SMALL)
        assert await server_of(studio, servers) == named.removeprefix("label-")
    with pytest.raises(InvalidRequest, match=r'"third".*first, label-first, label-second, second'):
        await generate(prompt="where?", server="third", **SMALL)


async def test_two_models_in_turn_each_keep_to_the_server_that_holds_them(
    studio: RehearsalStudio, start: Start
) -> None:
    servers = await start(first={}, second={}, third={})
    places: dict[str, set[str]] = {"sd15": set(), "sdxl": set()}
    for turn in range(8):
        model = ("sd15", "sdxl")[turn % 2]
        await generate(prompt=f"turn {turn}", model=f"rehearsal-{model}.safetensors", **SMALL)
        places[model].add(await server_of(studio, servers))
    assert len(places["sd15"]) == len(places["sdxl"]) == 1
    assert places["sd15"] != places["sdxl"]


async def test_f80_the_prompts_of_a_dead_server_render_elsewhere_within_90_seconds(
    studio: RehearsalStudio, start: Start
) -> None:
    servers = await start(first={"step_seconds": 0.05}, second={"step_seconds": 0.05})
    job_id = uuid4()
    run = asyncio.ensure_future(generate(prompt="survive", job_id=job_id, **SLOW))
    dead = await servers.until_at()
    await servers.kill(dead)
    killed_at = asyncio.get_running_loop().time()
    assert await servers.until_at() != dead
    assert asyncio.get_running_loop().time() - killed_at < 90
    [moved] = await timeline_of(studio, job_id, TimelineKind.DECISION)
    assert "is dead" in moved
    assert "another server" in moved
    job = await studio.newest_job()
    assert (job.status, job.attempt) == (JobStatus.PROCESSING, 2)
    async with studio.database.session_scope() as session:
        left = await SentPromptRepository(session).unsettled_at(servers.urls[dead])
        avoided = await session.scalar(
            text("SELECT avoided_servers FROM anime_api.production_jobs")
        )
    assert [prompt.has_moved for prompt in left] == [True]  # to be cancelled when it returns
    assert avoided == [servers.urls[dead]]
    await cancel(studio, job_id, run)


@pytest.mark.parametrize("policy", ["fail", "move"])
async def test_f81_a_silent_server_keeps_its_prompt_for_as_long_as_the_setting_says(
    studio: RehearsalStudio, start: Start, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    monkeypatch.setenv("ANIME_COMFYUI_WAIT_SECONDS", "8")  # a slow machine answers within it
    monkeypatch.setenv("ANIME_SILENT_SERVER_POLICY", policy)
    servers = await start(first={"step_seconds": 0.05}, second={"step_seconds": 0.05})
    job_id = uuid4()
    run = asyncio.ensure_future(generate(prompt="hello?", job_id=job_id, **SLOW))
    silent = await servers.until_at()
    servers.relays[silent].freeze()
    [other] = servers.urls.keys() - {silent}
    if policy == "fail":
        with pytest.raises(ComfyUIUnreachable, match="has not answered"):
            await asyncio.wait_for(run, HUNG_SECONDS)
        assert await servers.queued(other) == []
        assert (await studio.newest_job()).error_kind is FailureKind.COMFYUI_UNREACHABLE
        return
    async with asyncio.timeout(HUNG_SECONDS):
        while not await servers.queued(other):
            await asyncio.sleep(0.05)
    await cancel(studio, job_id, run)


async def test_f20_out_of_memory_is_tried_once_more_and_then_at_a_server_with_more(
    studio: RehearsalStudio, start: Start
) -> None:
    without_memory = Faults(out_of_memory_at=frozenset({"KSampler"}))
    servers = await start(
        small={"vram_total_mb": 9_000, "faults": without_memory}, large={"vram_total_mb": 24_000}
    )
    async with studio.database.session_scope() as session:  # the small one is the first choice
        model = "rehearsal-sd15.safetensors"
        await ServerRepository(session).set_loaded_model(servers.urls["small"], model)
    await generate(prompt="heavy", **SMALL)
    job = await studio.newest_job()
    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 3)
    assert await server_of(studio, servers) == "large"
    assert len(await servers.history("small")) == 2


async def test_f21_a_gpu_fault_latches_its_server_and_the_job_is_rendered_at_another_one(
    studio: RehearsalStudio, start: Start
) -> None:
    servers = await start(broken={"faults": Faults(gpu_fault_after=0)}, sound={})
    async with studio.database.session_scope() as session:  # the broken one is the first choice
        model = "rehearsal-sd15.safetensors"
        await ServerRepository(session).set_loaded_model(servers.urls["broken"], model)
    for _ in range(2):
        await generate(prompt="on", **SMALL)
        assert await server_of(studio, servers) == "sound"
    assert len(await servers.history("broken")) == 1, "it was given nothing more"
    async with studio.database.session_scope() as session:
        broken = await ServerRepository(session).get("broken")
    assert broken.health is ServerHealth.LATCHED
    assert "CUDA" in broken.health_reason
    first = (await jobs_of(studio))[1]
    assert (first.status, first.attempt) == (JobStatus.COMPLETED, 2)
    [moved] = await timeline_of(studio, first.id, TimelineKind.DECISION)
    assert "another server" in moved


async def test_a_last_attempt_that_its_server_has_never_got_is_made_at_another_one(
    studio: RehearsalStudio, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_MAX_ATTEMPTS", "1")
    servers = await start(first={}, second={})
    url, job_id = servers.urls["first"], uuid4()
    prompt_id = prompt_id_of(job_id, 1)
    async with studio.database.session_scope() as session:  # as a run leaves it that died then
        jobs, sent = JobRepository(session), SentPromptRepository(session)
        request = GenerationRequest(prompt="once", **SMALL)
        await jobs.create(job_id, request, workflow=request.workflow_name, seed=1)
        lease = await jobs.lease(job_id, uuid4(), seconds=HUNG_SECONDS)
        assert lease is not None
        await jobs.begin_attempt(lease, attempt=1, prompt_id=prompt_id, comfyui_url=url)
        await sent.record(prompt_id, job_id=job_id, server=url, attempt=1)
        await jobs.release(lease)
        await ServerRepository(session).drain(url)
    await asyncio.wait_for(generate(prompt="once", job_id=job_id, **SMALL), HUNG_SECONDS)
    job = await studio.newest_job()
    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 2)
    assert await server_of(studio, servers) == "second"


async def test_a_server_that_is_drained_before_it_tries_once_more_leaves_the_job_to_another_one(
    studio: RehearsalStudio, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_memory = Faults(out_of_memory_at=frozenset({"KSampler"}))
    servers = await start(full={"faults": without_memory}, other={})
    async with studio.database.session_scope() as session:  # the full one is the first choice
        model = "rehearsal-sd15.safetensors"
        await ServerRepository(session).set_loaded_model(servers.urls["full"], model)
    free = ComfyUIClient.free

    async def drained(client: ComfyUIClient) -> None:
        async with studio.database.session_scope() as session:
            await ServerRepository(session).drain(client.base_url)
        await free(client)

    monkeypatch.setattr(ComfyUIClient, "free", drained)
    await asyncio.wait_for(generate(prompt="heavy", **SMALL), HUNG_SECONDS)
    job = await studio.newest_job()
    assert (job.status, job.attempt) == (JobStatus.COMPLETED, 2)
    assert await server_of(studio, servers) == "other"


async def test_out_of_memory_everywhere_is_told_as_such(
    studio: RehearsalStudio, start: Start
) -> None:
    without_memory = Faults(out_of_memory_at=frozenset({"KSampler"}))
    servers = await start(first={"faults": without_memory}, second={"faults": without_memory})
    with pytest.raises(OutOfVram):
        await generate(prompt="heavy", **SMALL)
    assert sum([len(await servers.history(name)) for name in servers.urls]) == 2


async def test_f80_a_server_that_is_added_while_a_batch_renders_gets_its_share(
    studio: RehearsalStudio, start: Start
) -> None:
    servers = await start(first={"step_seconds": 0.1})
    run = asyncio.ensure_future(
        batch(name="growing", prompts=["more"], takes=24, common=SMALL | {"steps": 10})
    )
    await servers.until_at()
    url = await servers.start("second", step_seconds=0.1)
    async with studio.database.session_scope() as session:
        await ServerRepository(session).add(canonical_url(url), name="second", labels=[])
    await asyncio.wait_for(run, HUNG_SECONDS)
    rendered = {name: len(await servers.history(name)) for name in servers.urls}
    assert sum(rendered.values()) == 24
    assert rendered["second"] >= 4


async def test_f80_servers_that_share_one_output_folder_keep_all_files_apart(
    studio: RehearsalStudio, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIME_COMFYUI_OUTPUT_DIR", str(tmp_path / "shared" / "output"))
    shared = {"data_dir": tmp_path / "shared", "step_seconds": 0.02}
    servers = await start(first=shared, second=shared)
    asked = [{"prompt": f"take {n}", "server": ("first", "second")[n % 2]} for n in range(8)]
    await batch(name="shared", requests=asked, common=SMALL)
    assert {name for name in servers.urls if await servers.history(name)} == {"first", "second"}
    hashes = {file.sha256 for file in await studio.files()}
    assert len(hashes) == len(studio.library_files()) == 8

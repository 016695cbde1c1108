"""Generations under a warm worker that is cancelled, stopped or killed, and a server that is."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import pytest
import pytest_asyncio
from pydantic import SecretStr

from anime.core.job_status import Stage
from anime.jobs.background import monitor_of
from anime.jobs.service import connect_job_service
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.server import serving
from anime.settings import Settings, load_settings
from tests.stack.conftest import StackUnderTest, new_forked_stack
from tests.support.stack import running
from tests.support.waiting import HUNG_SECONDS
from tests.worker.conftest import Site, WorkerProcess

STEPS = 20


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StackUnderTest]:
    """A stack of their own, in which a dead run's job is free soon.

    But not before its worker is back: then the run itself goes on.
    """
    folder = tmp_path_factory.mktemp("generations")
    async with running(new_forked_stack(folder, ANIME_LEASE_SECONDS="40")) as stack:
        yield stack


@pytest.mark.parametrize("kind", ["anime-warm", "process"])
async def test_a_run_cancelled_in_prefect_stops_its_render_and_cancels_its_job(
    stack: StackUnderTest, site: Site, kind: str, tmp_path: Path
) -> None:
    # Its steps take a second: a worker may need half a minute to hear of the cancellation.
    slow = RehearsalConfig(data_dir=tmp_path / "slow", port=0, step_seconds=1.0)
    async with serving(slow) as comfyui_url, known_to(stack, comfyui_url) as server:
        await site.start_worker(kind=kind, ANIME_COMFYUI_URL=comfyui_url)
        asked: dict[str, Any] = {"prompt": "no", "steps": 900, "width": 64, "height": 64}
        # The server of the stack could render it, too.
        run_id = await site.start("flows.generate.generate", **asked, server=server)
        await _until_stage(stack, str(run_id), "rendering")
        await site.cancel(run_id)
        run = await site.until(run_id)
        assert (run.state_name, run.name, set(run.tags)) == ("Cancelled", "no", {"image"})
        job = await stack.job(str(run_id))
        assert (job["status"], job["files"]) == ("cancelled", [])
        assert await _queue(comfyui_url) == {"queue_running": [], "queue_pending": []}


@asynccontextmanager
async def known_to(stack: StackUnderTest, comfyui_url: str) -> AsyncIterator[str]:
    """The name of that server, which the stack knows as long as the block lasts.

    Whatever takes its port afterwards is given no prompts.
    """
    async with stack.api() as api:
        answer = await api.post("/api/anime/servers", json={"url": comfyui_url})
        name = str(answer.raise_for_status().json()["name"])
        yield name
        (await api.delete(f"/api/anime/servers/{name}")).raise_for_status()


async def test_a_killed_worker_costs_no_render(stack: StackUnderTest, site: Site) -> None:
    with stack.renders_held():
        job = await _rendering(stack, "killed")
        psutil.Process(stack.record.parts["worker"].pid).kill()
        await _until_begun_again(site, job)
    await _assert_completed_by_one_prompt(stack, job["id"])
    assert (await site.until(UUID(job["flow_run_id"]))).state_name == "Completed"


async def test_f60_a_run_deleted_in_prefect_while_it_renders_costs_no_render(
    stack: StackUnderTest,
) -> None:
    with stack.renders_held():
        job = await _rendering(stack, "deleted")
        async with stack.prefect() as prefect:
            (await prefect.delete(f"/flow_runs/{job['flow_run_id']}")).raise_for_status()
        async with asyncio.timeout(HUNG_SECONDS):
            while not await _decisions(stack, job["id"]):
                await asyncio.sleep(0.2)
    await _assert_completed_by_one_prompt(stack, job["id"])
    assert await _decisions(stack, job["id"]) == [
        "Its run is gone from Prefect: a new run goes on with it."
    ]


async def test_f60_runs_that_are_lost_before_they_begin_are_made_anew_once_by_several_monitors(
    stack: StackUnderTest,
) -> None:
    async with stack.prefect() as prefect:
        await _pause_pool(prefect, is_paused=True)
        jobs = [await _ordered(stack, f"lost and found {number}", steps=1) for number in range(4)]
        lost = {job_id: await _run_of(stack, job_id) for job_id in jobs}
        for run_id in lost.values():
            (await prefect.delete(f"/flow_runs/{run_id}")).raise_for_status()
        async with AsyncExitStack() as others:  # the API has a monitor, too
            services = [
                await others.enter_async_context(connect_job_service(_settings_of(stack)))
                for _ in range(2)
            ]
            await asyncio.gather(*(monitor_of(each).step() for each in services))
        new = {job_id: await _run_of(stack, job_id, other_than=lost[job_id]) for job_id in jobs}
        key = {"flow_runs": {"idempotency_key": {"any_": [f"{job_id}:2" for job_id in jobs]}}}
        made = (await prefect.post("/flow_runs/filter", json=key)).raise_for_status().json()
        assert {run["id"] for run in made} == set(new.values())
        await _pause_pool(prefect, is_paused=False)
    for job_id in jobs:
        await _assert_completed_by_one_prompt(stack, job_id)


async def test_f60_a_job_goes_on_when_a_worker_dies_that_nobody_can_see_to_be_dead(
    stack: StackUnderTest, site: Site, tmp_path: Path
) -> None:
    known = stack.record.settings
    # In another data folder, as in another container or on another host.
    worker = await site.start_worker(
        ANIME_HOME=str(tmp_path),
        ANIME_LIBRARY_DIR=str(stack.home / "library"),
        ANIME_COMFYUI_URL=known["comfyui_url"],
        ANIME_DATABASE_URL=known["database_url"],
        ANIME_REDIS_URL=known["redis_url"],
        ANIME_LEASE_SECONDS="20",
    )
    with stack.renders_held():
        asked: dict[str, Any] = {"prompt": "unseen", "steps": STEPS, "width": 64, "height": 64}
        run_id = await site.start("flows.generate.generate", **asked)
        await _until_stage(stack, str(run_id), "rendering")
        await worker.end(signal.SIGKILL)
    await _assert_completed_by_one_prompt(stack, str(run_id))
    assert (await site.run(run_id)).state_name == "Crashed"


async def test_a_stopped_worker_costs_no_render(stack: StackUnderTest, site: Site) -> None:
    with stack.renders_held():
        job = await _rendering(stack, "stopped")
        worker = psutil.Process(stack.record.parts["worker"].pid)
        worker.terminate()
        worker.terminate()  # asked again: at once
        await _until_begun_again(site, job)
    await _assert_completed_by_one_prompt(stack, job["id"])
    assert (await site.run(UUID(job["flow_run_id"]))).run_count == 2


async def test_runs_in_every_stage_survive_the_death_of_their_worker(stack: StackUnderTest) -> None:
    with stack.renders_held():
        jobs = [await _ordered(stack, f"one of many {number}") for number in range(6)]
        await _until_any_renders(stack, jobs)
        psutil.Process(stack.record.parts["worker"].pid).send_signal(signal.SIGKILL)
    for job_id in jobs:
        # What died after its row and before its prompt goes on as a second attempt.
        attempts = min((await stack.job(job_id))["attempt"], 2)
        await _assert_completed_by_one_prompt(stack, job_id, attempts=attempts)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
async def test_runs_at_each_stage_go_on_under_the_next_worker(
    stack: StackUnderTest, site: Site, ending: signal.Signals
) -> None:
    worker = await _worker_with_room_for_all(site)
    runs = await _one_run_at_each_stage(site, ending.name)
    waiting = await site.start("sleeps", path=site.path)
    await worker.end(ending)
    await _worker_with_room_for_all(site)
    for stage, run_id in zip(Stage, runs, strict=True):
        # Written down and not yet sent: that attempt is one which the server knows nothing of.
        attempts = 2 if stage is Stage.SUBMITTING else 1
        await _assert_completed_by_one_prompt(stack, str(run_id), attempts=attempts)
    counts = [run.run_count for run in await site.until_all([*runs, waiting], "Completed")]
    assert counts == [2] * len(Stage) + [1]


async def test_runs_at_each_stage_can_be_cancelled(stack: StackUnderTest, site: Site) -> None:
    await _worker_with_room_for_all(site)
    runs = await _one_run_at_each_stage(site, "cancelled")
    for run_id in runs:
        await site.cancel(run_id)
    assert {run.state_name for run in await site.until_all(runs)} == {"Cancelled"}
    assert {(await stack.job(str(run_id)))["status"] for run_id in runs} == {"cancelled"}
    assert await _queue(stack.record.settings["comfyui_url"]) == {
        "queue_running": [],
        "queue_pending": [],
    }
    after = await site.until(await site.start("sleeps", path=site.path))
    assert after.state_name == "Completed"


async def test_a_prefect_server_that_is_restarted_fails_no_run(
    stack: StackUnderTest, site: Site
) -> None:
    with stack.renders_held():
        job = await _rendering(stack, "server away")
        psutil.Process(stack.record.parts["prefect"].pid).kill()
        async with asyncio.timeout(HUNG_SECONDS), stack.prefect() as prefect:
            while not await _answers(prefect):
                await asyncio.sleep(0.2)
    await _assert_completed_by_one_prompt(stack, job["id"])
    assert (await site.until(UUID(job["flow_run_id"]))).state_name == "Completed"


@pytest.mark.parametrize("part", ["prefect", "worker"])
async def test_a_part_that_is_killed_under_a_batch_costs_no_render(
    stack: StackUnderTest, part: str
) -> None:
    told = f"of the {part}'s night"
    order = {"prompts": [f"batch {n} {told}" for n in range(14)], "name": part}
    file = stack.folder / f"{part}.yaml"
    file.write_text(json.dumps({**order, "common": {"steps": 40, "width": 64, "height": 64}}))
    batch = asyncio.create_task(stack.anime("batch", str(file), "--json"))
    await _until_rendered(stack, told, at_least=2)
    psutil.Process(stack.record.parts[part].pid).kill()
    done = await batch
    assert done.returncode == 0, done.stderr
    assert len(await _rendered(stack, told)) == 14


async def _pause_pool(prefect: httpx.AsyncClient, *, is_paused: bool) -> None:
    answer = await prefect.patch("/work_pools/anime", json={"is_paused": is_paused})
    answer.raise_for_status()


def _settings_of(stack: StackUnderTest) -> Settings:
    known = stack.record.settings
    return load_settings(
        database_url=SecretStr(known["database_url"]),
        redis_url=SecretStr(known["redis_url"]),
        prefect_api_url=known["prefect_api_url"],
        prefect_api_auth_string=SecretStr(known["prefect_api_auth_string"]),
    )


async def _run_of(stack: StackUnderTest, job_id: str, *, other_than: str | None = None) -> str:
    """The id of the job's run in Prefect, once it has one."""
    async with asyncio.timeout(HUNG_SECONDS), stack.api() as api:
        while True:
            run_id = (await api.get(f"/api/anime/jobs/{job_id}")).json()["flow_run_id"]
            if run_id not in {None, other_than}:
                return str(run_id)
            await asyncio.sleep(0.1)


async def _worker_with_room_for_all(site: Site) -> WorkerProcess:
    return await site.start_worker(
        limit=len(Stage), ANIME_IN_FLIGHT=str(len(Stage)), ANIME_WORKER_GRACE_SECONDS="0.2"
    )


async def _one_run_at_each_stage(site: Site, word: str) -> list[UUID]:
    """Runs, each of which stays at another stage until it is begun anew."""
    runs = [
        await site.start(
            "tests.worker.stage_flows.stays",
            stage=str(stage),
            path=site.path,
            prompt=f"{word} at {stage}",
        )
        for stage in Stage
    ]
    await site.until_noted("stays", len(Stage))
    return runs


async def _ordered(stack: StackUnderTest, prompt: str, steps: int = STEPS) -> str:
    order = {"prompt": prompt, "width": 64, "height": 64, "steps": steps}
    async with stack.api() as api:
        answer = await api.post("/api/anime/generate", json=order)
    return str(answer.raise_for_status().json()["job_id"])


async def _rendering(stack: StackUnderTest, prompt: str) -> dict[str, Any]:  # a job's JSON
    return await _until_stage(stack, await _ordered(stack, prompt), "rendering")


async def _until_begun_again(site: Site, job: dict[str, Any]) -> None:  # its JSON
    async with asyncio.timeout(HUNG_SECONDS):
        while (await site.run(UUID(job["flow_run_id"]))).run_count < 2:
            await asyncio.sleep(0.2)


async def _decisions(stack: StackUnderTest, job_id: str) -> list[str]:
    async with stack.api() as api:
        timeline = (await api.get(f"/api/anime/jobs/{job_id}/timeline")).json()["entries"]
    return [each["message"] for each in timeline if each["kind"] == "decision"]


async def _answers(prefect: httpx.AsyncClient) -> bool:
    try:
        return (await prefect.get("/health")).is_success
    except httpx.TransportError:
        return False


async def _until_stage(
    stack: StackUnderTest, job_id: str, stage: str
) -> dict[str, Any]:  # a job's JSON
    async with asyncio.timeout(HUNG_SECONDS), stack.api() as api:
        while (job := (await api.get(f"/api/anime/jobs/{job_id}")).json()).get("stage") != stage:
            await asyncio.sleep(0.1)
    return dict(job)


async def _until_any_renders(stack: StackUnderTest, jobs: list[str]) -> None:
    async with asyncio.timeout(HUNG_SECONDS), stack.api() as api:
        while True:
            found = [(await api.get(f"/api/anime/jobs/{job}")).json() for job in jobs]
            if any(job["stage"] == "rendering" for job in found):
                return
            await asyncio.sleep(0.1)


async def _queue(comfyui_url: str) -> Any:  # ComfyUI's JSON
    async with httpx.AsyncClient(base_url=comfyui_url) as http:
        return (await http.get("/queue")).json()


async def _assert_completed_by_one_prompt(
    stack: StackUnderTest, job_id: str, *, attempts: int = 1
) -> None:
    """So many attempts, one prompt in ComfyUI's history, one file in its place."""
    job = await stack.job(job_id)
    assert (job["status"], job["attempt"]) == ("completed", attempts), job
    assert [Path(file["file_path"]).is_file() for file in job["files"]] == [True]
    assert len(await _rendered(stack, job["prompt"])) == 1


async def _until_rendered(stack: StackUnderTest, prompt: str, *, at_least: int) -> None:
    async with asyncio.timeout(HUNG_SECONDS):
        while len(await _rendered(stack, prompt)) < at_least:
            await asyncio.sleep(0.2)


async def _rendered(stack: StackUnderTest, prompt: str) -> list[str]:
    """Ids in ComfyUI's history of what was rendered for prompts with these words."""
    async with httpx.AsyncClient(base_url=stack.record.settings["comfyui_url"]) as http:
        history = (await http.get("/history")).json()
    return [key for key, entry in history.items() if prompt in json.dumps(entry["prompt"])]

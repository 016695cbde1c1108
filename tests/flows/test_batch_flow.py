"""The flow `batch`: many jobs in one run, none of them rendered twice."""

import asyncio
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled
from sqlalchemy import text

from anime.assets.render_result import RenderResult
from anime.assets.store import AssetStore
from anime.core.batches import BatchRequest, expand, possible_jobs_of
from anime.core.batches import jobs_of as jobs_of_batch
from anime.core.job_status import FailureKind, JobStatus
from anime.db.repositories import DispatchRepository, JobRepository, NewJob
from anime.errors import (
    AnimeError,
    BatchIncomplete,
    DatabaseUnavailable,
    InvalidRequest,
    LeaseLost,
    PrefectUnavailable,
)
from anime.net.prefect_api import PrefectApi
from anime.progress.publisher import ProgressPublisher, follow_job
from anime.rehearsal.config import RehearsalConfig
from anime.rehearsal.events import EventClient, Sockets
from anime.rehearsal.faults import Faults
from anime.runs import connections
from anime.runs.batch_children import cancel_children
from anime.runs.execution import JobExecution
from anime.runs.render import render_files
from anime.schemas import JobSnapshot
from anime.settings import PROJECT_DIR, get_settings
from flows.batch import batch
from flows.generate import generate
from tasks.files import OrganisedOutputs
from tests.flows.conftest import RehearsalStudio
from tests.flows.test_window_flow import somebody_waits
from tests.support.dead_mount import give_up_soon
from tests.support.jobs import newest_jobs
from tests.support.waiting import HUNG_SECONDS

STEPS = ("check VRAM", "submit", "poll completion", "organise", "record")
DELETE = text("DELETE FROM anime_api.production_jobs WHERE id = :job_id")
SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 2}  # any fields of a request


def parameters(name: str = "rooftops", **fields: Any) -> dict[str, Any]:  # any fields of a batch
    return {"name": name, "common": SMALL} | fields


async def paths_of(**fields: Any) -> list[str]:  # any fields of a batch
    return cast("list[str]", await batch(**fields))


async def jobs_of(studio: RehearsalStudio) -> list[JobSnapshot]:
    return await newest_jobs(studio.database)


async def prompts_rendered(studio: RehearsalStudio) -> int:
    async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
        return len((await http.get("/history")).json())


async def artifacts_of(run_id: UUID) -> dict[str, Any]:  # JSON of each kind
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        )
    return {str(artifact.type): artifact.data for artifact in found}


async def newest_batch_run() -> FlowRun:
    async with get_client() as client:
        runs = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["batch"])),
            limit=1,
            sort=cast("Any", "EXPECTED_START_TIME_DESC"),  # an enum Prefect takes by its word
        )
    return runs[0]


async def test_each_generation_is_a_job_with_files_and_the_batch_has_one_sheet(
    studio: RehearsalStudio,
) -> None:
    paths = await paths_of(**parameters(prompts=["dusk", "dawn"], seeds=[1, 2], priority=7))
    jobs = await jobs_of(studio)
    assert sorted(Path(path) for path in paths) == studio.library_files()
    assert {(job.prompt, job.seed) for job in jobs} == {
        (prompt, seed) for prompt in ("dusk", "dawn") for seed in (1, 2)
    }
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
    shown = await artifacts_of((await newest_batch_run()).id)
    [sheet] = (studio.library / ".sheets").iterdir()
    assert shown["image"].endswith(f"/api/anime/sheets/{sheet.name}")
    assert shown["progress"] == 100
    with Image.open(sheet) as drawn:
        assert drawn.width > 600


async def test_f44_the_jobs_of_a_batch_wait_together_for_a_library_that_does_not_answer(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_back, looks = threading.Event(), 0

    def hang(*_: object) -> None:
        nonlocal looks
        looks += 1
        assert is_back.wait(HUNG_SECONDS)

    with monkeypatch.context() as dead:
        dead.setattr(AssetStore, "_check", hang)
        dead.setattr(connections, "_CHECKED_SECONDS", HUNG_SECONDS)
        give_up_soon(dead, "hang")
        with pytest.raises(BatchIncomplete):
            await batch(**parameters(prompts=["noon"], takes=3))
        is_back.set()
    assert looks == 1
    jobs = await jobs_of(studio)
    assert [job.error_kind for job in jobs] == [FailureKind.STORAGE] * 3
    assert all("has not answered" in str(job.error) for job in jobs)


async def test_a_batch_hears_of_all_its_prompts_on_one_socket(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, add = list[str](), Sockets.add

    def noted(sockets: Sockets, client: EventClient) -> None:
        opened.append(client.client_id)
        add(sockets, client)

    monkeypatch.setattr(Sockets, "add", noted)
    await batch(**parameters(prompts=["noon"], takes=5))
    async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
        sent = [item["prompt"][3] for item in (await http.get("/history")).json().values()]
    assert len(sent) == 5
    assert [*{each["client_id"] for each in sent}] == opened


async def test_each_generation_and_its_steps_are_task_runs_of_the_batch(
    studio: RehearsalStudio,
) -> None:
    await batch(**parameters(prompts=["a {curly} girl"], takes=2))
    run = await newest_batch_run()
    expected = {f"{number} · a {{curly}} girl" for number in (1, 2)}
    expected |= {f"{name} · {step}" for name in expected for step in STEPS}
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    async with get_client() as client, asyncio.timeout(HUNG_SECONDS):
        while True:  # Prefect writes task runs a moment later
            found = await client.read_task_runs(flow_run_filter=of_run)
            ended = {each.name: each for each in found if each.state_name == "Completed"}
            if expected <= ended.keys():
                break
            await asyncio.sleep(0.05)
    assert run.name == "rooftops"
    assert {job.flow_run_id for job in await jobs_of(studio)} == {run.id}
    assert all(ended[name].start_time and ended[name].total_run_time for name in expected)


async def test_a_generation_that_was_cancelled_or_has_failed_shows_so_in_prefect(
    studio: RehearsalStudio,
) -> None:
    asked = parameters(prompts=["a"], requests=[{"prompt": "f", "sampler": "eulr"}])
    [first, _] = expand(BatchRequest.model_validate(asked))
    async with studio.database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create(first.job_id(1), first.request, workflow="txt2img", seed=1)
        await jobs.lease(first.job_id(1), uuid4(), seconds=0)
        await jobs.request_cancel(first.job_id(1))
    with pytest.raises(BatchIncomplete, match="1 failed, 1 cancelled"):
        await batch(**asked)
    run = await newest_batch_run()
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    names = {"1 · a", "2 · f"}
    async with get_client() as client, asyncio.timeout(HUNG_SECONDS):
        while len(ended := await _ended(client, of_run, names)) < len(names):
            await asyncio.sleep(0.05)
    assert ended["1 · a"].type.value == "CANCELLED"
    assert ended["2 · f"].type.value == "FAILED"
    assert "eulr" in str(ended["2 · f"].message)
    async with asyncio.timeout(HUNG_SECONDS):
        told = [each.status async for each in follow_job(studio.redis_url, first.job_id(1))]
    assert told == ["cancelled"], "no live run was left to publish it"


async def _ended(
    client: PrefectClient, of_run: FlowRunFilter, names: Collection[str]
) -> dict[str, State[Any]]:
    """The final states of those task runs that have one."""
    found = await client.read_task_runs(flow_run_filter=of_run)
    states = {each.name: each.state for each in found if each.name in names}
    return {name: state for name, state in states.items() if state and state.is_final()}


async def test_one_that_fails_stops_none_of_the_others_and_is_told_in_the_table(
    studio: RehearsalStudio,
) -> None:
    asked = parameters(prompts=list("abcde"), requests=[{"prompt": "f", "sampler": "eulr"}])
    with pytest.raises(BatchIncomplete, match=r"5 completed, 1 failed\. 6: .*eulr"):
        await batch(**asked)
    assert len(studio.library_files()) == len(await studio.files()) == 5
    shown = await artifacts_of((await newest_batch_run()).id)
    rows = json.loads(shown["table"])
    assert [row["prompt"] for row in rows] == list("abcdef")
    assert [row["status"] for row in rows] == ["completed"] * 5 + ["failed"]
    assert 'did you mean "euler"' in rows[5]["file or reason"]
    assert rows[5]["seen"] == ""
    name = Path(rows[0]["file or reason"]).name
    assert re.fullmatch(rf"\[{re.escape(name)}\]\(http://.+/files/.+/content.*\)", rows[0]["seen"])
    assert rows[0]["file or reason"] in {str(path) for path in studio.library_files()}


async def test_generations_that_went_on_without_their_batch_are_in_the_table_of_the_next_run(
    studio: RehearsalStudio,
) -> None:
    asked = parameters(prompts=["left", "right"])
    new = {
        job_id: NewJob.of(job_id, child.request, uuid4())
        for job_id, child in jobs_of_batch(expand(BatchRequest.model_validate(asked)), {}).items()
    }
    async with studio.database.session_scope() as session:
        await JobRepository(session).create_all(new)
        await session.execute(text("UPDATE anime_api.production_jobs SET batch_run_id = NULL"))
    [first, second] = [
        await generate(job_id=job_id, **job.request.model_dump(exclude_unset=True))
        for job_id, job in new.items()
    ]
    assert await paths_of(**asked) == [*first, *second]
    assert await prompts_rendered(studio) == 2, "nothing is rendered anew"
    rows = json.loads((await artifacts_of((await newest_batch_run()).id))["table"])
    assert [(row["prompt"], row["status"]) for row in rows] == [
        ("left", "completed"),
        ("right", "completed"),
    ]
    assert [row["file or reason"] for row in rows] == [*first, *second]


async def test_run_again_it_renders_only_what_is_missing(studio: RehearsalStudio) -> None:
    sketch = {"prompt": "in ink", "workflow": "img2img", "inputs": {"image": ".inputs/sketch.png"}}
    asked = {"name": "two goes", "prompts": ["a", "b"], "requests": [sketch]}
    with pytest.raises(BatchIncomplete, match="is no picture in"):
        await batch(**asked)
    assert await prompts_rendered(studio) == 2
    (studio.library / ".inputs").mkdir()
    Image.new("RGB", (64, 64), "teal").save(studio.library / ".inputs" / "sketch.png")
    paths = await paths_of(**asked)
    assert await prompts_rendered(studio) == 3
    assert sorted(Path(path) for path in paths) == studio.library_files()
    statuses = sorted(str(job.status) for job in await jobs_of(studio))
    assert statuses == ["completed", "completed", "completed", "failed"]
    assert await paths_of(**asked) == paths
    assert await prompts_rendered(studio) == 3


async def test_a_batch_that_was_extended_renders_only_what_is_new(
    studio: RehearsalStudio,
) -> None:
    first = await paths_of(**parameters(prompts=["a", "b"]))
    both = await paths_of(**parameters(prompts=["new", "b", "a"]))
    assert set(first) < set(both)
    assert await prompts_rendered(studio) == 3


async def test_what_has_failed_too_often_is_left_alone(studio: RehearsalStudio) -> None:
    asked = parameters(requests=[{"prompt": "f", "sampler": "eulr"}], max_tries=2)
    for _ in range(3):
        with pytest.raises(BatchIncomplete):
            await batch(**asked)
    assert len(await jobs_of(studio)) == 2


class TestWithRendersOneCanWatch:
    """The rehearsal server takes a fifth of a second for a picture."""

    @pytest.fixture
    def rehearsal_config(self, tmp_path: Path, held: Path) -> RehearsalConfig:
        folder, faults = tmp_path / "rehearsal", Faults(hold_while=held)
        return RehearsalConfig(data_dir=folder, port=0, step_seconds=0.1, faults=faults)

    async def test_the_server_has_as_many_prompts_as_the_window_and_never_more(
        self, studio: RehearsalStudio, held: Path
    ) -> None:
        held.touch()
        run = asyncio.create_task(paths_of(**parameters(prompts=["steady"], takes=4)))
        seen = []
        async with (
            asyncio.timeout(HUNG_SECONDS),
            httpx.AsyncClient(base_url=studio.comfyui_url) as http,
        ):
            while not run.done():
                queue = (await http.get("/queue")).json()
                seen.append(len(queue["queue_running"]) + len(queue["queue_pending"]))
                if max(seen) > 1 and await somebody_waits(studio):
                    held.unlink(missing_ok=True)
                await asyncio.wait([run], timeout=0.02)
        assert len(await run) == 4
        assert max(seen) == get_settings().in_flight == 2

    async def test_a_killed_batch_and_a_new_run_make_one_set_of_files(
        self, studio: RehearsalStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANIME_LEASE_SECONDS", "5")
        get_settings.cache_clear()
        asked = parameters(name="killed", prompts=["on and on"], takes=8)
        killed = await _start_elsewhere(asked, tmp_path)
        try:
            async with asyncio.timeout(HUNG_SECONDS):
                while len(await studio.files()) < 3:
                    assert killed.returncode is None, (tmp_path / "batch.log").read_text()
                    await asyncio.sleep(0.05)
        finally:
            killed.send_signal(signal.SIGKILL)
            await killed.wait()
        paths = await asyncio.wait_for(paths_of(**asked), HUNG_SECONDS)
        jobs = await jobs_of(studio)
        assert {job.status for job in jobs} == {JobStatus.COMPLETED}
        assert len(jobs) == len(set(paths)) == 8
        assert sorted(Path(path) for path in paths) == studio.library_files()
        assert {file.file_path for file in await studio.files()} == set(paths)
        # Not their attempts: one that was begun and not yet sent counts, and renders nothing.
        async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
            assert len((await http.get("/history")).json()) == 8

    @pytest.mark.parametrize("lost", [None, LeaseLost("Another run has it.", "Wait.")])
    async def test_a_job_that_is_deleted_while_it_renders_stops_none_of_the_others(
        self, studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch, lost: AnimeError | None
    ) -> None:
        async def render(job: JobExecution, *given: Any) -> tuple[RenderResult, OrganisedOutputs]:
            if job.request.prompt == "gone":
                async with studio.database.session_scope() as session:
                    await session.execute(DELETE, {"job_id": job.job_id})
                if lost:
                    raise lost
            return await render_files(job, *given)

        monkeypatch.setattr("anime.runs.generation.render_files", render)
        with pytest.raises(BatchIncomplete, match="2 completed, 1 deleted"):
            await paths_of(**parameters(prompts=["dusk", "gone", "dawn"]))
        assert {job.prompt: job.status for job in await jobs_of(studio)} == {
            "dusk": JobStatus.COMPLETED,
            "dawn": JobStatus.COMPLETED,
        }

    async def test_a_cancelled_batch_stops_its_jobs_and_their_prompts(
        self, studio: RehearsalStudio
    ) -> None:
        asked = parameters(name="never mind", prompts=["long"], takes=20)
        run = asyncio.create_task(paths_of(**asked))
        async with asyncio.timeout(HUNG_SECONDS):
            while not await studio.files():
                await asyncio.sleep(0.05)
        run.cancel()
        await asyncio.wait([run], timeout=HUNG_SECONDS)
        flow_run = (await newest_batch_run()).model_copy(update={"parameters": asked})
        await cancel_children(batch, flow_run, Cancelled())
        statuses = {job.status for job in await jobs_of(studio)}
        assert statuses == {JobStatus.COMPLETED, JobStatus.CANCELLED}
        async with httpx.AsyncClient(base_url=studio.comfyui_url) as http:
            queue = (await http.get("/queue")).json()
        assert queue == {"queue_running": [], "queue_pending": []}

    async def test_a_cancelled_run_of_a_batch_leaves_its_jobs_to_another_that_renders_them(
        self, studio: RehearsalStudio, held: Path
    ) -> None:
        held.touch()
        asked = parameters(name="twice", prompts=["once"], requests=[{"prompt": "both"}])
        first = asyncio.create_task(paths_of(**asked))
        async with asyncio.timeout(HUNG_SECONDS):
            while len([job for job in await jobs_of(studio) if job.prompt_id]) < 2:
                await asyncio.sleep(0.05)
        [run_id] = {job.flow_run_id for job in await jobs_of(studio)}
        more = parameters(name="twice", prompts=["new"], requests=[{"prompt": "both"}])
        second = asyncio.create_task(paths_of(**more))
        async with asyncio.timeout(HUNG_SECONDS):
            while len(await jobs_of(studio)) < 3:
                await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.wait([first], timeout=HUNG_SECONDS)
        flow_run = FlowRun(id=run_id, flow_id=uuid4(), parameters=asked)
        await cancel_children(batch, flow_run, Cancelled())
        held.unlink()
        assert len(await asyncio.wait_for(second, HUNG_SECONDS)) == 2
        statuses = {job.prompt: job.status for job in await jobs_of(studio)}
        assert statuses == {
            "once": JobStatus.CANCELLED,
            "both": JobStatus.COMPLETED,
            "new": JobStatus.COMPLETED,
        }


async def test_a_batch_that_is_none_says_in_sentences_what_is_wrong(
    studio: RehearsalStudio,
) -> None:
    wrong = [{"prompt": "rain", "sead": 1}] * 21
    with pytest.raises(InvalidRequest) as refused:
        await batch(**parameters(requests=wrong))
    assert refused.value.what.startswith("requests.0.sead: is not known. requests.1.sead: is")
    assert refused.value.what.endswith(" And 1 more.")
    assert await jobs_of(studio) == []


async def test_a_batch_before_its_first_job_can_be_cancelled(studio: RehearsalStudio) -> None:
    asked = BatchRequest.model_validate(parameters(prompts=["a", "b"]))
    async with studio.database.session_scope() as session:
        for child in expand(asked):
            await JobRepository(session).create(
                child.job_id(1), child.request, workflow="txt2img", seed=1
            )
    await cancel_run_of(asked)
    assert {job.status for job in await jobs_of(studio)} == {JobStatus.CANCELLED}


async def test_whoever_follows_a_job_hears_that_its_batch_was_cancelled_though_its_worker_died(
    studio: RehearsalStudio,
) -> None:
    asked = BatchRequest.model_validate(parameters(prompts=["begun", "waits"]))
    new = {
        key: NewJob.of(key, child.request)
        for key, child in jobs_of_batch(expand(asked), {}).items()
    }
    async with studio.database.session_scope() as session:
        jobs = JobRepository(session)
        await jobs.create_all(new)
        await jobs.lease(next(iter(new)), uuid4(), seconds=0)
        rows = await jobs.among(new)
    async with ProgressPublisher(studio.redis_url) as publisher:
        for job_id, job in new.items():
            await publisher.announce(rows[job_id], job.request)
    await cancel_run_of(asked)
    async with asyncio.timeout(HUNG_SECONDS):
        for job_id in new:
            told = [each.status async for each in follow_job(studio.redis_url, job_id, after_seq=1)]
            assert told == ["cancelled"]


@pytest.mark.parametrize("away", [PrefectUnavailable, DatabaseUnavailable])
async def test_a_cancelled_run_leaves_its_jobs_to_another_whatever_is_away_for_a_moment(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch, away: type[AnimeError]
) -> None:
    asked = BatchRequest.model_validate(parameters(name="twice", prompts=["both"]))
    going_on = uuid4()
    [(job_id, child)] = jobs_of_batch(expand(asked), {}).items()
    async with studio.database.session_scope() as session:
        await JobRepository(session).create_all({job_id: NewJob.of(job_id, child.request)})
    faults = [away("It restarts just now.", "Wait.")]

    async def answer(_: PrefectApi, flow: str) -> dict[UUID, dict[str, Any]]:
        if faults and away is PrefectUnavailable:
            raise faults.pop()
        return {going_on: asked.model_dump(mode="json")}

    change = DispatchRepository.change_batch

    async def change_or_fail(self: DispatchRepository, *given: Any) -> None:
        if faults:
            raise faults.pop()
        await change(self, *given)

    monkeypatch.setattr(PrefectApi, "runs_going_on", answer)
    monkeypatch.setattr(DispatchRepository, "change_batch", change_or_fail)
    await cancel_run_of(asked)
    assert not faults
    assert [job.status for job in await jobs_of(studio)] == [JobStatus.QUEUED]


async def cancel_run_of(asked: BatchRequest) -> None:
    flow_run = FlowRun(flow_id=possible_jobs_of(expand(asked))[0], parameters=asked.model_dump())
    await cancel_children(batch, flow_run, Cancelled())


def test_the_form_in_prefect_has_every_field_with_its_description() -> None:
    form = batch.parameters.properties
    for name, field in BatchRequest.model_fields.items():
        assert form[name]["description"] == field.description


async def _start_elsewhere(asked: dict[str, Any], folder: Path) -> asyncio.subprocess.Process:
    """The batch in a process of its own, which can be killed."""
    code = "import asyncio, json, sys\nfrom flows.batch import batch\n"
    code += "asyncio.run(batch(**json.loads(sys.argv[1])))"
    with (folder / "batch.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, json.dumps(asked)),
            env={**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
            cwd=PROJECT_DIR,
            stdout=log,
            stderr=log,
        )

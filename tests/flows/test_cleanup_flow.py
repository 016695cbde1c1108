"""The flow `cleanup`: what is old goes out of Prefect's tables, and nothing of ours."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from prefect import Flow, flow, get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.exceptions import ObjectNotFound
from prefect.flow_engine import run_flow_async
from prefect.flows import load_flow_from_entrypoint
from prefect.runtime import flow_run
from prefect.states import Pending, Running

from anime.settings import PROJECT_DIR
from anime.worker.prefect_internals import flush_logs_and_events
from flows.cleanup import cleanup
from flows.generate import generate
from tasks.cleanup import OUR_FLOWS
from tests.flows.conftest import RehearsalStudio
from tests.support.waiting import HUNG_SECONDS


@task
async def note() -> None:
    get_run_logger().info("something happened")
    await acreate_markdown_artifact("what was made", key="made")


@flow
async def make_something() -> UUID:
    await note()
    return UUID(str(flow_run.id))


@flow
async def calls_another() -> list[UUID]:
    return [await make_something(), UUID(str(flow_run.id))]


async def run_deployed(
    to_run: Flow[..., Any],  # any flow
    name: str = "generate",
    entrypoint: str = "flows.generate.generate",
    **parameters: object,
) -> UUID:
    """The id of a run of a deployment of a flow of that name, which has ended."""
    async with get_client() as client:
        flow_id = await client.create_flow_from_name(name)
        deployment = await client.create_deployment(
            flow_id, f"trial-{uuid4()}", entrypoint=entrypoint
        )
        run = await client.create_flow_run_from_deployment(deployment, parameters=parameters)
        await client.set_flow_run_state(run.id, Pending(), force=True)
        run = await client.read_flow_run(run.id)
    await run_flow_async(to_run, flow_run=run, parameters=parameters)
    return run.id


async def clean(days: float | None = None) -> dict[str, int]:
    return await cleanup(keep_days=days)


async def is_known(run_id: UUID) -> bool:
    async with get_client() as client:
        try:
            await client.read_flow_run(run_id)
        except ObjectNotFound:
            return False
    return True


async def rows_of(run_id: UUID) -> int:
    """Logs and artifacts of the run that are left."""
    async with get_client() as client:
        logs = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])))
        artifacts = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        )
    return len(logs) + len(artifacts)


async def test_a_run_goes_with_its_task_runs_logs_and_artifacts(studio: RehearsalStudio) -> None:
    run_id = await run_deployed(make_something)
    await flush_logs_and_events()  # a line that came after the run has gone would stay
    async with asyncio.timeout(HUNG_SECONDS):
        while await rows_of(run_id) < 2:
            await asyncio.sleep(0.1)
    removed = await clean(days=0)
    assert removed["runs"] >= 1
    assert removed["artifacts"] >= 1
    assert not await is_known(run_id)
    async with asyncio.timeout(HUNG_SECONDS):
        while await rows_of(run_id):  # Prefect removes logs a moment later
            await asyncio.sleep(0.1)


async def test_what_is_younger_or_still_goes_on_stays(studio: RehearsalStudio) -> None:
    young = await run_deployed(make_something)
    async with get_client() as client:
        going_on = await client.create_flow_run(make_something, state=Running())
    await clean()
    assert await is_known(young)
    await clean(days=0)
    assert not await is_known(young)
    assert await is_known(going_on.id)


async def test_jobs_and_files_of_ours_stay_when_their_runs_go(studio: RehearsalStudio) -> None:
    await run_deployed(generate, prompt="kept", width=64, height=64, steps=2)
    job = await studio.newest_job()
    assert job.flow_run_id is not None
    await clean(days=0)
    assert not await is_known(job.flow_run_id)
    assert await studio.newest_job() == job
    assert [file.file_path for file in await studio.files()] == [job.output_path]
    assert len(studio.library_files()) == 1


async def test_it_removes_so_many_at_a_time_and_yet_all(
    studio: RehearsalStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.cleanup._PAGE_SIZE", 2)
    runs = [await run_deployed(make_something) for _ in range(5)]
    assert (await clean(days=0))["runs"] >= 5
    assert not any([await is_known(run) for run in runs])


async def test_runs_of_other_teams_on_the_same_server_stay_with_what_is_theirs(
    studio: RehearsalStudio,
) -> None:
    theirs = [
        await run_deployed(make_something, entrypoint="nightly/generate.py:generate"),
        await make_something(),  # of no deployment
        *await calls_another(),
    ]
    ours = await run_deployed(make_something)
    before = [await rows_of(run) for run in theirs]
    await clean(days=0)
    assert not await is_known(ours)
    assert all([await is_known(run) for run in theirs])
    assert [await rows_of(run) for run in theirs] >= before


async def test_the_runs_that_a_run_of_ours_has_called_go_with_it(studio: RehearsalStudio) -> None:
    parent = await run_deployed(calls_another, "batch", "flows.batch.batch")
    async with get_client() as client:
        [child] = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[parent])
            )
        )
    await clean(days=0)
    assert not await is_known(parent)
    assert not await is_known(child.id)


def test_every_deployment_of_ours_is_cleaned_up() -> None:
    file = yaml.safe_load((PROJECT_DIR / "prefect.yaml").read_text())
    assert {each["entrypoint"] for each in file["deployments"]} == set(OUR_FLOWS.values())
    assert {load_flow_from_entrypoint(path).name: path for path in OUR_FLOWS.values()} == OUR_FLOWS

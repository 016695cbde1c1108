"""The flow `cleanup`: what is old goes out of Prefect's tables, and nothing of ours."""

import asyncio
from uuid import UUID

import pytest
from prefect import flow, get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Running

from flows.cleanup import cleanup
from flows.generate import generate
from tests.flows.conftest import RehearsalStudio


@task
async def note() -> None:
    get_run_logger().info("something happened")
    await acreate_markdown_artifact("what was made", key="made")


@flow
async def make_something() -> UUID:
    await note()
    return UUID(str(flow_run.id))


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
    run_id = await make_something()
    async with asyncio.timeout(20):
        while await rows_of(run_id) < 2:  # logs are sent a moment later
            await asyncio.sleep(0.1)
    removed = await clean(days=0)
    assert removed["runs"] >= 1
    assert removed["artifacts"] >= 1
    assert not await is_known(run_id)
    async with asyncio.timeout(20):
        while await rows_of(run_id):  # Prefect removes logs a moment later
            await asyncio.sleep(0.1)


async def test_what_is_younger_or_still_goes_on_stays(studio: RehearsalStudio) -> None:
    young = await make_something()
    async with get_client() as client:
        going_on = await client.create_flow_run(make_something, state=Running())
    await clean()
    assert await is_known(young)
    await clean(days=0)
    assert not await is_known(young)
    assert await is_known(going_on.id)


async def test_jobs_and_files_of_ours_stay_when_their_runs_go(studio: RehearsalStudio) -> None:
    await generate(prompt="kept", width=64, height=64, steps=2)
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
    monkeypatch.setattr("tasks.cleanup._AT_ONCE", 2)
    runs = [await make_something() for _ in range(5)]
    assert (await clean(days=0))["runs"] >= 5
    assert not any([await is_known(run) for run in runs])

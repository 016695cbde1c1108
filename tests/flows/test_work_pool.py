"""The pool that `anime up` makes on a real Prefect server, and what is kept of one that exists."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from anime.stack.prefect_setup import _ensure_pool
from anime.worker.warm_worker import WarmWorker


@pytest_asyncio.fixture
async def client(prefect_server: None) -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client


@pytest_asyncio.fixture
async def pool(client: PrefectClient) -> AsyncIterator[str]:
    name = f"pool-{uuid4().hex[:8]}"
    await _ensure_pool(client, name, "anime-warm")
    yield name
    await client.delete_work_pool(name)


async def template_of(client: PrefectClient, pool: str) -> dict[str, Any]:
    return (await client.read_work_pool(pool)).base_job_template


@flow
def empty() -> None:
    """What the deployment is of."""


async def test_what_a_deployment_sets_reaches_a_process_worker(
    client: PrefectClient, pool: str
) -> None:
    values = {"env": {"SHOT": "7"}, "working_dir": "/studio"}
    deployment = await client.create_deployment(
        *(await client.create_flow(empty), "empty"), work_pool_name=pool, job_variables=values
    )
    run = await client.create_flow_run_from_deployment(deployment)
    assert run.work_pool_name == pool
    stored = (await client.read_deployment(deployment)).job_variables
    template = await template_of(client, pool)
    job: Any = await ProcessJobConfiguration.from_template_and_values(template, stored)
    assert job.env["SHOT"] == "7"
    assert str(job.working_dir) == "/studio"
    assert job.command == "python -P -m prefect.engine"


@pytest.mark.parametrize("command", ["python -P -m prefect.engine", "python -m prefect.engine"])
async def test_a_template_of_a_former_release_is_replaced(
    client: PrefectClient, pool: str, command: str
) -> None:
    former = ProcessWorker.get_default_base_job_template()
    former["variables"]["properties"]["command"]["default"] = command
    await client.update_work_pool(pool, WorkPoolUpdate(base_job_template=former))
    await _ensure_pool(client, pool, "anime-warm")
    assert await template_of(client, pool) == WarmWorker.get_default_base_job_template()


async def test_a_template_that_a_person_has_changed_stays(client: PrefectClient, pool: str) -> None:
    changed = ProcessWorker.get_default_base_job_template()
    changed["variables"]["properties"]["working_dir"]["default"] = "/studio"
    await client.update_work_pool(pool, WorkPoolUpdate(base_job_template=changed))
    await _ensure_pool(client, pool, "anime-warm")
    assert await template_of(client, pool) == changed

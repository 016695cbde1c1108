"""A warm worker that watches, as a process: a new file is swept, and nobody has to ask."""

import asyncio
from pathlib import Path
from uuid import UUID

from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint

from tests.support.waiting import HUNG_SECONDS
from tests.worker.conftest import Site

STAND_IN = "tests.worker.sample_flows.sweep"


async def sweep_deployment(site: Site) -> UUID:
    """The studio's sweep; where this studio has none, one that only ends."""
    try:
        return (await site.client.read_deployment_by_name("sweep/sweep")).id
    except ObjectNotFound:
        flow_id = await site.client.create_flow(load_flow_from_entrypoint(STAND_IN))
        return await site.client.create_deployment(
            flow_id, "sweep", entrypoint=STAND_IN, work_pool_name=site.pool
        )


async def until_ordered(site: Site, deployment: UUID, times: int) -> set[str]:
    """The keys of the runs that were ordered, once there are so many."""
    wanted = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    async with asyncio.timeout(HUNG_SECONDS):
        while True:
            runs = await site.client.read_flow_runs(deployment_filter=wanted)
            keys = {str(run.idempotency_key) for run in runs}
            watched = {key for key in keys if key.startswith("watch-")}
            if len(watched) >= times:
                return watched
            await asyncio.sleep(0.2)


async def test_a_new_file_is_swept_within_seconds(site: Site, tmp_path: Path) -> None:
    output = tmp_path / "output"
    deployment = await sweep_deployment(site)
    worker = await site.start_worker(
        ANIME_WATCH="true", ANIME_SWEEP_DIR=str(output), ANIME_WATCH_SECONDS="1"
    )
    output.mkdir()  # a folder may come later than the worker
    await until_ordered(site, deployment, 1)
    (output / "ComfyUI_00001_.png").write_bytes(b"x")
    keys = await until_ordered(site, deployment, 2)
    assert len(keys) >= 2
    assert worker.process.poll() is None

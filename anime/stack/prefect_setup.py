"""Sets Prefect up: the work pool, its queues, the deployments of prefect.yaml.

    python -m anime.stack.prefect_setup [PROJECT_DIR [SECONDS]]

SECONDS is how long the server may take to answer. Whoever starts this program limits its time.

A program of its own, because importing Prefect takes seconds and 90 MB, which the supervisor does
not need. It does so while the server starts. Running it again changes nothing.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import __version__ as prefect_version
from prefect.cli import app as prefect_command
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker

from anime.core.work_queues import PRIORITIES
from anime.errors import PrefectUnavailable
from anime.settings import PROJECT_DIR, Settings, get_settings
from anime.stack.environment import prefect_home
from anime.stack.home import private_folder
from anime.stack.part_readiness import is_healthy
from anime.worker.prefect_internals import share_tls_contexts
from anime.worker.warm_worker import WarmWorker

SERVER_TIMEOUT_SECONDS = 90.0


async def set_up_prefect(
    settings: Settings, project: Path, server_timeout_seconds: float = SERVER_TIMEOUT_SECONDS
) -> None:
    """Create what is missing: work pool, queues, deployments.

    Raises:
        PrefectUnavailable: the server does not answer, or refuses the deployments.
    """
    await _wait_for_server(settings, server_timeout_seconds)
    share_tls_contexts()
    async with get_client() as client:
        await _ensure_pool(client, settings.work_pool, settings.worker_type)
        await _ensure_queues(client, settings.work_pool)
        state = private_folder(prefect_home(settings)) / "deployed"
        digest = _digest(settings, project)
        if await _is_deployed(client, state, digest):
            return
        await asyncio.to_thread(_deploy, settings, project)
        deployments = [str(deployment.id) for deployment in await client.read_deployments()]
        state.write_text(json.dumps({"digest": digest, "deployments": deployments}))


async def _wait_for_server(settings: Settings, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not await is_healthy(f"{settings.prefect_api_url}/health"):
        if time.monotonic() > deadline:
            raise PrefectUnavailable(
                f"Prefect at {settings.prefect_api_url} has not answered in {timeout_seconds:g} s.",
                "Start it, or correct PREFECT_API_URL.",
            )
        await asyncio.sleep(0.2)


async def _ensure_pool(client: PrefectClient, name: str, worker_type: str) -> None:
    """Create the pool, fit for both types of worker: one that exists serves the other type, too.

    It stays as its owner has set it up; a template that is none's but ours is replaced.
    """
    template = WarmWorker.get_default_base_job_template()
    try:
        await client.create_work_pool(
            WorkPoolCreate(name=name, type=worker_type, base_job_template=template)
        )
    except ObjectAlreadyExists:
        pool = await client.read_work_pool(name)
        if pool.base_job_template in _former_templates():
            await client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))


def _former_templates() -> Iterator[dict[str, Any]]:
    """Those of former releases, with all variables of the process worker."""
    last = "python -P -m prefect.engine"
    for command in (last, last.replace(" -P", "")):
        template = ProcessWorker.get_default_base_job_template()
        template["variables"]["properties"]["command"]["default"] = command
        yield template


async def _ensure_queues(client: PrefectClient, pool: str) -> None:
    for name, priority in PRIORITIES.items():
        try:
            await client.read_work_queue_by_name(name, work_pool_name=pool)
        except ObjectNotFound:
            await client.create_work_queue(name, priority=priority, work_pool_name=pool)


async def _is_deployed(client: PrefectClient, state: Path, digest: str) -> bool:
    """Whether these deployments were made, and all of them still exist."""
    try:
        remembered = json.loads(state.read_text())
    except (FileNotFoundError, ValueError):
        return False
    present = {str(deployment.id) for deployment in await client.read_deployments()}
    return remembered["digest"] == digest and present.issuperset(remembered["deployments"])


def _digest(settings: Settings, project: Path) -> str:
    """The hash of all that the deployments are made from."""
    made_from = f"{settings.work_pool} {project} {settings.zone_name} {prefect_version}"
    digest = hashlib.sha256(made_from.encode())
    sources = [project / "prefect.yaml", *sorted((project / "flows").rglob("*.py"))]
    models = (
        "schemas.py",
        "core/batches.py",
        "core/file_query.py",
        "assets/contact_sheet/request.py",
    )
    forms = [PROJECT_DIR / "anime" / name for name in models]
    for path in [*sources, *forms]:
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def _deploy(settings: Settings, project: Path) -> None:
    """Run Prefect's own command here: one of its own would import all of Prefect once more."""
    os.environ["ANIME_TIMEZONE"] = settings.zone_name
    os.chdir(project)
    sys.argv[1:] = ["--no-prompt", "deploy", "--all"]  # of prefect.yaml, which is its format
    try:
        prefect_command()
    except SystemExit as end:
        if end.code:
            raise PrefectUnavailable(
                f"The deployments of {project / 'prefect.yaml'} were refused.",
                "The lines above say why.",
            ) from None


def _main(project: str = str(PROJECT_DIR), seconds: str = str(SERVER_TIMEOUT_SECONDS)) -> None:
    try:
        asyncio.run(set_up_prefect(get_settings(), Path(project), float(seconds)))
    except PrefectUnavailable as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(*sys.argv[1:])

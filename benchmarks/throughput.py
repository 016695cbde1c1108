"""Many separate runs: our worker beside Prefect's stock process worker.

Both stock workers run the same deployment in a pool of their own on the same Prefect server, one
after the other: with Prefect's defaults, and tuned as far as its settings allow.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from anime.errors import StackError
from anime.settings import PROJECT_DIR, Settings
from benchmarks.effort import Effort
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio, seconds_allowed
from benchmarks.through_api import render_through_api
from benchmarks.timing import steady_rate

RENDER_SECONDS = 0.1
POOL = "bench-stock"
LIMIT = int(Settings.model_fields["worker_limit"].default)  # runs at a time, on every side
STOP_SECONDS = 20
PREFECT = (sys.executable, "-m", "prefect")
ANIME = (sys.executable, "-m", "anime.cli.app")


@dataclass(frozen=True, slots=True)
class Stock:
    """A stock worker and its deployment."""

    name: str
    command: tuple[str, ...]
    job_variables: Mapping[str, str] = field(default_factory=dict)


DEFAULTS = Stock("defaults", (*PREFECT, "worker", "start", "--pool", POOL, "--limit", str(LIMIT)))
# One interpreter a run instead of three, and a poll each second instead of each tenth.
TUNED = Stock(
    "tuned",
    (
        *(sys.executable, "-m", "anime.cli.app"),
        "worker",
        "--type",
        "process",
        "--limit",
        str(LIMIT),
    ),
    {"command": "python -m prefect.engine"},
)


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """Runs per second of each worker, without the first wave, which waits for a poll."""
    await _make_pool(studio)
    before = await _our_rate(studio, effort.runs // 2)
    stock = [await _stock_rate(studio, each, effort.stock_runs) for each in (DEFAULTS, TUNED)]
    after = await _our_rate(studio, effort.runs // 2)
    note = f"{effort.runs} runs of ours, {effort.stock_runs} of each other"
    return [
        Row(
            f"separate runs of {RENDER_SECONDS:g} s a second, stock worker {each.name}",
            (before + after) / 2,
            rate,
            Reach(limit, at_least=True, by_ratio=True),
            note,
        )
        for each, rate, limit in zip((DEFAULTS, TUNED), stock, (8, 4), strict=True)
    ]


async def _make_pool(studio: Studio) -> None:
    create = (*PREFECT, "work-pool", "create", POOL, "--type", "process")
    done = await studio.stack.run(*create, variables=_address(studio))
    if done.returncode:
        raise StackError(f"The pool {POOL} cannot be made: {done.stderr}", "Read prefect.log.")


async def _our_rate(studio: Studio, number: int) -> float:
    """Runs per second of the worker that `anime up` has started."""
    ended = await render_through_api(studio, number, RENDER_SECONDS)
    return steady_rate(list(ended.values()), LIMIT)


async def _stock_rate(studio: Studio, stock: Stock, number: int) -> float:
    """Runs per second of a stock worker that was started before they were created."""
    async with studio.stack.prefect() as prefect, _worker(studio, stock):
        deployment = await _deploy(prefect, stock)
        runs = [await _create_run(studio, prefect, deployment) for _ in range(number)]
        ended = await studio.endings.wait_for(runs, seconds_allowed(number, RENDER_SECONDS))
    return steady_rate(list(ended.values()), LIMIT)


async def _deploy(prefect: httpx.AsyncClient, stock: Stock) -> str:
    """The id of a deployment like ours, in the pool of the stock worker."""
    ours = (await prefect.get("/deployments/name/generate/generate")).raise_for_status().json()
    same = ("flow_id", "entrypoint", "path", "pull_steps", "parameter_openapi_schema")
    reply = await prefect.post(
        "/deployments/",
        json={
            **{name: ours[name] for name in same},
            "name": f"stock-{stock.name}",
            "work_pool_name": POOL,
            "job_variables": dict(stock.job_variables),
        },
    )
    return str(reply.raise_for_status().json()["id"])


async def _create_run(studio: Studio, prefect: httpx.AsyncClient, deployment: str) -> UUID:
    """The id of a new run, which is also its job's."""
    request = studio.request(RENDER_SECONDS).model_dump(mode="json", exclude_defaults=True)
    reply = await prefect.post(
        f"/deployments/{deployment}/create_flow_run", json={"parameters": request}
    )
    return UUID(reply.raise_for_status().json()["id"])


@asynccontextmanager
async def _worker(studio: Studio, stock: Stock) -> AsyncIterator[None]:
    """The stock worker, running as long as the block lasts."""
    environment = studio.stack.environment | _address(studio) | {"ANIME_WORK_POOL": POOL}
    with (studio.stack.folder / f"worker-{stock.name}.log").open("wb") as log:
        worker = await asyncio.to_thread(
            subprocess.Popen,
            list(stock.command),
            env=environment,
            cwd=PROJECT_DIR,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        await _end(worker)


async def _end(worker: "subprocess.Popen[bytes]") -> None:
    """Stop a worker that has no runs left.

    Prefect turns SIGTERM into SIGINT, which a process started in the background may ignore.
    """
    worker.terminate()
    try:
        await asyncio.to_thread(worker.wait, STOP_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        await asyncio.to_thread(worker.wait, STOP_SECONDS)


def _address(studio: Studio) -> dict[str, str]:
    """Prefect's address, for programs that do not know this project."""
    known = studio.stack.record.settings
    names = ("prefect_api_url", "prefect_api_auth_string")
    return {name.upper(): known[name] for name in names if name in known}

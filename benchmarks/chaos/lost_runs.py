"""python -m benchmarks.chaos.lost_runs: runs are lost with workers, hosts and Prefect's database.

With a real Prefect throughout, which is too slow for the test suite; that has the same with a
stand-in. Exit 1 if anything is stuck, lost or rendered twice.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import typer
from sqlalchemy import make_url

from anime.cli.terminal import print_error
from anime.core.batches import BatchRequest, expand, jobs_of
from anime.errors import AnimeError
from benchmarks import until_ended
from benchmarks.chaos import stack_state
from benchmarks.chaos.invariants import Outcome
from tests.support.stack import RunningStack, running
from tests.support.waiting import HUNG_SECONDS

WAITING_JOBS = 50
DEAD_WORKERS = 3
BATCH_JOBS = 12
STEP_SECONDS = 0.1
LONG_STEPS = 900  # a render longer than three workers live
POLL_SECONDS = 0.5


async def measure(folder: Path) -> list[str]:
    """A sentence on each invariant that does not hold in the end."""
    given = {
        "ANIME_REHEARSAL_STEP_SECONDS": str(STEP_SECONDS),
        "ANIME_REHEARSAL_LOG": str(folder / "prompts.jsonl"),
    }
    async with running(RunningStack(folder, given)) as stack:
        began = time.monotonic()
        accepted = [await _submit(stack, 0, steps=LONG_STEPS)]
        await _kill_workers(stack, accepted[0])
        await _until_ended(stack, 1)
        typer.echo(f"{time.monotonic() - began:.0f} s: rendered after {DEAD_WORKERS} dead workers")
        began = time.monotonic()
        accepted += await _lose_the_host_of_a_batch(stack)
        await _until_ended(stack, len(accepted))
        typer.echo(f"{time.monotonic() - began:.0f} s: a batch has ended whose host was lost")
        began = time.monotonic()
        await stack.anime("pause")
        accepted += [await _submit(stack, number, steps=2) for number in range(1, WAITING_JOBS + 1)]
        await _until_none(stack, "flow_run_id IS NULL")
        await _drop_prefect_database(stack)
        await stack.stop()
        await stack.start()
        typer.echo(f"{time.monotonic() - began:.0f} s: up again, and Prefect knows no run")
        await stack.anime("resume")
        await _until_ended(stack, len(accepted))
        typer.echo(f"{time.monotonic() - began:.0f} s: {WAITING_JOBS} waiting jobs have ended")
        left_over = await _left_over(stack)
        return Outcome(
            submitted=len(accepted),
            accepted=frozenset(accepted),
            jobs=await stack_state.jobs(stack),
            prompts=list(stack_state.logged_prompts(folder / "prompts.jsonl")),
            left_over=left_over,
        ).violations()


async def _submit(stack: RunningStack, number: int, *, steps: int) -> UUID:
    body = {"prompt": f"frame {number}", "width": 64, "height": 64, "steps": steps, "seed": number}
    async with httpx.AsyncClient(timeout=HUNG_SECONDS, trust_env=False) as http:
        url = f"{stack.record.parts['api'].url}/api/anime/generate"
        return UUID((await http.post(url, json=body)).raise_for_status().json()["job_id"])


async def _lose_the_host_of_a_batch(stack: RunningStack) -> list[UUID]:
    """The jobs of a batch, whose worker is killed as if nobody could ever hand its run back."""
    asked = {
        "name": "storm",
        "prompts": [f"wave {number}" for number in range(BATCH_JOBS)],
        "common": {"width": 64, "height": 64, "steps": 10},
    }
    file = stack.folder / "batch.json"
    file.write_text(json.dumps(asked))
    before = await stack_state.ended_jobs(stack)
    done = await stack.anime("batch", "--no-wait", "--json", str(file))
    run_id = json.loads(done.stdout)["flow_run_id"]
    await _until_ended(stack, before + BATCH_JOBS // 4)
    psutil.Process(stack.record.parts["worker"].pid).kill()
    crashed = {"state": {"type": "CRASHED", "name": "Crashed"}, "force": True}
    async with stack.prefect() as prefect:
        (await prefect.post(f"/flow_runs/{run_id}/set_state", json=crashed)).raise_for_status()
    return list(jobs_of(expand(BatchRequest.model_validate(asked)), {}))


async def _kill_workers(stack: RunningStack, job_id: UUID) -> None:
    """Kill the worker, and each that the supervisor starts in its place, once it renders."""
    for number in range(DEAD_WORKERS):
        pid = stack.record.parts["worker"].pid
        # Each that takes the job raises its fence.
        await _until_none(stack, f"id = '{job_id}' AND (fence <= {number} OR progress = 0)")
        psutil.Process(pid).kill()
        async with asyncio.timeout(HUNG_SECONDS):
            while stack.record.parts["worker"].pid == pid:
                await asyncio.sleep(POLL_SECONDS)


async def _until_none(stack: RunningStack, condition: str) -> None:
    """Return when no job is like that."""
    query = f"SELECT 1 FROM anime_api.production_jobs WHERE {condition}"  # noqa: S608
    async with (
        asyncio.timeout(HUNG_SECONDS),
        await stack_state.connect(stack.record.settings["database_url"]) as connection,
    ):
        while (await connection.execute(query.encode())).rowcount:
            await asyncio.sleep(POLL_SECONDS)


async def _until_ended(stack: RunningStack, count: int) -> None:
    async with asyncio.timeout(2 * HUNG_SECONDS):
        while await stack_state.ended_jobs(stack) < count:
            await asyncio.sleep(POLL_SECONDS)


async def _drop_prefect_database(stack: RunningStack) -> None:
    url = stack.record.settings["database_url"]
    name = f"{make_url(url).database}_prefect"
    async with await stack_state.connect(url) as connection:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


async def _left_over(stack: RunningStack) -> list[str]:
    until = time.monotonic() + HUNG_SECONDS
    while (found := await stack_state.left_over(stack)) and time.monotonic() < until:
        await asyncio.sleep(POLL_SECONDS)
    return found


def main() -> int:
    """The exit status."""
    with tempfile.TemporaryDirectory(prefix="anime-lost-runs-") as folder:
        violations = until_ended.run(measure(Path(folder)))
    for violation in violations:
        typer.echo(f"VIOLATED  {violation}")
    typer.echo("Every invariant holds." if not violations else "See above.")
    return bool(violations)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AnimeError as error:
        print_error(error)
        sys.exit(1)

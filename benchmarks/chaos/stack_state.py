"""What the parts of a stack say of its jobs, and what they still hold when all jobs have ended."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
from sqlalchemy import make_url

from benchmarks.chaos.invariants import EndedJob, LoggedPrompt
from tests.support.stack import RunningStack

_JOBS = """
SELECT job.id, job.status, concat_ws(': ', job.error_kind, job.error_message), count(file.id)
FROM anime_api.production_jobs AS job LEFT JOIN anime_api.anime_files AS file
  ON file.job_id = job.id
GROUP BY job.id
"""
_ENDED = "SELECT count(*) FROM anime_api.production_jobs WHERE finished_at IS NOT NULL"
_HELD = {
    "slot": "SELECT job_id::text FROM anime_api.render_places WHERE expires_at > now()",
    "lease": "SELECT id::text FROM anime_api.production_jobs WHERE lease_owner IS NOT NULL",
    "sent prompt": "SELECT prompt_id::text FROM anime_api.sent_prompts WHERE settled_at IS NULL",
}
_LIVE_RUNS = {
    "flows": {"name": {"any_": ["generate", "batch"]}},
    "flow_runs": {
        "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "PAUSED"]}}
    },
}
_CONNECT_SECONDS = 5


async def connect(url: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """A connection to the stack's database; each statement is committed.

    Raises:
        psycopg.OperationalError: it is away.
    """
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return await psycopg.AsyncConnection.connect(
        plain, autocommit=True, connect_timeout=_CONNECT_SECONDS
    )


async def _rows(stack: RunningStack, query: str) -> list[tuple[Any, ...]]:
    async with await connect(stack.record.settings["database_url"]) as connection:
        return await (await connection.execute(query)).fetchall()


async def jobs(stack: RunningStack) -> list[EndedJob]:
    """All jobs there are."""
    return [EndedJob(*row) for row in await _rows(stack, _JOBS)]


async def ended_jobs(stack: RunningStack) -> int:
    """How many jobs have ended."""
    return int((await _rows(stack, _ENDED))[0][0])


async def left_over(stack: RunningStack) -> list[str]:
    """A sentence on each slot, lease, queue entry and run that is still there."""
    found = [
        f"{what} of {name}"
        for what, query in _HELD.items()
        for (name,) in await _rows(stack, query)
    ]
    async with httpx.AsyncClient(timeout=_CONNECT_SECONDS, trust_env=False) as http:
        for url in stack.record.settings["comfyui_url"].split(","):
            queue = (await http.get(f"{url}/queue")).raise_for_status().json()
            items = [*queue["queue_running"], *queue["queue_pending"]]
            found += [f"prompt {item[1]} in the queue of {url}" for item in items]
    async with stack.prefect() as prefect:
        runs = (await prefect.post("/flow_runs/filter", json=_LIVE_RUNS)).raise_for_status().json()
    return [*found, *(f"run {run['id']}, {run['state_name']}" for run in runs)]


def logged_prompts(log: Path) -> Iterator[LoggedPrompt]:
    """The lines of the rehearsal servers' log; none if no prompt was ever taken."""
    for line in log.read_text().splitlines() if log.exists() else ():
        yield LoggedPrompt(**json.loads(line))

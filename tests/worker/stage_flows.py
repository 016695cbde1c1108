"""`generate`, staying at one stage the first time it gets there. Changes the process it is in."""

import asyncio
from contextvars import ContextVar
from pathlib import Path

from prefect import flow

from anime.core.job_status import Stage
from anime.runs.cancellation_hook import ends_as_its_job, stop_job
from flows.generate import generate
from tasks.progress import Reporter
from tests.worker.sample_flows import note

_stays_at: ContextVar[tuple[Stage, str] | None] = ContextVar("stays-at", default=None)
_enter = Reporter.enter


async def _enter_and_stay(reporter: Reporter, stage: Stage, message: str) -> None:
    await _enter(reporter, stage, message)
    asked = _stays_at.get()
    if asked is None or asked[0] is not stage:
        return
    been_there = Path(f"{asked[1]}-{stage}")
    if not been_there.exists():
        been_there.touch()
        note(asked[1], "stays")
        await asyncio.sleep(3600)


# Each run has its own stage.
Reporter.enter = _enter_and_stay  # type: ignore[method-assign,assignment]  # self has a name here


@flow(on_cancellation=[stop_job])
@ends_as_its_job
async def stays(stage: str, path: str, prompt: str) -> list[str]:
    _stays_at.set((Stage(stage), path))
    return await generate.fn(prompt=prompt, width=64, height=64, steps=2)

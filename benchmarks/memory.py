"""Whether the worker's memory grows with many generations."""

import asyncio

from benchmarks.effort import Effort
from benchmarks.footprint import family_sum, parts_mb, shared_mb
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio
from benchmarks.through_api import render_through_api

RENDER_SECONDS = 0.05
BASELINE = 5  # the comparison is with the memory after this fraction of them
SETTLE_SECONDS = 5
MAX_GROWTH = 1.1


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """The worker's memory at the end, beside that after the first fifth."""
    first = effort.generations // BASELINE
    await render_through_api(studio, first, RENDER_SECONDS)
    early = await _worker_mb(studio)
    await render_through_api(studio, effort.generations - first, RENDER_SECONDS)
    late = await _worker_mb(studio)
    many = f"after {effort.generations} generations, MB"
    growth = Reach(MAX_GROWTH, by_ratio=True)
    return [
        Row(f"worker {many}", late, early, growth, f"beside it: the same after {first}"),
        Row(f"whole stack {many}", sum(parts_mb(studio.stack.record, shared_mb).values())),
    ]


async def _worker_mb(studio: Studio) -> float:
    """What the worker holds some seconds after its last run."""
    await asyncio.sleep(SETTLE_SECONDS)
    return family_sum(studio.stack.record.parts["worker"].pid, shared_mb)

"""The whole stack with nothing to do: the memory it holds."""

import asyncio

from benchmarks.effort import Effort
from benchmarks.footprint import KNOWS_SHARES, family, resident_mb
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio

SETTLE_SECONDS = 10
MOST_MB = 800


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """Each part's share, and all of them together."""
    del effort
    await asyncio.sleep(SETTLE_SECONDS)
    record = studio.house.record
    parts = {name: resident_mb(family(part.pid)) for name, part in record.parts.items()}
    parts["anime up"] = resident_mb([record.pid])
    await asyncio.sleep(0)
    note = "proportional set size" if KNOWS_SHARES else "resident set"
    rows = [Row(f"{name}, MB", size) for name, size in sorted(parts.items())]
    return [*rows, Row("whole idle stack, MB", sum(parts.values()), None, Reach(MOST_MB), note)]

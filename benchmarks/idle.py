"""The memory of the whole stack with nothing to do."""

import asyncio

from benchmarks.effort import Effort
from benchmarks.footprint import parts_mb, resident_mb, shared_mb
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio

SETTLE_SECONDS = 10
MAX_MB = 800


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """Each part's share, and the sum of all, counted both ways."""
    del effort
    await asyncio.sleep(SETTLE_SECONDS)
    record = studio.stack.record
    shares = parts_mb(record, shared_mb)
    whole, strict = sum(shares.values()), sum(parts_mb(record, resident_mb).values())
    return [
        *(Row(f"{name}, MB", size) for name, size in sorted(shares.items())),
        Row("whole idle stack, MB", whole, None, Reach(MAX_MB)),
        Row("the same, shared pages counted by each who has them, MB", strict),
    ]

"""The memory and the processor time of the whole stack with nothing to do."""

import asyncio

from benchmarks.effort import Effort
from benchmarks.footprint import parts_cpu_seconds, parts_mb, resident_mb, shared_mb
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio

SETTLE_SECONDS = 10
IDLE_SECONDS = 60  # one step of the flow `monitor` among them
MAX_MB = 800
MAX_CPU_PERCENT = 1.0  # of one core, of the API: with the monitor and what watches the servers


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """Each part's share of the memory, the sum of all, counted both ways, and processor time."""
    del effort
    await asyncio.sleep(SETTLE_SECONDS)
    record = studio.stack.record
    shares = parts_mb(record, shared_mb)
    whole, strict = sum(shares.values()), sum(parts_mb(record, resident_mb).values())
    before = parts_cpu_seconds(record)
    await asyncio.sleep(IDLE_SECONDS)
    percent = {
        name: 100 * (seconds - before[name]) / IDLE_SECONDS
        for name, seconds in sorted(parts_cpu_seconds(record).items())
    }
    return [
        *(Row(f"{name}, MB", size) for name, size in sorted(shares.items())),
        Row("whole idle stack, MB", whole, None, Reach(MAX_MB)),
        Row("the same, shared pages counted by each who has them, MB", strict),
        *(
            Row(f"{name}, % of a core", each, None, _most_of(name))
            for name, each in percent.items()
        ),
    ]


def _most_of(part: str) -> Reach | None:
    return Reach(MAX_CPU_PERCENT) if part == "api" else None

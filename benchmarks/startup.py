"""`anime up`: how long until it is ready, and until it has stopped."""

import time
from collections.abc import Awaitable

from anime.stack.house import RunningStack
from benchmarks.effort import Effort
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio, new_house, scratch_folder

MOST_SECONDS = 15


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """First start, stop and second start of another house."""
    del studio, effort
    with scratch_folder() as folder:
        house = new_house(folder)
        try:
            return await _rows(house)
        finally:
            await house.discard()


async def _rows(house: RunningStack) -> list[Row]:
    first = await _seconds(house.start())
    stop = await _seconds(house.stop())
    second = await _seconds(house.start())
    return [
        Row("anime up, first start to ready, s", first),
        Row("anime up, Ctrl-C to the end, s", stop),
        Row("anime up, second start to ready, s", second, None, Reach(MOST_SECONDS)),
    ]


async def _seconds(work: Awaitable[object]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began

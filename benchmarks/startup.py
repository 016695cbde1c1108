"""How long `anime up` takes to be ready, and to stop."""

import time
from collections.abc import Awaitable

from benchmarks.effort import Effort
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio, new_stack, scratch_folder
from tests.support.stack import RunningStack

MAX_SECONDS = 15


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """First start, stop and second start of another stack."""
    del effort
    with scratch_folder() as folder:
        stack = new_stack(folder, studio.stack.checkout)
        try:
            return await _rows(stack)
        finally:
            await stack.discard()


async def _rows(stack: RunningStack) -> list[Row]:
    first = await _seconds(stack.start())
    stop = await _seconds(stack.stop())
    second = await _seconds(stack.start())
    return [
        Row("anime up, first start to ready, s", first),
        Row("anime up, Ctrl-C to the end, s", stop),
        Row("anime up, second start to ready, s", second, None, Reach(MAX_SECONDS)),
    ]


async def _seconds(work: Awaitable[object]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began

"""When a task is tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from anime.errors import AnimeError, is_retryable

T = TypeVar("T")

# Seconds before each new try. A database or server that restarts is back within the sum.
PATIENT = [1.0, 2.0, 4.0, 8.0, 15.0]
# For how a job has ended: ten minutes, as nothing is left to be done but to write it down.
LASTING = PATIENT + [30.0] * 19
BRIEF = [0.5, 1.0, 2.0]


async def worth_retrying(
    task: Task[..., Any],  # any task's parameters and result
    task_run: TaskRun,
    state: State[Any],
) -> bool:
    """Whether the error says that the same call may succeed later."""
    del task, task_run
    outcome = await state.aresult(raise_on_failure=False)
    return is_retryable(outcome)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What the call gives, tried again as a task is: for steps too small to be one."""
    for delay in PATIENT:
        try:
            return await call()
        except AnimeError as fault:
            if not is_retryable(fault):
                raise
        await asyncio.sleep(delay)
    return await call()

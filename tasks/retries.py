"""When a task is retried, and which calls may fail without failing their run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import httpx
from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import PrefectHTTPStatusError

from anime.errors import AnimeError, is_retryable
from anime.retry_policies import RECORD, SHORT_TASK, TASK

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

# Seconds before each new attempt, as Prefect takes them.
TASK_DELAYS = list(TASK.delays())
RECORD_DELAYS = list(RECORD.delays())
SHORT_TASK_DELAYS = list(SHORT_TASK.delays())
# Prefect's client itself tries for two minutes to reach a server that is away.
BEST_EFFORT_SECONDS = 15.0
DRAWING_SECONDS = 600.0
PREFECT_FAULTS = (httpx.HTTPError, PrefectHTTPStatusError)  # of its client, after its own retries


async def worth_retrying(
    task: Task[..., Any],  # any task's parameters and result
    task_run: TaskRun,
    state: State[Any],
) -> bool:
    """Whether the same call may succeed later, by its error."""
    del task, task_run
    outcome = await state.aresult(raise_on_failure=False)
    return is_retryable(outcome)


def best_effort(
    *, takes_long: bool = False
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T | None]]]:
    """Let a call neither fail its run nor hold it up: it returns None if it fails.

    For calls that only show what is done. They have BEST_EFFORT_SECONDS, or DRAWING_SECONDS if
    they `takes_long`.
    """

    def wrap(call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T | None]]:
        @wraps(call)
        async def tried(*arguments: P.args, **named: P.kwargs) -> T | None:
            try:
                async with asyncio.timeout(DRAWING_SECONDS if takes_long else BEST_EFFORT_SECONDS):
                    return await call(*arguments, **named)
            except Exception as fault:  # noqa: BLE001  whatever it is, the work is done
                is_away = isinstance(fault, (*PREFECT_FAULTS, OSError, AnimeError))
                what = call.__name__.strip("_").replace("_", " ")
                _log.warning("Could not %s, the run goes on: %r", what, fault, exc_info=not is_away)
                return None

        return tried

    return wrap

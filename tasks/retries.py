"""When a task is tried again, and what may fail without failing its run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from http import HTTPStatus
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
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


async def worth_retrying(
    task: Task[..., Any],  # any task's parameters and result
    task_run: TaskRun,
    state: State[Any],
) -> bool:
    """Whether the error says that the same call may succeed later."""
    del task, task_run
    outcome = await state.aresult(raise_on_failure=False)
    return is_retryable(outcome)


def may_prefect_do_it_later(fault: BaseException) -> bool:
    """Whether the server is away or busy, so that the same call may succeed later."""
    if isinstance(fault, PrefectHTTPStatusError):
        status = fault.response.status_code
        return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER
    return isinstance(fault, httpx.HTTPError)


def best_effort(
    *, takes_long: bool = False
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T | None]]]:
    """Let a call neither fail its run nor hold it up: it gives None if it comes to nothing.

    For what only shows what is done. It has BEST_EFFORT_SECONDS, or DRAWING_SECONDS if it
    `takes_long`.
    """

    def wrap(call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T | None]]:
        @wraps(call)
        async def tried(*arguments: P.args, **named: P.kwargs) -> T | None:
            try:
                async with asyncio.timeout(DRAWING_SECONDS if takes_long else BEST_EFFORT_SECONDS):
                    return await call(*arguments, **named)
            except Exception as fault:  # noqa: BLE001  whatever it is, what it shows is done
                is_away = isinstance(fault, (*PREFECT_FAULTS, OSError, AnimeError))
                what = call.__name__.strip("_").replace("_", " ")
                _log.warning(
                    "To %s came to nothing, the run goes on: %r", what, fault, exc_info=not is_away
                )
                return None

        return tried

    return wrap

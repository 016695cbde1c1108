"""The steps of a generation: tasks that say, within a batch, of which generation they are."""

from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.retries import worth_retrying

P = ParamSpec("P")
R = TypeVar("R")

generation_label: ContextVar[str | None] = ContextVar("generation_label", default=None)


def step(
    name: str, delays: Sequence[float] = ()
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """Make a function run as a task of that name, retried after so many seconds each.

    Prefect sees no arguments: it would walk through each graph three times. It keeps no result.
    """

    def name_of_run() -> str:
        label = generation_label.get()
        return name if label is None else f"{label} · {name}"

    def decorate(
        function: Callable[P, Coroutine[Any, Any, R]],
    ) -> Callable[P, Coroutine[Any, Any, R]]:
        @task(
            name=name,
            task_run_name=name_of_run,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=len(delays),
            retry_delay_seconds=list(delays) or None,
            retry_condition_fn=worth_retrying,
        )
        async def run(call: Callable[[], Coroutine[Any, Any, R]]) -> R:
            return await call()

        @wraps(function)
        async def as_task(*arguments: P.args, **named: P.kwargs) -> R:
            return await run(partial(function, *arguments, **named))

        return as_task

    return decorate

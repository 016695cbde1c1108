"""The steps of a generation: tasks that say, within a batch, of which generation they are."""

from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from tasks.retries import worth_retrying

P = ParamSpec("P")
R = TypeVar("R")

generation_label: ContextVar[str | None] = ContextVar("generation_label", default=None)


def step(
    name: str, delays: Sequence[float] = ()
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Task[P, Coroutine[Any, Any, R]]]:
    """Make a task of that name, which is retried after so many seconds each."""

    def name_of_run() -> str:
        label = generation_label.get()
        return name if label is None else f"{label} · {name}"

    return task(
        name=name,
        task_run_name=name_of_run,
        cache_policy=NO_CACHE,
        retries=len(delays),
        retry_delay_seconds=list(delays) or None,
        retry_condition_fn=worth_retrying,
    )

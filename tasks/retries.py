"""When a task is tried again."""

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from anime.errors import is_retryable
from anime.retry_policies import JOB_OUTCOME, SHORT_TASK, TASK

# Seconds before each new attempt, as Prefect takes them.
TASK_DELAYS = list(TASK.delays())
JOB_OUTCOME_DELAYS = list(JOB_OUTCOME.delays())
SHORT_TASK_DELAYS = list(SHORT_TASK.delays())


async def worth_retrying(
    task: Task[..., Any],  # any task's parameters and result
    task_run: TaskRun,
    state: State[Any],
) -> bool:
    """Whether the error says that the same call may succeed later."""
    del task, task_run
    outcome = await state.aresult(raise_on_failure=False)
    return is_retryable(outcome)

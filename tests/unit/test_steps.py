"""What is given a whole batch is a step: Prefect would walk through each of its requests."""

from typing import Any

import pytest
from prefect import Task

from tasks.batches import create_batch_jobs, read_outcomes
from tasks.sheets import draw_contact_sheet


@pytest.mark.parametrize("task", [create_batch_jobs, read_outcomes, draw_contact_sheet])
def test_prefect_sees_no_argument_of_a_task_that_is_given_a_whole_batch(task: Any) -> None:
    assert not isinstance(task, Task)

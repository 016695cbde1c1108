"""A review that is asked for in Prefect: the run waits, suspended, for what somebody says."""

from typing import Any

from prefect import flow

from anime.runs.connections import open_connections
from anime.runs.flow_form import form_of
from anime.runs.review_question import (
    ReviewQuestion,
    record_answer,
    takes_in_question,
    wait_for_answer,
)
from tasks.artifacts import show_takes


@flow(name="review")
@form_of(ReviewQuestion)
async def review(**parameters: Any) -> str:  # the question's fields, validated below
    """Show the takes of a shot, and record what somebody says of one of them in the run's form.

    Until then the run is suspended, and holds no place of a worker.
    """
    asked = ReviewQuestion.model_validate(parameters)
    async with open_connections() as connections:
        takes = await takes_in_question(connections.database, asked)
        await show_takes(takes, connections.blocks.library.browser_url)
    take = await record_answer(asked, await wait_for_answer(asked))
    return f"Take {take.number} of {take.shot}: {take.verdict or 'noted'}"

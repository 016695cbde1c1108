"""A review that is asked for in Prefect, and given in its form."""

from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput
from pydantic import BaseModel, ConfigDict, Field

from anime.core.catalogue import Description
from anime.core.shots import ShotCode
from anime.core.takes import NewReview, ReviewAction, TakeRecord
from anime.db.repositories import ShotQuery
from anime.db.session import Database
from anime.jobs.service import connect_job_service
from anime.jobs.shots import review_and_retake, takes_of
from anime.schemas import GivenName, Name
from anime.settings import get_settings

DAY_SECONDS = 24 * 3600


class ReviewQuestion(BaseModel):
    """Whose takes are to be reviewed."""

    model_config = ConfigDict(extra="forbid")

    project: GivenName = Field(description="Id, slug or name of the project.")
    shot: ShotCode = Field(description="The shot's code.")
    days: int = Field(default=1, ge=1, le=30, description="How long the answer is waited for.")


class ReviewAnswer(RunInput):
    """What somebody says of one of the takes."""

    take: int = Field(ge=1, description="The take's number.")
    action: ReviewAction = Field(description="approve, reject, pick, note or undo.")
    reason: GivenName | None = Field(default=None, description="Why it is rejected.")
    note: Description | None = None
    retake: bool = Field(default=False, description="Render a rejected take anew.")
    by: Name = Field(default="prefect", description="Who says it.")


async def takes_in_question(database: Database, asked: ReviewQuestion) -> list[TakeRecord]:
    """The takes of the shot. Raises as `takes_of`."""
    return await takes_of(database, asked.project, ShotQuery(), [asked.shot])


async def wait_for_answer(asked: ReviewQuestion) -> ReviewAnswer:
    """What somebody has put into the form of the run.

    The run is suspended until then: it holds no place of a worker, and begins anew with the answer.
    """
    answer: ReviewAnswer = await asuspend_flow_run(
        wait_for_input=ReviewAnswer, timeout=asked.days * DAY_SECONDS
    )
    return answer


async def record_answer(asked: ReviewQuestion, answer: ReviewAnswer) -> TakeRecord:
    """The take as the review leaves it. Raises as `review_and_retake`."""
    fields = answer.model_dump(exclude_none=True)
    said = NewReview.model_validate({"project": asked.project, "shot": asked.shot, **fields})
    async with connect_job_service(get_settings()) as service:
        return await review_and_retake(service, said, waits=True)

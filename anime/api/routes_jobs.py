"""The list of jobs, and what the studio does now."""

from typing import Annotated

from fastapi import APIRouter, Query

from anime.api.app_state import StateDependency
from anime.api.paging import Page, Paging
from anime.core.activity import Activity
from anime.db.repositories import JobQuery
from anime.schemas import JobSnapshot

router = APIRouter(tags=["jobs"])


class JobListParameters(JobQuery, Paging):
    """Which jobs, and which page of them."""


@router.get("/jobs")
async def jobs(
    parameters: Annotated[JobListParameters, Query()], state: StateDependency
) -> Page[JobSnapshot]:
    """A page of the jobs that match, newest first."""
    items, next_cursor = await state.jobs.lookup.page(
        parameters, limit=parameters.limit, cursor=parameters.cursor
    )
    return Page(items=items, next_cursor=next_cursor)


@router.get("/activity")
async def activity(state: StateDependency) -> Activity:
    """What renders, what waits and why, what has failed, and how the servers are."""
    return await state.activity.read()

"""What was asked for, newest first."""

from typing import Annotated

from fastapi import APIRouter, Query

from anime.api.app_state import StateDependency
from anime.api.paging import Page, Paging
from anime.db.repositories import JobQuery
from anime.schemas import JobSnapshot

router = APIRouter(tags=["jobs"])


class JobListParameters(JobQuery, Paging):
    """Which jobs, and which page of them."""


@router.get("/jobs")
async def jobs(
    wanted: Annotated[JobListParameters, Query()], state: StateDependency
) -> Page[JobSnapshot]:
    """The jobs that fit, newest first."""
    items, next_cursor = await state.jobs.page(wanted, limit=wanted.limit, cursor=wanted.cursor)
    return Page(items=items, next_cursor=next_cursor)

"""What was asked for, newest first."""

from typing import Annotated

from fastapi import APIRouter, Query

from anime.api.paging import Page, Paging
from anime.api.state import StudioDependency
from anime.db.repositories import JobList, JobQuery
from anime.schemas import JobSnapshot

router = APIRouter(tags=["jobs"])


class WantedJobs(JobQuery, Paging):
    """Which jobs, and which page of them."""


@router.get("/jobs")
async def jobs(
    wanted: Annotated[WantedJobs, Query()], studio: StudioDependency
) -> Page[JobSnapshot]:
    """The jobs that fit, newest first."""
    async with studio.database.session_scope() as session:
        items, next_cursor = await JobList(session).page(
            wanted, limit=wanted.limit, cursor=wanted.cursor
        )
    return Page(items=items, next_cursor=next_cursor)

"""Shots of a project: imported as lists, listed in order, rendered as batches."""

from typing import Annotated
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from fastapi import APIRouter, Path, Query, status
from pydantic import Field

from anime.api.app_state import StateDependency
from anime.api.error_documentation import problems
from anime.api.middleware import JsonRoute
from anime.api.paging import Page, Paging
from anime.api.routes_generation import IdempotencyKey
from anime.core.shots import ImportedShots, ShotImport, ShotRecord
from anime.db.repositories import ProjectRepository, ShotQuery, ShotRepository
from anime.jobs.shots import ShotBatch, ShotRender, import_shots, render_shots
from anime.schemas import GivenName

_KEYS = uuid5(NAMESPACE_URL, "urn:anime:shots")
router = APIRouter(prefix="/shots", tags=["shots"], route_class=JsonRoute)


class ShotListParameters(ShotQuery, Paging):
    """Which shots, and which page of them."""

    project: GivenName = Field(description="Id, slug or name of the project.")


@router.get("", responses=problems(404))
async def shots(
    parameters: Annotated[ShotListParameters, Query()], state: StateDependency
) -> Page[ShotRecord]:
    """A page of the project's shots that match, in the order in which people count them."""
    async with state.database.session_scope() as session:
        project = await ProjectRepository(session).get(parameters.project)
        items, next_cursor = await ShotRepository(session).page(
            project.id, parameters, limit=parameters.limit, after=parameters.cursor
        )
    return Page(items=items, next_cursor=next_cursor)


@router.get("/{shot_id}", responses=problems(404))
async def shot_by_id(shot_id: Annotated[UUID, Path()], state: StateDependency) -> ShotRecord:
    """One shot."""
    async with state.database.session_scope() as session:
        return await ShotRepository(session).get(shot_id)


@router.post("/import")
async def import_list(asked: ShotImport, state: StateDependency) -> ImportedShots:
    """Add the shots of a list, and change those that are there; nothing is deleted."""
    return await import_shots(
        state.database, asked.project, asked.table, asked.columns, only_tries=asked.dry_run
    )


@router.post("/render", status_code=status.HTTP_202_ACCEPTED, responses=problems(404))
async def render(
    asked: ShotRender, state: StateDependency, idempotency_key: IdempotencyKey = None
) -> ShotBatch:
    """Render what is missing of the shots' takes, and what was changed since."""
    key = uuid5(_KEYS, idempotency_key) if idempotency_key else uuid4()
    return await render_shots(state.jobs, asked, key=str(key))

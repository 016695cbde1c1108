"""Shots of a project: imported as lists, listed in order, rendered as batches, reviewed."""

from base64 import b64decode
from typing import Annotated
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from fastapi import APIRouter, Path, Query, status
from pydantic import Field

from anime.api.app_state import CallerDependency, StateDependency
from anime.api.error_documentation import problems
from anime.api.middleware import JsonRoute
from anime.api.paging import Page, Paging
from anime.api.routes_generation import IdempotencyKey
from anime.assets.shot_lists import rows_of_upload
from anime.core.callers import Role
from anime.core.import_plan import ImportPlan, refused_plan
from anime.core.shot_list import ListRefused
from anime.core.shots import GivenList, ImportedShots, ListFormat, ShotCode, ShotImport, ShotRecord
from anime.core.takes import NewReview, TakeRecord
from anime.db.repositories import ProjectRepository, ShotQuery, ShotRepository
from anime.errors import InvalidRequest
from anime.jobs.shots import (
    ShotBatch,
    ShotRender,
    import_shots,
    page_of_takes,
    plan_of_import,
    render_shots,
    review_and_retake,
    takes_of,
)
from anime.schemas import GivenName

MAX_LIST_BYTES = 32 * 2**20  # of 10,000 shots, as JSON
_KEYS = uuid5(NAMESPACE_URL, "urn:anime:shots")
LONG_BODIES = {"/shots/import": MAX_LIST_BYTES, "/shots/import/plan": MAX_LIST_BYTES}
router = APIRouter(tags=["shots"], route_class=JsonRoute)


class ShotListParameters(ShotQuery, Paging):
    """Which shots, and which page of them."""

    project: GivenName = Field(description="Id, slug or name of the project.")


class TakeListParameters(ShotListParameters):
    """Whose takes: those of one shot, or of a page of the project's shots."""

    shot: ShotCode | None = Field(default=None, description="The shot's code, if only of one.")


@router.get("/shots", responses=problems(404))
async def shots(
    parameters: Annotated[ShotListParameters, Query()], state: StateDependency
) -> Page[ShotRecord]:
    """A page of the project's shots that match, in the order in which people count them."""
    async with state.database.session_scope() as session:
        project = await ProjectRepository(session).get(parameters.project)
        items, next_cursor = await ShotRepository(session, state.jobs.admission.composer).page(
            project.id, parameters, limit=parameters.limit, after=parameters.cursor
        )
    return Page(items=items, next_cursor=next_cursor)


@router.get("/shots/{shot_id:uuid}", responses=problems(404))
async def shot_by_id(shot_id: Annotated[UUID, Path()], state: StateDependency) -> ShotRecord:
    """One shot."""
    async with state.database.session_scope() as session:
        return await ShotRepository(session, state.jobs.admission.composer).get(shot_id)


@router.post("/shots/import")
async def import_list(asked: ShotImport, state: StateDependency) -> ImportedShots:
    """Add the shots of a list, and change those that are there; nothing is deleted."""
    rows = await rows_of_upload(_content_of(asked), asked.format)
    return await import_shots(
        state.database,
        asked.project,
        rows,
        asked.columns,
        only_tries=asked.dry_run,
        service=state.jobs,
    )


@router.post("/shots/import/plan")
async def import_plan(given: GivenList, state: StateDependency) -> ImportPlan:
    """What importing a list would do, row by row, with the faults of each; nothing is changed."""
    try:
        rows = list(await rows_of_upload(_content_of(given), given.format))
    except InvalidRequest as fault:
        return refused_plan(
            fault.what,
            fault.todo,
            faults=fault.faults if isinstance(fault, ListRefused) else (),
        )
    return await plan_of_import(state.jobs.admission, state.database, given, rows)


@router.post("/shots/render", status_code=status.HTTP_202_ACCEPTED, responses=problems(404))
async def render(
    asked: ShotRender, state: StateDependency, idempotency_key: IdempotencyKey = None
) -> ShotBatch:
    """Render what is missing of the shots' takes, and what was changed since."""
    key = uuid5(_KEYS, idempotency_key) if idempotency_key else uuid4()
    return await render_shots(state.jobs, asked, key=str(key))


@router.get("/takes", responses=problems(404))
async def takes(
    parameters: Annotated[TakeListParameters, Query()], state: StateDependency
) -> Page[TakeRecord]:
    """The takes of a shot, by number; or of a page of shots: `limit` counts shots, not takes."""
    if parameters.shot is not None:
        codes = [parameters.shot]
        found = await takes_of(state.database, parameters.project, ShotQuery(), codes)
        return Page(items=found, next_cursor=None)
    found, next_cursor = await page_of_takes(
        state.database,
        parameters.project,
        parameters,
        limit=parameters.limit,
        after=parameters.cursor,
    )
    return Page(items=found, next_cursor=next_cursor)


@router.post("/reviews", responses=problems(404, 429))
async def review(said: NewReview, state: StateDependency, caller: CallerDependency) -> TakeRecord:
    """Approve, reject (and render anew) or pick a take, leave a note, or undo the last of these."""
    if said.prompt is not None:  # changes the shot
        caller.check(Role.PRODUCE)
    return await review_and_retake(state.jobs, caller.sign(said))


def _content_of(asked: GivenList) -> bytes:
    if asked.format is not ListFormat.XLSX:
        return asked.table.encode()
    try:
        return b64decode(asked.table, validate=True)
    except ValueError as fault:
        raise InvalidRequest(f"table: is not base64: {fault}.", "Encode the workbook.") from None

"""Projects, and generations for them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response, status

from anime.api.app_state import AppState, CallerDependency, StateDependency
from anime.api.error_documentation import problems
from anime.api.middleware import JsonRoute
from anime.api.paging import Page, Paging
from anime.api.routes_generation import IdempotencyKey, generate
from anime.core.catalogue import NewProject, ProjectChange, ProjectRecord
from anime.core.styles import NewStyle, StyleVersion
from anime.db.repositories import JobQuery, ProjectRepository, StyleRepository
from anime.errors import InvalidRequest, NotFound
from anime.schemas import Accepted, GenerationRequest, JobSnapshot

router = APIRouter(prefix="/projects", tags=["projects"], route_class=JsonRoute)

ProjectName = Annotated[
    str, Path(min_length=1, max_length=120, description="Id or slug.", examples=["neon-city"])
]


@router.get("")
async def projects(
    paging: Annotated[Paging, Query()], state: StateDependency
) -> Page[ProjectRecord]:
    """All projects, newest first."""
    async with state.database.session_scope() as session:
        items, next_cursor = await ProjectRepository(session).page(
            limit=paging.limit, cursor=paging.cursor
        )
    return Page(items=items, next_cursor=next_cursor)


@router.post("", status_code=status.HTTP_201_CREATED, responses=problems(409))
async def create_project(
    new: NewProject, state: StateDependency, request: Request, response: Response
) -> ProjectRecord:
    """Create a project. A generation creates the project that it names, too."""
    async with state.database.session_scope() as session:
        project = await ProjectRepository(session).create(new)
    response.headers["Location"] = request.app.url_path_for("project_by_id", project=project.slug)
    return project


@router.get("/{project}", responses=problems(404))
async def project_by_id(project: ProjectName, state: StateDependency) -> ProjectRecord:
    """One project."""
    return await _find(project, state)


@router.patch("/{project}", responses=problems(404, 409))
async def change_project(
    project: ProjectName, change: ProjectChange, state: StateDependency
) -> ProjectRecord:
    """Change a project's name, description or metadata; its slug and its folder stay."""
    async with state.database.session_scope() as session:
        return await ProjectRepository(session).change(project, change)


@router.post(
    "/{project}/generate",
    status_code=status.HTTP_202_ACCEPTED,
    responses=problems(404, 409, 429),
)
async def generate_for_project(
    project: ProjectName,
    generation: GenerationRequest,
    state: StateDependency,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Accepted:
    """Submit a generation for this project."""
    found = await _find(project, state)
    if generation.project is not None and not found.is_called(generation.project):
        raise InvalidRequest(
            f"project: the request is for {generation.project!r}, the address for {found.slug}.",
            "Leave `project` out of the body.",
        )
    ours = generation.model_copy(update={"project": found.slug})
    return await generate(ours, state, request, response, idempotency_key=idempotency_key)


@router.get("/{project}/history", responses=problems(404))
async def history(
    project: ProjectName, paging: Annotated[Paging, Query()], state: StateDependency
) -> Page[JobSnapshot]:
    """The jobs of this project, newest first."""
    found = await _find(project, state)
    items, next_cursor = await state.jobs.lookup.page(
        JobQuery(project=found.slug), limit=paging.limit, cursor=paging.cursor
    )
    return Page(items=items, next_cursor=next_cursor)


@router.get("/{project}/style", responses=problems(404))
async def project_style(project: ProjectName, state: StateDependency) -> StyleVersion:
    """The style that generations of this project are composed with: the newest version."""
    async with state.database.session_scope() as session:
        found = await ProjectRepository(session).get(project)
        style = await StyleRepository(session).newest(found.id)
    if style is None:
        raise NotFound(
            f"Project {found.slug} has no style.",
            f"`PUT /api/anime/projects/{found.slug}/style` gives it one.",
        )
    return style


@router.put("/{project}/style", responses=problems(404))
async def change_style(
    project: ProjectName, new: NewStyle, state: StateDependency, caller: CallerDependency
) -> StyleVersion:
    """Give the project another style: a new version, unless the newest one says the same."""
    async with state.database.session_scope() as session:
        found = await ProjectRepository(session).get(project)
        return await StyleRepository(session).add(found.id, caller.sign(new))


@router.get("/{project}/style/versions", responses=problems(404))
async def style_versions(
    project: ProjectName, paging: Annotated[Paging, Query()], state: StateDependency
) -> Page[StyleVersion]:
    """The versions of the project's style, newest first."""
    async with state.database.session_scope() as session:
        found = await ProjectRepository(session).get(project)
        items, next_cursor = await StyleRepository(session).page(
            found.id, limit=paging.limit, cursor=paging.cursor
        )
    return Page(items=items, next_cursor=next_cursor)


async def _find(project: str, state: AppState) -> ProjectRecord:
    async with state.database.session_scope() as session:
        return await ProjectRepository(session).get(project)

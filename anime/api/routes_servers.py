"""ComfyUI servers, and pauses of new renders."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response, status

from anime.api.app_state import AppState, StateDependency
from anime.api.error_documentation import problems
from anime.api.middleware import JsonRoute
from anime.core.servers import (
    CheckedServer,
    NewPause,
    NewServer,
    PauseList,
    ServerList,
    ServerRecord,
)
from anime.jobs.servers.registry import ServerRegistry

router = APIRouter(tags=["servers"], route_class=JsonRoute)

ServerName = Annotated[
    str, Path(min_length=1, max_length=120, description="Its name.", examples=["gpu-b-8188"])
]


@router.get("/servers")
async def servers(state: StateDependency) -> ServerList:
    """All ComfyUI servers that the studio knows, by name."""
    return ServerList(items=await _registry(state).list_all())


@router.post("/servers", status_code=status.HTTP_201_CREATED, responses=problems(409))
async def add_server(
    new: NewServer, state: StateDependency, request: Request, response: Response
) -> ServerRecord:
    """Add a server. It is given prompts once it has been looked at, within seconds."""
    server = await _registry(state).add(new)
    response.headers["Location"] = request.app.url_path_for("server_by_name", server=server.name)
    return server


@router.get("/servers/{server}", responses=problems(404))
async def server_by_name(server: ServerName, state: StateDependency) -> ServerRecord:
    """One server."""
    return await _registry(state).get(server)


@router.delete("/servers/{server}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(404))
async def remove_server(server: ServerName, state: StateDependency) -> None:
    """Forget a server that the settings do not name."""
    await _registry(state).remove(server)


@router.post("/servers/{server}/check", responses=problems(404))
async def check_server(server: ServerName, state: StateDependency) -> CheckedServer:
    """Look closely at a server now: whether it renders, and what it can do."""
    return await _registry(state).check(server)


@router.post("/servers/{server}/drain", responses=problems(404))
async def drain_server(server: ServerName, state: StateDependency) -> ServerRecord:
    """Give a server nothing more; it finishes what it has."""
    return await _registry(state).drain(server)


@router.post("/servers/{server}/resume", responses=problems(404))
async def resume_server(server: ServerName, state: StateDependency) -> ServerRecord:
    """Give a server prompts again that was drained, or that had a fault."""
    return await _registry(state).resume(server)


@router.get("/pauses")
async def pauses(state: StateDependency) -> PauseList:
    """What is paused: all new renders, those of projects, those at servers."""
    return PauseList(items=await _registry(state).pauses())


@router.post("/pause", responses=problems(404))
async def pause(new: NewPause, state: StateDependency) -> PauseList:
    """Begin no new renders: none at all, or none of a project or at a server."""
    return PauseList(items=await _registry(state).pause(new))


@router.post("/resume", responses=problems(404))
async def resume(ended: NewPause, state: StateDependency) -> PauseList:
    """Let new renders begin again, and answer with what is still paused."""
    return PauseList(items=await _registry(state).end_pause(ended))


def _registry(state: AppState) -> ServerRegistry:
    return ServerRegistry(state.settings, state.database)

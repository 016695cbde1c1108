"""`anime pause` and `anime resume`: whether new renders begin."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.request_parsing import parse_options
from anime.cli.terminal import print_result
from anime.core.servers import NewPause

if TYPE_CHECKING:
    from anime.core.servers import PauseRecord

Project = Annotated[str | None, typer.Option(help="Only this project's.")]
Server = Annotated[str | None, typer.Option(help="Only at this server: name or address.")]


def pause(
    project: Project = None,
    server: Server = None,
    reason: Annotated[str, typer.Option(help="Why, for those who wait.")] = "",
) -> None:
    """Begin no new renders until `anime resume`; what renders is finished, and jobs are kept."""
    given = parse_options(NewPause, "pause", project=project, server=server, reason=reason)
    _print(asyncio.run(_set(given)))


def resume(project: Project = None, server: Server = None) -> None:
    """Let new renders begin again: all, a project's, or those at a server."""
    given = parse_options(NewPause, "resume", project=project, server=server)
    _print(asyncio.run(_clear(given)))


async def _set(given: NewPause) -> "list[PauseRecord]":
    from anime.jobs.servers.registry import connect_registry
    from anime.settings import load_settings

    async with connect_registry(load_settings()) as registry:
        return await registry.pause(given)


async def _clear(given: NewPause) -> "list[PauseRecord]":
    from anime.jobs.servers.registry import connect_registry
    from anime.settings import load_settings

    async with connect_registry(load_settings()) as registry:
        return await registry.end_pause(given)


def _print(pauses: "list[PauseRecord]") -> None:
    for each in pauses:
        print_result(f"{each.describe()}.")
    if not pauses:
        print_result("Nothing is paused.")

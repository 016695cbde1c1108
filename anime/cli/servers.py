"""`anime servers`: lists, adds, checks, drains, resumes and removes ComfyUI servers."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.request_parsing import parse_options
from anime.cli.terminal import as_json, print_json, print_note, print_result, print_table
from anime.core.servers import NewServer, PauseRecord, ServerRecord, server_scope

if TYPE_CHECKING:
    from anime.core.servers import CheckedServer

servers = typer.Typer(name="servers", help="ComfyUI servers that render for the studio.")
Named = Annotated[str, typer.Argument(help="Name or address, as `anime servers` shows them.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@servers.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """List the servers, unless told to do something else."""
    if context.invoked_subcommand is None:
        list_all()


@servers.command(name="list")
def list_all(json: Json = False) -> None:
    """List the servers, how each is, and what is paused."""
    found, pauses = asyncio.run(_list_all())
    if json:
        print_json(as_json(found))
        return
    rows = [_row(server, pauses) for server in found]
    print_table(("name", "health", "since", "version", "VRAM", "model", "labels", "address"), rows)
    for pause in pauses:
        print_note(f"{pause.describe()}. {pause.todo}")


@servers.command()
def add(
    url: Annotated[str, typer.Argument(help="Its address, such as http://gpu-b:8188.")],
    name: Annotated[str | None, typer.Option(help="Made from the address if left out.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="A label; may be repeated.")] = None,
) -> None:
    """Add a server, and look at it."""
    new = parse_options(NewServer, "servers add", url=url, name=name, labels=label or [])
    _show(asyncio.run(_add(new)))


@servers.command()
def check(named: Named, json: Json = False) -> None:
    """Look closely at a server now: whether it renders, and what it can do."""
    found = asyncio.run(_check(named))
    if json:
        print_json(found.model_dump(mode="json"))
        if not found.answers or found.renders is False:
            raise typer.Exit(1)
    else:
        _show(found)


@servers.command()
def drain(named: Named) -> None:
    """Give a server nothing more; it finishes what it has."""
    server = asyncio.run(_change("drain", named))
    print_result(f"{server.name} is drained. `anime servers resume {server.name}` ends that.")


@servers.command()
def resume(named: Named) -> None:
    """Give a server prompts again that was drained, or that had a fault."""
    server = asyncio.run(_change("resume", named))
    print_result(f"{server.name} is given prompts as soon as it has been looked at.")


@servers.command()
def remove(named: Named) -> None:
    """Forget a server that the settings do not name."""
    asyncio.run(_remove(named))
    print_result(f"{named} is removed.")


async def _list_all() -> tuple[list[ServerRecord], list[PauseRecord]]:
    from anime.jobs.servers.registry import connect_registry
    from anime.settings import load_settings

    async with connect_registry(load_settings()) as registry:
        return await registry.list_all(), await registry.pauses()


async def _add(new: NewServer) -> "CheckedServer":
    from anime.jobs.servers.registry import connect_registry
    from anime.settings import load_settings

    async with connect_registry(load_settings()) as registry:
        return await registry.check((await registry.add(new)).url)


async def _check(named: str) -> "CheckedServer":
    from anime.jobs.servers.registry import connect_registry
    from anime.settings import load_settings

    async with connect_registry(load_settings()) as registry:
        return await registry.check(named)


async def _change(how: str, named: str) -> ServerRecord:
    from anime.jobs.servers.registry import connect_registry
    from anime.settings import load_settings

    async with connect_registry(load_settings()) as registry:
        return await (registry.drain(named) if how == "drain" else registry.resume(named))


async def _remove(named: str) -> None:
    from anime.jobs.servers.registry import connect_registry
    from anime.settings import load_settings

    async with connect_registry(load_settings()) as registry:
        await registry.remove(named)


def _row(server: ServerRecord, pauses: list[PauseRecord]) -> tuple[str, ...]:
    from anime.settings import load_settings

    known = server.fingerprint
    states = [str(server.health)]
    states += ["drained"] * server.is_drained
    states += ["paused"] * any(pause.scope == server_scope(server.url) for pause in pauses)
    return (
        server.name,
        ", ".join(states),
        f"{server.health_since.astimezone(load_settings().zone):%m-%d %H:%M:%S}",
        known.version if known else "",
        f"{known.vram_total_mb} MB" if known and known.vram_total_mb else "",
        server.loaded_model or "",
        ", ".join(server.labels),
        server.url,
    )


def _show(found: "CheckedServer") -> None:
    """Write what was found; exit 1 if the server cannot render."""
    known = found.server.fingerprint
    print_result(f"{found.server.name}: {found.detail}")
    if known:
        print_result(f"ComfyUI {known.version or '?'}; {', '.join(known.devices) or 'no device'}")
        print_result(known.describe())
        counts = (f"{len(names)} in {folder}" for folder, names in found.server.offers.items())
        print_result(f"models: {', '.join(counts)}")
    if not found.answers or found.renders is False:
        raise typer.Exit(1)

"""`anime projects`: lists projects, and shows and changes their styles."""

import asyncio
import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.request_parsing import parse_inputs, parse_options
from anime.cli.shots import open_database
from anime.cli.terminal import as_json, print_json, print_note, print_result, print_table
from anime.core.labels import shorten
from anime.errors import NotFound

if TYPE_CHECKING:
    from anime.core.catalogue import NewProject, ProjectRecord
    from anime.core.styles import StyleVersion

_MOST = 1000  # projects, or versions, that are shown

projects = typer.Typer(name="projects", help="Projects and their styles.")
Project = Annotated[str, typer.Argument(help="Id, name or slug of the project.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@projects.command(name="list")
def list_all(json: Json = False) -> None:
    """List the projects, newest first."""
    found = asyncio.run(_all())
    if json:
        print_json(as_json(found))
    else:
        rows = [(each.slug, each.name, shorten(each.description)) for each in found]
        print_table(("slug", "name", "description"), rows)


@projects.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    description: Annotated[str, typer.Option(help="What it is.")] = "",
    json: Json = False,
) -> None:
    """Create a project. A generation or a shot list creates the one that it names, too."""
    from anime.core.catalogue import NewProject

    new = parse_options(NewProject, "projects create", name=name, description=description)
    made = asyncio.run(_create(new))
    if json:
        print_json(made.model_dump(mode="json"))
    else:
        print_result(made.slug)


@projects.command()
def style(
    project: Project,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Change a field, in a new version; no value clears it. May be repeated.",
        ),
    ] = None,
    notes: Annotated[str, typer.Option(help="Why it changes.")] = "",
    versions: Annotated[bool, typer.Option("--versions", help="List all versions.")] = False,
    json: Json = False,
) -> None:
    """Show the style of a project, or change it: generations of it are composed with it."""
    if change:
        found = [asyncio.run(_change(project, change, notes))]
    else:
        found = asyncio.run(_versions(project, limit=_MOST if versions else 1))
    if json:
        print_json(as_json(found) if versions else found[0].model_dump(mode="json"))
        return
    for each in found:
        fields = each.style.model_dump(mode="json", exclude_defaults=True)
        said = f"{each.created_at:%Y-%m-%d %H:%M} {each.created_by} {each.notes}".strip()
        print_table((f"version {each.version}", said), [(k, str(v)) for k, v in fields.items()])


def note_unknown(project: str) -> None:
    """Say on stderr if there is no such project, whose list is as empty as that of a new one."""
    if not asyncio.run(_is_known(project)):
        print_note(f"There is no project {shorten(project)!r}: `anime projects list` has all.")


async def _is_known(project: str) -> bool:
    from anime.db.repositories import ProjectRepository

    async with open_database() as database, database.session_scope() as session:
        return bool(await ProjectRepository(session).keys_of(project))


async def _create(new: "NewProject") -> "ProjectRecord":
    from anime.db.repositories import ProjectRepository

    async with open_database() as database, database.session_scope() as session:
        return await ProjectRepository(session).create(new)


async def _all() -> "list[ProjectRecord]":
    from anime.db.repositories import ProjectRepository

    async with open_database() as database, database.session_scope() as session:
        found, _ = await ProjectRepository(session).page(limit=_MOST)
        return found


async def _versions(project: str, *, limit: int) -> "list[StyleVersion]":
    from anime.db.repositories import ProjectRepository, StyleRepository

    async with open_database() as database, database.session_scope() as session:
        key = await ProjectRepository(session).get(project)
        found, _ = await StyleRepository(session).page(key.id, limit=limit)
    if not found:
        raise NotFound(
            f"Project {key.slug} has no style.",
            "`anime projects style PROJECT --set FIELD=VALUE` gives it one.",
        )
    return found


async def _change(project: str, changes: list[str], notes: str) -> "StyleVersion":
    from anime.core.styles import NewStyle, ProjectStyle
    from anime.db.repositories import ProjectRepository, StyleRepository

    given = parse_inputs(changes, "--set")
    said = {name: None if value == "" else value for name, value in given.items()}
    async with open_database() as database, database.session_scope() as session:
        key = await ProjectRepository(session).get(project)
        styles = StyleRepository(session)
        await styles.lock(key.id)
        last = await styles.newest(key.id)
        before = last.style.model_dump(exclude_defaults=True) if last else {}
        fields = {name: value for name, value in (before | said).items() if value is not None}
        changed = parse_options(ProjectStyle, "projects style", **fields)
        new = parse_options(
            NewStyle, "projects style", style=changed, notes=notes, by=getpass.getuser()
        )
        return await styles.add(key.id, new)

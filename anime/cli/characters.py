"""`anime characters`: who is drawn again and again, in versions, with reference pictures."""

import asyncio
import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from anime.cli.old_records import import_old
from anime.cli.request_parsing import parse_lora, parse_options
from anime.cli.shots import open_database
from anime.cli.terminal import as_json, print_json, print_note, print_result, print_table
from anime.core.catalogue import (
    CatalogueLora,
    CharacterRecord,
    CharacterVersionRecord,
    NewCharacter,
    NewVersion,
)
from anime.core.labels import shorten
from anime.core.references import NewReference, ReferenceRecord, ReferenceRole, TakeName
from anime.errors import InvalidRequest

if TYPE_CHECKING:
    from anime.db.session import Database

_MOST = 1000  # characters, or versions of one, that are shown

characters = typer.Typer(name="characters", help="Characters, their versions and pictures.")
Character = Annotated[str, typer.Argument(help="Name of the character.")]
Project = Annotated[
    str | None, typer.Option(help="Project that the character is of; none: of all of them.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
characters.command(name="import")(import_old)


@characters.command(name="list")
def list_all(project: Project = None, json: Json = False) -> None:
    """List the characters, each with its canonical version."""
    found = asyncio.run(_all(project))
    if json:
        print_json(as_json(found))
        return
    print_table(
        ("character", "canonical", "pictures", "prompt", "description"),
        [_row(each) for each in found],
    )


@characters.command()
def show(name: Character, project: Project = None, json: Json = False) -> None:
    """Show the versions of a character, newest first, with their pictures."""
    found = asyncio.run(_versions(name, project))
    if json:
        print_json(as_json(found))
        return
    print_table(
        ("version", "", "prompt", "LoRAs", "seed", "by", "approved by"),
        [_version_row(each) for each in found],
    )
    pictures = [each for version in found for each in version.references]
    if pictures:
        print_table(
            ("version", "picture", "role", "from", "path"),
            [
                (str(each.version), str(each.position), each.role, each.source, each.path)
                for each in pictures
            ],
        )


@characters.command()
def create(
    name: Character,
    project: Project = None,
    description: Annotated[str, typer.Option(help="Who they are.")] = "",
    json: Json = False,
) -> None:
    """Create a character, still without a version."""
    new = parse_options(
        NewCharacter, "characters create", name=name, project=project, description=description
    )
    made = asyncio.run(_create(new))
    if json:
        print_json(made.model_dump(mode="json"))
    else:
        print_result(str(made.id))


@characters.command()
def version(
    name: Character,
    prompt: Annotated[str, typer.Option(help="What describes them in a prompt.")],
    project: Project = None,
    negative: Annotated[str | None, typer.Option(help="What they never are.")] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:STRENGTH][@ARCHITECTURE]",
            help="Such as mei.safetensors:0.8@sdxl. May be repeated.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="A seed that shows them well.")] = None,
    notes: Annotated[str, typer.Option(help="Why it changes.")] = "",
    draft: Annotated[
        bool, typer.Option("--draft", help="Do not make it canonical, even if it is the first.")
    ] = False,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Leave out those of the version before.")
    ] = False,
    json: Json = False,
) -> None:
    """Add a version: how the character is drawn once it is approved. The first one is at once."""
    new = parse_options(
        NewVersion,
        "characters version",
        prompt=prompt,
        negative_prompt=negative,
        loras=[_lora(text) for text in lora or ()],
        seed=seed,
        notes=notes,
        is_canonical=False if draft else None,
        keeps_references=not no_pictures,
        by=getpass.getuser(),
    )
    _show_version(asyncio.run(_add_version(name, project, new)), json=json)


@characters.command()
def approve(
    name: Character,
    number: Annotated[int, typer.Argument(min=1, help="The version's number.")],
    project: Project = None,
    json: Json = False,
) -> None:
    """Make a version canonical: it counts from now on. Approving the former one undoes it."""
    _show_version(asyncio.run(_approve(name, project, number)), json=json)


@characters.command()
def reference(
    name: Character,
    role: Annotated[ReferenceRole, typer.Option(help="What the picture shows.")],
    picture: Annotated[Path | None, typer.Argument(help="A picture to copy.")] = None,
    project: Project = None,
    file: Annotated[int | None, typer.Option(help="Id of a picture in the library.")] = None,
    take: Annotated[
        str | None, typer.Option(metavar="SHOT:NUMBER", help="An approved take of the project.")
    ] = None,
    json: Json = False,
) -> None:
    """Add a reference picture; if the newest version was approved, to a new draft like it."""
    if sum(each is not None for each in (picture, file, take)) != 1:
        raise InvalidRequest(
            "There is no picture, or there are several.", "Give a PICTURE, --file or --take."
        )
    added = asyncio.run(_add_reference(name, project, role, picture, file, take))
    if json:
        print_json(added.model_dump(mode="json"))
        return
    print_note(f"{name}, version {added.version}: {added.role} from {added.source}")
    print_result(added.path)


async def _all(project: str | None) -> list[CharacterRecord]:
    from anime.db.repositories import CharacterRepository, ProjectRepository

    async with open_database() as database, database.session_scope() as session:
        key = (await ProjectRepository(session).get(project)).id if project else None
        found, _ = await CharacterRepository(session).page(limit=_MOST, project_id=key)
        return found


async def _create(new: NewCharacter) -> CharacterRecord:
    from anime.db.repositories import CharacterRepository, ProjectRepository

    async with open_database() as database, database.session_scope() as session:
        key = (await ProjectRepository(session).get(new.project)).id if new.project else None
        return await CharacterRepository(session).create(new, key)


async def _find(database: "Database", name: str, project: str | None) -> UUID:
    from anime.db.repositories import CharacterRepository, ProjectRepository

    async with database.session_scope() as session:
        key = (await ProjectRepository(session).get(project)).id if project else None
        return (await CharacterRepository(session).find(name, key)).id


async def _versions(name: str, project: str | None) -> list[CharacterVersionRecord]:
    from anime.db.repositories import CharacterRepository

    async with open_database() as database:
        character_id = await _find(database, name, project)
        async with database.session_scope() as session:
            found, _ = await CharacterRepository(session).versions(character_id, limit=_MOST)
            return found


async def _add_version(name: str, project: str | None, new: NewVersion) -> CharacterVersionRecord:
    from anime.db.repositories import CharacterRepository

    async with open_database() as database:
        character_id = await _find(database, name, project)
        async with database.session_scope() as session:
            return await CharacterRepository(session).add_version(character_id, new)


async def _approve(name: str, project: str | None, number: int) -> CharacterVersionRecord:
    from anime.db.repositories import CharacterRepository

    async with open_database() as database:
        character_id = await _find(database, name, project)
        async with database.session_scope() as session:
            return await CharacterRepository(session).make_canonical(
                character_id, number, by=getpass.getuser()
            )


async def _add_reference(
    name: str,
    project: str | None,
    role: ReferenceRole,
    picture: Path | None,
    file: int | None,
    take: str | None,
) -> ReferenceRecord:
    from anime.assets.references import add_reference, add_reference_file
    from anime.assets.store import AssetStore
    from anime.settings import load_settings

    by = getpass.getuser()
    async with open_database() as database:
        character_id = await _find(database, name, project)
        library = AssetStore.of(load_settings())
        if picture is not None:
            return await add_reference_file(
                database, library, character_id, picture, role=role, by=by
            )
        new = parse_options(
            NewReference,
            "characters reference",
            role=role,
            file_id=file,
            take=_take(take, project) if take else None,
            by=by,
        )
        return await add_reference(database, library, character_id, new)


def _take(text: str, project: str | None) -> TakeName:
    shot, colon, number = text.rpartition(":")
    if not colon or not number.isdecimal() or project is None:
        raise InvalidRequest(
            f"--take {text[:80]} names no take.",
            "Give it as SHOT:NUMBER, such as sc1_c010:2, with --project.",
        )
    return parse_options(
        TakeName, "characters reference", project=project, shot=shot, number=int(number)
    )


def _lora(text: str) -> CatalogueLora:
    named, _, architecture = text.rpartition("@")
    if not named:
        named, architecture = text, ""
    lora = parse_lora(named)
    return CatalogueLora(name=lora.name, strength=lora.strength, architecture=architecture or None)


def _show_version(found: CharacterVersionRecord, *, json: bool) -> None:
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        state = "canonical" if found.is_canonical else "draft"
        print_result(f"Version {found.number}: {state}.")


def _row(each: CharacterRecord) -> Sequence[str]:
    counts = each.canonical
    return (
        each.name,
        str(counts.number) if counts else "",
        str(len(counts.references)) if counts else "",
        shorten(counts.prompt) if counts else "",
        shorten(each.description),
    )


def _version_row(each: CharacterVersionRecord) -> Sequence[str]:
    loras = ", ".join(f"{lora.name} × {lora.strength:g}" for lora in each.loras)
    return (
        str(each.number),
        "canonical" if each.is_canonical else "" if each.approved_at else "draft",
        each.prompt,
        loras,
        "" if each.seed is None else str(each.seed),
        each.created_by or "",
        each.approved_by or "",
    )

"""`anime characters import`: projects and characters of older services."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.shots import Json, open_database
from anime.cli.terminal import as_json, print_json, print_result, print_table

if TYPE_CHECKING:
    from anime.core.old_records import ImportedRecord


def import_old(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of *.json, each with one character or several.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would become of each record.")
    ] = False,
    json: Json = False,
) -> None:
    """Import projects and characters of older services: tables that were set aside, and files.

    Nothing of theirs is changed or deleted; what cannot be read is listed.
    """
    done = asyncio.run(_import(folder, only_tries=dry_run))
    if json:
        print_json(as_json(done))
        return
    print_table(
        ("kind", "name", "from", "", "why"),
        [(each.kind, each.name, each.source, each.outcome, each.reason) for each in done],
    )
    if not done:
        print_result("There are no records of older services.")


async def _import(folder: Path | None, *, only_tries: bool) -> "list[ImportedRecord]":
    from anime.jobs.old_records import import_old_records

    async with open_database() as database:
        return await import_old_records(database, folder, only_tries=only_tries)

"""`anime quarantine`: lists and restores quarantined files."""

import asyncio
from typing import Annotated

import typer

from anime.cli.terminal import as_json, print_json, print_note, print_result, print_table
from anime.core.labels import shorten

quarantine = typer.Typer(
    name="quarantine", help="Files that sweeps have quarantined.", no_args_is_help=True
)


@quarantine.command(name="list")
def list_all(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the quarantined files and why each is one, newest first."""
    from anime.assets.quarantine import quarantined
    from anime.settings import load_settings

    records = quarantined(load_settings().library)
    if json:
        print_json(as_json(records))
    elif records:
        rows = [
            (record.name, record.reason, shorten(record.what, 60), record.path)
            for record in records
        ]
        print_table(("name", "reason", "what", "came from"), rows)
    else:
        print_note("Nothing is in quarantine.")


@quarantine.command()
def restore(
    name: Annotated[str, typer.Argument(help="Name, as `anime quarantine list` shows it.")],
) -> None:
    """Restore a file to where it was; sweeps leave it there until it changes."""
    from anime.assets.quarantine import restore_file
    from anime.settings import load_settings
    from anime.settings.addresses import database_address

    settings = load_settings()
    print_result(asyncio.run(restore_file(database_address(settings), settings.library, name)))

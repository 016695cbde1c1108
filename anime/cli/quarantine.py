"""`anime quarantine`: what sweeps have put aside, and how it comes back."""

import asyncio
from typing import Annotated

import typer

from anime.cli.terminal import as_json, give, give_json, give_table, tell
from anime.core.prompts import shorten

quarantine = typer.Typer(
    name="quarantine", help="Files that sweeps have put aside.", no_args_is_help=True
)


@quarantine.command(name="list")
def list_all(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what is in quarantine and why, the newest first."""
    from anime.settings import load_settings
    from anime.sweep.quarantine import quarantined

    slips = quarantined(load_settings().library)
    if json:
        give_json(as_json(slips))
    elif slips:
        rows = [(slip.name, slip.reason, shorten(slip.what, 60), slip.path) for slip in slips]
        give_table(("name", "reason", "what", "came from"), rows)
    else:
        tell("Nothing is in quarantine.")


@quarantine.command()
def restore(
    name: Annotated[str, typer.Argument(help="Name, as `anime quarantine list` shows it.")],
) -> None:
    """Bring a file back to where it was; sweeps leave it alone there, until it changes."""
    from anime.addresses import database_address
    from anime.settings import load_settings
    from anime.sweep.restoring import restore_file

    settings = load_settings()
    give(asyncio.run(restore_file(database_address(settings), settings.library, name)))

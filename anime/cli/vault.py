"""`anime vault check`: whether each reference to a secret resolves."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from anime.cli.terminal import as_json, print_json, print_note, print_table

if TYPE_CHECKING:
    from anime.net.vault.references_check import CheckedReference
    from anime.settings import Settings

vault = typer.Typer(name="vault", help="Secrets that settings and blocks refer to.")


@vault.callback()
def group() -> None:
    """Show how Vault is."""


@vault.command()
def check(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Resolve each reference of settings and blocks, and say for how long; never a value."""
    from anime.net.vault import vault_status
    from anime.net.vault.references_check import check_references, texts_of
    from anime.settings import load_settings

    settings = load_settings()
    of_blocks, unchecked = asyncio.run(_texts_of_blocks(settings))
    found = check_references([*texts_of(settings), *of_blocks])
    status = vault_status()
    told = status.describe() if status else "Vault was not asked for anything."
    kept = _kept_by_prefect(settings)
    if json:
        references = as_json(found)
        print_json({"vault": told, "references": references, "unchecked": unchecked, "kept": kept})
    else:
        print_table(("where", "reference", "resolves", "TTL"), map(_row, found))
        for each in found:
            if each.error:
                print_note(f"{each.reference}: {each.error} → {each.todo}")
        print_note(told)
        if unchecked:
            print_note(f"Blocks in Prefect are not checked: {unchecked}")
        if kept:
            print_note(kept)
    if not all(each.resolves for each in found):
        raise typer.Exit(1)


def _kept_by_prefect(settings: "Settings") -> str | None:
    """What to do about the one login that is not followed; nothing if it is no reference."""
    from anime.settings.secret_references import has_references

    address = settings.prefect_database_url
    if address is None and settings.prefect_api_url is None:  # it lies beside the studio's
        address = settings.database_url
    if address is None or not has_references(address.get_secret_value()):
        return None
    return (
        "Prefect's server keeps the password of its database. When that changes: restart "
        "`anime up`; the service anime-prefect begins again by itself."
    )


async def _texts_of_blocks(settings: "Settings") -> tuple[list[tuple[str, str]], str | None]:
    """The texts of the blocks that flows use; or why they are not known."""
    from anime.errors import AnimeError
    from anime.net.prefect_api import PrefectApi
    from anime.net.vault.references_check import texts_of_block

    try:
        async with PrefectApi.from_settings(settings) as prefect:
            blocks = await prefect.block_data("studio")
    except AnimeError as fault:
        return [], fault.what
    texts = (texts_of_block(f"block {name}", data) for name, data in blocks.items())
    return [text for each in texts for text in each], None


def _row(checked: "CheckedReference") -> tuple[str, str, str, str]:
    left = checked.seconds_left
    ttl = "" if not checked.resolves else "no lease" if left is None else f"{left:.0f} s"
    return checked.where, checked.reference, "yes" if checked.resolves else "NO", ttl

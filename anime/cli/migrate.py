"""`anime migrate`: bring the tables to the newest revision."""

import asyncio

from anime.cli.terminal import print_result


def migrate() -> None:
    """Apply the missing migrations; an existing anime_files table is adopted."""
    from anime.settings import load_settings
    from anime.settings.addresses import database_address

    settings = load_settings()
    print_result(asyncio.run(_migrate(database_address(settings), settings.timezone)))


async def _migrate(url: str, timezone: str | None) -> str:
    """A sentence on what was done."""
    from anime.db.migrate import revision, upgrade

    before, head = await revision(url)
    if before == head:
        return f"The database is up to date ({head})."
    if before and head and before > head:  # revisions only add: docs/operation.md, Upgrading
        return (
            f"The database is at {before}, of a newer release; this one ends at {head} and "
            "understands the tables of the release after it. Nothing was changed."
        )
    await upgrade(url, timezone=timezone)
    after, _ = await revision(url)
    return f"The database went from {before or 'nothing'} to {after}."

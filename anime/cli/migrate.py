"""`anime migrate`: bring the tables up to date."""

import asyncio

from anime.cli.terminal import give


def migrate() -> None:
    """Apply the migrations that the database lacks; an existing anime_files table is adopted."""
    from anime.addresses import database_address
    from anime.settings import load_settings

    settings = load_settings()
    give(asyncio.run(_migrate(database_address(settings), settings.timezone)))


async def _migrate(url: str, timezone: str | None) -> str:
    """What was done, in a sentence."""
    from anime.db.migrate import revision, upgrade

    before, head = await revision(url)
    if before == head:
        return f"The database is up to date ({head})."
    await upgrade(url, timezone=timezone)
    after, _ = await revision(url)
    return f"The database went from {before or 'nothing'} to {after}."

"""A file comes back from quarantine."""

import asyncio
from pathlib import Path

from anime.assets.importer.read import path_of
from anime.assets.importer.walk import folder_key
from anime.assets.quarantine import bring_back, let_go
from anime.core.sweep_plan import ImportOutcome
from anime.db.repositories.sweeps import SweepRepository, SweptLine
from anime.db.session import Database


async def restore_file(database_url: str, library: Path, name: str) -> str:
    """Where the file is now: where it was, or beside it if another one is there.

    It leaves the quarantine last, so that it is somewhere at any time; sweeps know it and leave
    it alone until it changes.

    Raises:
        NotFound: there is none of that name, or there are several.
        StorageError: its folder cannot take it.
        DatabaseUnavailable: PostgreSQL does not answer; it is in quarantine still.
    """
    record, sighting = await asyncio.to_thread(bring_back, library, name)
    line = SweptLine(
        folder=folder_key(sighting.folder),
        path=sighting.folder,
        name=sighting.name,
        size_bytes=sighting.size_bytes,
        mtime_ns=sighting.mtime_ns,
        outcome=ImportOutcome.RESTORED,
    )
    async with Database(database_url) as database, database.session_scope() as session:
        await SweepRepository(session).write([line])
    await asyncio.to_thread(let_go, library, record)
    return str(path_of(sighting))

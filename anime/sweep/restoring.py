"""A file comes back from quarantine."""

import asyncio
from pathlib import Path

from anime.core.sweep_plan import Outcome
from anime.db.repositories.sweeps import SweepRepository, SweptLine
from anime.db.session import Database
from anime.sweep.quarantine import bring_back, let_go
from anime.sweep.reading import path_of
from anime.sweep.walk import folder_key


async def restore_file(database_url: str, library: Path, name: str) -> str:
    """Where the file is now: where it was, or beside it if another one is there.

    It leaves the quarantine last, so that it is somewhere at any time; sweeps know it and leave
    it alone until it changes.

    Raises:
        NotFound: there is none of that name, or there are several.
        StorageError: its folder cannot take it.
        DatabaseUnavailable: PostgreSQL does not answer; it is in quarantine still.
    """
    slip, sighting = await asyncio.to_thread(bring_back, library, name)
    line = SweptLine(
        folder=folder_key(sighting.folder),
        name=sighting.name,
        size_bytes=sighting.size_bytes,
        mtime_ns=sighting.mtime_ns,
        outcome=Outcome.RESTORED,
    )
    async with Database(database_url) as database, database.session_scope() as session:
        await SweepRepository(session).write([line])
    await asyncio.to_thread(let_go, library, slip)
    return str(path_of(sighting))

"""Missing files are fetched again: from where a sweep had them, from ComfyUI, from quarantine.

Only a file with the very content of the row comes back, as a file of its own, and over no other.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from anime.assets.quarantine import quarantined
from anime.assets.store import AssetStore, StoredFile, chunks_of
from anime.core.sweep_plan import QUARANTINE
from anime.db.repositories import InventoryRepository, KnownAsset
from anime.db.repositories.sweeps import SweepRepository
from anime.db.session import Database

_SET_APART = re.compile(r"#[0-9a-f]{12}$")  # a source of one name with another content


class Repairer:
    """Fetches the files of rows. `folders`: where the sources of rows may lie."""

    def __init__(self, database: Database, library: Path, folders: Sequence[Path]) -> None:
        self._database = database
        self._store = AssetStore(library)
        self._folders = folders
        self._aside: Mapping[str, Path] | None = None

    async def fetch(self, rows: Sequence[KnownAsset]) -> dict[str, str]:
        """Where each file that is back was found, by its row's path; its row says so already.

        Raises:
            StorageError: the library cannot take a file. Those before it are back.
        """
        async with self._database.session_scope() as session:
            swept = await SweepRepository(session).sources_of([row.id for row in rows])
        if self._aside is None:
            self._aside = await asyncio.to_thread(self._quarantined)
        found = {}
        for row in rows:
            places = [*swept.get(row.id, ()), *self._sources(row), *self._twin(row)]
            source = await self._fetch_one(row, places)
            if source is not None:
                found[row.path] = str(source)
        return found

    async def _fetch_one(self, row: KnownAsset, places: Sequence[Path]) -> Path | None:
        """The first of the places that had the file."""
        target = _within(self._store.root, row.path)
        for place in places if target and row.sha256 else ():
            received = await self._received(place, row.sha256)
            if received is not None and target is not None:
                async with self._store.placed_or_removed(received):
                    placed = await self._store.place(received, target)
                async with self._database.session_scope() as session:
                    inventory = InventoryRepository(session)
                    await inventory.relink(row.id, str(placed), placed.name)
                return place
        return None

    async def _received(self, place: Path, sha256: str | None) -> StoredFile | None:
        """A copy of that file, with its time; None if it is not that content, or cannot be read."""
        try:
            status = await asyncio.to_thread(place.lstat)
            if not S_ISREG(status.st_mode):
                return None
            received = await self._store.receive(chunks_of(place))
        except OSError:
            return None
        if received.sha256 != sha256:
            await asyncio.to_thread(received.path.unlink)
            return None
        await asyncio.to_thread(
            os.utime, received.path, ns=(status.st_atime_ns, status.st_mtime_ns)
        )
        return received

    def _sources(self, row: KnownAsset) -> list[Path]:
        """Where ComfyUI saved it, in one of the folders and not outside of it."""
        if row.source_path is None:
            return []
        names = {row.source_path, _SET_APART.sub("", row.source_path)}
        places = [(folder, folder / name) for folder in self._folders for name in sorted(names)]
        return [at for folder, at in places if at.resolve().is_relative_to(folder.resolve())]

    def _twin(self, row: KnownAsset) -> list[Path]:
        twin = (self._aside or {}).get(row.sha256 or "")
        return [twin] if twin else []

    def _quarantined(self) -> dict[str, Path]:
        root = self._store.root
        records = quarantined(root)
        return {each.sha256: root / QUARANTINE / each.name for each in records if each.sha256}


def _within(root: Path, path: str) -> PurePosixPath | None:
    """The path within the library; None for a row whose file lies elsewhere."""
    place = root / path
    if ".." in place.parts or not place.is_relative_to(root):
        return None
    return PurePosixPath(place.relative_to(root))

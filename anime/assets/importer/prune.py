"""Lines of sources that are gone are removed: what sweeps remember does not grow for ever.

Each sweep looks at some of them, taken by chance, so that it costs the same however many there are.
A file whose line was removed by mistake would be read once more, and found to be in the library.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence

from anime.db.repositories.sweeps import RememberedSource, SweepRepository
from anime.db.session import Database

AT_ONCE = 2_000  # sources; to look at them takes a hundredth of a second


class Pruning:
    """The sources that one sweep of the root looks at, and what can be told of them there."""

    def __init__(
        self, database: Database, root: bytes, sources: Sequence[RememberedSource]
    ) -> None:
        self._database = database
        self._root = root
        self._sources = sources
        self._is_mounted: dict[bytes, bool] = {}  # by folder

    @property
    def wanted(self) -> frozenset[bytes]:
        """Keys of the folders whose paths nobody has written down."""
        return frozenset(source.folder for source in self._sources if source.path is None)

    async def prune_gone(self, paths: Mapping[bytes, bytes]) -> None:
        """Forget those that are gone, or were to go when they were swept.

        `paths` has those of wanted folders, by key. Only whoever sweeps may do this, or the
        line of a source that has come again could be removed.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        gone = await asyncio.to_thread(self._gone, paths)
        if paths or gone:
            async with self._database.session_scope() as session:
                sweeps = SweepRepository(session)
                await sweeps.remember_folders(paths)
                await sweeps.prune(gone)

    def _gone(self, paths: Mapping[bytes, bytes]) -> list[RememberedSource]:
        return [
            source
            for source in self._sources
            if not source.was_kept
            or self._is_gone(source.path or paths.get(source.folder), source.name)
        ]

    def _is_gone(self, folder: bytes | None, name: bytes) -> bool:
        if folder is None or not self._is_below_root(folder):
            return False
        try:
            os.lstat(os.path.join(folder, name))  # noqa: PTH118  bytes
        except (FileNotFoundError, NotADirectoryError):
            return self._is_there(folder)
        except OSError:
            return False  # it cannot be told
        return False

    def _is_there(self, folder: bytes) -> bool:
        """Whether the nearest folder that is there has something in it.

        An empty one may be the place of a disk that is not mounted just now.
        """
        if folder not in self._is_mounted:
            self._is_mounted[folder] = self._look(folder)
        return self._is_mounted[folder]

    def _look(self, folder: bytes) -> bool:
        try:
            with os.scandir(folder) as entries:
                return next(entries, None) is not None
        except (FileNotFoundError, NotADirectoryError):
            above = os.path.dirname(folder)  # noqa: PTH120  bytes
            return self._is_below_root(above) and self._is_there(above)
        except OSError:
            return False

    def _is_below_root(self, folder: bytes) -> bool:
        return folder == self._root or folder.startswith(self._root.rstrip(b"/") + b"/")


async def begin_pruning(database: Database, root: bytes) -> Pruning:
    """Some of the sources that are remembered.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    async with database.session_scope() as session:
        return Pruning(database, root, await SweepRepository(session).some_sources(AT_ONCE))

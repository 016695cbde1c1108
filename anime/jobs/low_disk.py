"""Low disk: new renders are paused before a disk is full, and begin again when it no longer is.

So they are while the library's disk does not answer, where they would have to be put.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

from anime.core.servers import EVERYTHING
from anime.db.advisory_lock import LOW_DISK, AdvisoryLock, advisory_lock
from anime.db.repositories import PauseRepository
from anime.db.session import Database
from anime.errors import AnimeError, DatabaseUnavailable, reason_of
from anime.net.bounded_threads import BoundedThreads
from anime.retry_policies import DISK_WATCH
from anime.settings import Settings

DISK_SECONDS = 10.0  # for a disk to answer; a mount may hang
LOCK_SECONDS = 2.0  # longer than a pause takes to be ended
RESUME_FACTOR = 1.25  # so much more must be free before renders begin again
MB = 2**20
_LOW = "low disk"

_log = logging.getLogger(__name__)


def free_mb_of(folder: Path) -> int | None:
    """What is free where the folder is, or is to be made; None if its disk does not say."""
    for there in (folder, *folder.parents):
        try:
            return shutil.disk_usage(there).free // MB
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # a mount that is sick
            return None
    return None


class DiskReader:
    """Reads what is free of some disks, each in a thread of its own, in which it may hang."""

    def __init__(
        self, folders: Iterable[Path], free_mb: Callable[[Path], int | None] = free_mb_of
    ) -> None:
        self._threads = {folder: BoundedThreads("disk", 1) for folder in folders}
        self._free_mb = free_mb

    async def free_mb(self, *, seconds: float) -> dict[Path, int | None]:
        """MB by folder; None of a disk that does not say, or not within so many seconds."""
        found = await asyncio.gather(*(self._free_of(each, seconds) for each in self._threads))
        return dict(zip(self._threads, found, strict=True))

    async def _free_of(self, folder: Path, seconds: float) -> int | None:
        read = partial(self._free_mb, folder)
        try:
            return await self._threads[folder].run(read, timeout_seconds=seconds)
        except TimeoutError:
            return None


class DiskGuard:
    """Pauses all new renders while a disk that they write to is low, or the library's is away.

    Other hosts may have other disks: only when no guard finds any such does the pause end.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        free_mb: Callable[[Path], int | None] = free_mb_of,
    ) -> None:
        self._database = database
        self._needed_mb = settings.min_free_disk_mb
        self._library = settings.library
        folders = (settings.library, settings.comfyui_output_dir)
        self._disks = DiskReader((folder for folder in folders if folder is not None), free_mb)
        self._held = AsyncExitStack()
        self._lock: AdvisoryLock | None = None  # while there is a reason for a pause

    async def run_forever(self) -> None:
        """Look now and then until cancelled; where no space is asked for, end a pause of ours."""
        try:
            while True:
                try:
                    await self.step()
                except AnimeError as fault:
                    _log.warning("The disks are looked at again later: %s", reason_of(fault))
                else:
                    if not self._needed_mb:
                        return
                await DISK_WATCH.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Let others end the pause."""
        self._lock = None
        await self._held.aclose()

    async def step(self) -> None:
        """Pause or resume, as the disks are. A pause of a person stays.

        Raises:
            DatabaseUnavailable: it is left to the next step.
        """
        free = await self._disks.free_mb(seconds=DISK_SECONDS) if self._needed_mb else {}
        if reason := self._reason(free):
            await self._pause(reason)
        else:
            spared = self._needed_mb * RESUME_FACTOR
            has_spare = all(mb is not None and mb >= spared for mb in free.values())
            await self._resume(has_spare=has_spare)

    def _reason(self, free: Mapping[Path, int | None]) -> str:
        """Why renders are paused; empty if there is no reason to."""
        low = [
            f"{folder} has {mb} MB free"
            for folder, mb in free.items()
            if mb is not None and mb < self._needed_mb
        ]
        if low:
            needed = f"{self._needed_mb} MB are needed (ANIME_MIN_FREE_DISK_MB)"
            return f"{_LOW}: {', '.join(low)}, and {needed}"
        if free.get(self._library, 0) is None:
            return f"the disk of the library, {self._library}, does not answer"
        return ""

    async def _pause(self, reason: str) -> None:
        await self._hold()
        async with self._database.session_scope() as session:
            if await PauseRepository(session).set(EVERYTHING, reason, is_automatic=True):
                _log.error("All new renders are paused: %s", reason)

    async def _resume(self, *, has_spare: bool) -> None:
        """End a pause of ours; that of a low disk only if the disks have some space to spare."""
        async with self._database.autocommit() as session:
            pauses = await PauseRepository(session).in_force()
        ours = [each for each in pauses if each.is_automatic and each.scope == EVERYTHING]
        if not has_spare and any(each.reason.startswith(_LOW) for each in ours):
            return
        await self.close()
        if not ours:
            return
        async with advisory_lock(self._database.address, LOW_DISK) as turn:
            if turn is None:
                return
            async with self._database.session_scope() as session:
                is_over = await PauseRepository(session).clear(EVERYTHING, only_automatic=True)
        if is_over:
            _log.warning("New renders begin again: the disks have the space that is asked for.")

    async def _hold(self) -> None:
        """Keep others from ending the pause for as long as this program lives."""
        if self._lock is not None:
            with suppress(DatabaseUnavailable):  # it is gone with its connection
                await self._lock.confirm()
                return
        await self.close()
        turn = advisory_lock(
            self._database.address, LOW_DISK, is_shared=True, wait_seconds=LOCK_SECONDS
        )
        self._lock = await self._held.enter_async_context(turn)

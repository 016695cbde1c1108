"""Reads of a folder while somebody waits: the server of its network mount may be gone."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from anime.errors import StorageTimedOut
from anime.net.bounded_threads import BoundedThreads

ANSWER_SECONDS = 5.0
READ_SECONDS = 60.0  # for a whole file
CALLS_AT_A_TIME = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a folder, with every link followed."""

    path: Path
    status: os.stat_result


class FolderReader:
    """Reads a folder's disk in threads of its own: a call that hangs holds up no other folder."""

    def __init__(self, root: Path, *, called: str = "library") -> None:
        self.root = root
        self._called = called  # in messages
        self._threads = BoundedThreads(called, CALLS_AT_A_TIME)

    async def find(self, path: Path, *, within: Path | None = None) -> FoundFile | None:
        """The file, if it exists and lies in the folder, or in that one of its own.

        Raises:
            StorageTimedOut: the disk does not answer.
        """
        folder = self.root / within if within else self.root
        return await self.run(partial(find_within, folder, path), seconds=ANSWER_SECONDS)

    async def run(self, call: Callable[[], T], *, seconds: float) -> T:
        """What the call returns or raises.

        Raises:
            StorageTimedOut: it takes longer than `seconds`.
        """
        try:
            return await self._threads.run(call, timeout_seconds=seconds)
        except TimeoutError as fault:
            raise StorageTimedOut(
                f"The {self._called} {self.root} has not answered within {seconds:g} s.",
                "Check its disk or network mount, and try again.",
            ) from fault


def find_within(folder: Path, path: Path) -> FoundFile | None:
    """The file, if it exists and lies in the folder. It blocks."""
    try:
        real = (folder / path).resolve(strict=True)
        status = real.stat()
    except OSError:
        return None
    is_ours = real.is_relative_to(folder.resolve()) and stat.S_ISREG(status.st_mode)
    return FoundFile(real, status) if is_ours else None

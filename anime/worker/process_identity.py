"""The process that owns a flow run, as written into the run's `infrastructure_pid`."""

import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import hexdigits
from typing import Self
from uuid import uuid4

from anime.settings.process_lock import acquire_lock, is_held

_KIND = "anime-warm"
LOCK_KEPT_SECONDS = 30 * 86_400.0  # no run of a worker that died so long ago is still under way

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One worker process. Host and pid are for people; the name of its lock is unique.

    Earlier versions wrote the time at which the process started in place of the lock.
    """

    host: str
    pid: int
    lock: str

    @classmethod
    def of_this_process(cls, home: Path) -> Self:
        """This process, whose lock in the data folder others can check from now on."""
        return cls(socket.gethostname(), os.getpid(), _own_lock(home))

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """The owner of a run, from `infrastructure_pid`; None for another type of worker.

        >>> ProcessIdentity.parse("anime-warm/host-a/17/0f3c")
        ProcessIdentity(host='host-a', pid=17, lock='0f3c')
        >>> ProcessIdentity.parse("4711") is None
        True
        """
        match (text or "").split("/"):
            case [kind, host, pid, lock] if (
                kind == _KIND and pid.isdigit() and lock and set(lock) <= set(hexdigits)
            ):
                return cls(host, int(pid), lock)
        return None

    def __str__(self) -> str:
        return f"{_KIND}/{self.host}/{self.pid}/{self.lock}"

    def is_gone(self, home: Path) -> bool:
        """Whether the process has ended. One whose lock is not in that data folder may still run.

        It may be in another container, where its pid means something else. One on another host is
        also taken to run: some network file systems show a lock only on its own machine.
        """
        is_same_host = self.host == socket.gethostname()
        return is_same_host and is_held(_lock_path(home, self.lock)) is False


def remove_old_locks(home: Path) -> None:
    """Remove the locks of workers that ended long ago."""
    with suppress(OSError):  # the folder's mount is sick: they are removed later
        for path in _lock_folder(home).glob("*.lock"):
            with suppress(FileNotFoundError):  # another worker was faster
                is_old = time.time() - path.stat().st_mtime > LOCK_KEPT_SECONDS
                if is_old and is_held(path) is False:
                    path.unlink()


@cache
def _own_lock(home: Path) -> str:
    """The name of a lock that this process holds until it ends."""
    name = uuid4().hex
    try:
        acquire_lock(_lock_path(home, name))
    except OSError as fault:
        _log.warning(
            "No lock can be made in %s, so no one can know when this worker has died: %s",
            _lock_folder(home),
            fault,
        )
    return name


def _lock_folder(home: Path) -> Path:
    return home / "run" / "workers"


def _lock_path(home: Path, name: str) -> Path:
    return _lock_folder(home) / f"{name}.lock"

"""Nothing that tests start outlives them, however pytest or one of its workers ends.

Each process of pytest marks its environment, which all that it starts inherits, and has a reaper:
a child that waits for its end, kills whatever carries the mark and deletes the folder in memory. A
parent-death signal would reach only the children, and those of a thread already when the thread
ends.

    python -m tests.support.reaper OWNER_PID MARK
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

MARK = "TESTS_STARTED_BY"
MEMORY = Path("/dev/shm")
LOOK_EVERY_SECONDS = 0.2
KILLING_SECONDS = 60
_reapers: list[subprocess.Popen[bytes]] = []


def pytest_configure() -> None:
    """Mark what this process will start, and start its reaper."""
    os.environ[MARK] = uuid4().hex
    reaper = subprocess.Popen(
        [sys.executable, __file__, str(os.getpid()), os.environ[MARK]],
        env={name: value for name, value in os.environ.items() if name != MARK},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the tests alone
    )
    _reapers.append(reaper)  # nobody waits for it: it outlives this process


def folder_of(mark: str) -> Path:
    """Where programs with that mark may have files in memory; there only if it was made."""
    return MEMORY / f"anime-tests-{mark}"


def reap(owner_pid: int, mark: str) -> None:
    """Wait for the end of the owner, then kill what carries the mark until nothing does."""
    # A pipe would tell nothing while a forked child of the owner holds its other end.
    while os.getppid() == owner_pid:
        time.sleep(LOOK_EVERY_SECONDS)
    give_up = time.monotonic() + KILLING_SECONDS
    while (left := list(_marked(mark))) and time.monotonic() < give_up:
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, 1)
    shutil.rmtree(folder_of(mark), ignore_errors=True)


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has just ended, or is another user's
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process


if __name__ == "__main__":
    reap(int(sys.argv[1]), sys.argv[2])

"""Programs that the tests start, and that may die: a sweep, a placer, another user's sweep.

They are forked from a process that has everything loaded, which takes milliseconds instead of
seconds. `Steps` counts whatever changes the disk, and each commit, as Python and SQLAlchemy
announce them before they are done: between two of them, being killed makes no difference.
"""

import asyncio
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from unittest.mock import patch
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, event, make_url

from anime.assets import limited_process
from anime.assets.importer import run
from anime.assets.importer.place import ImportPlacer
from anime.assets.importer.run import SweepRequest, sweep_folder
from anime.assets.store import AssetStore
from anime.core.sweep_plan import ImportCandidate, Mode, ScannedFile
from anime.db.session import Database
from anime.errors import AnimeError
from tests.support.forks import FORKS
from tests.support.waiting import HUNG_SECONDS

MANY = 500
_CHANGING = frozenset({"os.link", "os.remove", "os.mkdir", "os.rename", "os.chmod", "os.utime"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Steps:
    """Counts changes below a folder and commits before they happen; dies before one of them."""

    folder: str
    deadly: int
    taken: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Be told of every step from now on, for as long as this process lives."""
        sys.addaudithook(self._on_disk)
        event.listen(Engine, "commit", lambda _: self._step("commit"))

    def _on_disk(self, name: str, about: tuple[object, ...]) -> None:
        is_writing = name == "open" and isinstance(about[2], int) and bool(about[2] & _WRITING)
        if (is_writing or name in _CHANGING) and os.fspath(self.folder) in str(about[:2]):
            self._step(name)

    def _step(self, name: str) -> None:
        if len(self.taken) == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        self.taken.append(name)


def sweep_dying(
    folder: Path, url: str, mode: Mode, deadly: int, told: Path, *, at_once: int = MANY
) -> None:
    """A real sweep that is killed before that step; the steps of one that lives are written.

    `at_once` is how many files are in a batch, of which it has two in hand.
    """
    steps = Steps(str(folder), deadly)
    steps.watch()
    with patch.object(run, "_BATCH", at_once):
        asyncio.run(_sweep(folder / "output", folder / "library", url, mode))
    told.write_text("\n".join(steps.taken))


def sweep_as_ordinary_user(folder: Path, url: str, told: Path) -> None:
    """A sweep of a user without rights; what it says at its end is written."""
    # What Python loads late is loaded now: that user may not be able to read our interpreter.
    asyncio.run(_sweep(folder / "output", folder / "library", url, Mode.COPY, dry_run=True))
    user, group = ordinary_user(url)
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    sweep_and_tell(folder, url, told)


def sweep_and_tell(folder: Path, url: str, told: Path) -> None:
    """A sweep; what it says at its end is written."""
    try:
        said = asyncio.run(_sweep(folder / "output", folder / "library", url, Mode.COPY))
    except AnimeError as error:
        said = f"{type(error).__name__}: {error.what}"
    told.write_text(said)


def place_at_once(ready: Barrier, source: Path, library: Path, target: str, sha256: str) -> None:
    """Place a file at the very moment at which the others do."""
    status = source.stat()
    folder, name = os.fsencode(source.parent), os.fsencode(source.name)
    seen = ImportCandidate(
        ScannedFile(folder, name, status.st_size, status.st_mtime_ns), source.name
    )
    mode = Mode.COPY if int(source.stem) % 2 else Mode.LINK
    placer = ImportPlacer(library, mode)
    ready.wait(HUNG_SECONDS)
    placer.place(seen, Path(target), sha256)  # type: ignore[arg-type]  # a Path is a PurePosixPath
    placer.sync()


def ordinary_user(url: str) -> tuple[int, int]:
    """User and group PostgreSQL runs as under root: nobody else without rights may talk to it."""
    status = Path(str(make_url(url).query["host"])).stat()
    return status.st_uid, status.st_gid


def started(target: object, *arguments: object, **named: object) -> ForkServerProcess:
    """The process, running."""
    process = FORKS.Process(target=target, args=arguments, kwargs=named)  # type: ignore[arg-type]  # any callable
    process.start()
    return process


async def ended(process: ForkServerProcess) -> int:
    """Its exit status; negative, the signal that has killed it."""
    await asyncio.to_thread(process.join, HUNG_SECONDS)
    assert process.exitcode is not None, "it does not end"
    return process.exitcode


class ForkedReader:
    """A process that reads files for a sweep, to be used like `subprocess.Popen`: forked as well.

    A sweep that is killed has one of its own, which would start for a third of a second.
    """

    def __init__(self, command: tuple[str, ...], *, stdin: int, **_: object) -> None:
        assert command == limited_process._COMMAND
        self._pid = os.fork()
        if self._pid == 0:
            os.dup2(stdin, 0)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # or it would not see the sweep's end
            limited_process.answer_all(socket.socket(fileno=0))
            os._exit(0)

    def poll(self) -> None:
        """It ends with the sweep, or is killed by it."""

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def wait(self, _timeout_seconds: float) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


async def _sweep(
    output: Path, library: Path, url: str, mode: Mode, *, dry_run: bool = False
) -> str:
    zone = ZoneInfo("Asia/Tokyo")
    order = SweepRequest(output, zone, mode, dry_run=dry_run, settle_seconds=0)
    with patch("subprocess.Popen", ForkedReader):
        async with Database(url) as database:
            report = await sweep_folder(order, database, AssetStore(library))
    return "another sweep is at work" if report.is_another_running else report.summary

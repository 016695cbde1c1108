"""Who lives is known whatever the clock says, and whoever else has the process id."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from anime.settings import load_settings
from anime.settings.process_lock import acquire_lock, is_held
from anime.settings.stack_record import StackRecord, read_record, record_path, write_record
from anime.worker.process_identity import LOCK_KEPT_SECONDS, ProcessIdentity, remove_old_locks
from tests.support.waiting import HUNG_SECONDS

# A worker and a stack, as far as others can see them.
PROGRAM = """
import asyncio, os, sys
from datetime import UTC, datetime
from pathlib import Path
from anime.stack.home import locked_home, prepare_home
from anime.settings.stack_record import StackRecord, write_record
from anime.worker.process_identity import ProcessIdentity

async def main(home):
    prepare_home(home)
    async with locked_home(home):
        write_record(home, StackRecord(
            pid=os.getpid(), started_at=datetime.now(UTC), parts={}, settings={"redis_url": "x"}
        ))
        print(ProcessIdentity.of_this_process(home), flush=True)
        await asyncio.sleep(3600)

asyncio.run(main(Path(sys.argv[1])))
"""


class Neighbour:
    """A process of its own with a stack and a worker at `home`."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(home)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.name = self.process.stdout.readline().strip()

    @property
    def owner(self) -> ProcessIdentity:
        owner = ProcessIdentity.parse(self.name)
        assert owner is not None
        return owner

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(HUNG_SECONDS)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def neighbour(home: Path) -> Iterator[Neighbour]:
    neighbour = Neighbour(home)
    yield neighbour
    neighbour.kill()


@pytest.fixture(params=[-3600, 0, 3600], ids=["stepped back", "as it was", "stepped forward"])
def stepped_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What psutil says after the clock was stepped: it adds the clock to what the kernel counts."""
    create_time = psutil.Process.create_time
    monkeypatch.setattr(
        psutil.Process, "create_time", lambda process: create_time(process) + request.param
    )


@pytest.mark.usefixtures("stepped_clock")
def test_a_worker_that_lives_is_not_gone_and_a_killed_one_is(
    neighbour: Neighbour, home: Path
) -> None:
    assert not neighbour.owner.is_gone(home)
    neighbour.kill()
    assert neighbour.owner.is_gone(home)


@pytest.mark.usefixtures("stepped_clock")
def test_a_stack_that_runs_is_found_and_a_killed_one_is_not(
    neighbour: Neighbour, home: Path
) -> None:
    assert load_settings(home=home).redis_url is not None
    neighbour.kill()
    assert record_path(home).exists()
    assert load_settings(home=home).redis_url is None


def test_a_killed_worker_is_gone_although_another_process_has_its_id(
    neighbour: Neighbour, home: Path
) -> None:
    neighbour.kill()
    again = ProcessIdentity(neighbour.owner.host, os.getpid(), neighbour.owner.lock)
    assert again.is_gone(home)


def test_a_worker_with_another_data_folder_may_be_in_another_container(
    neighbour: Neighbour, tmp_path: Path
) -> None:
    neighbour.kill()  # its id means nothing to us, nor does the name of its host
    assert not neighbour.owner.is_gone(tmp_path / "another home")


def test_what_an_earlier_version_wrote_is_not_called_dead(home: Path) -> None:
    before = ProcessIdentity.parse(f"anime-warm/{os.uname().nodename}/4194304/1700000000000")
    assert before is not None
    assert not before.is_gone(home)


@pytest.mark.parametrize(
    ("pid", "is_found"), [(os.getpid(), True), (4194304, False)], ids=["of_this_process", "of_none"]
)
def test_a_stack_that_an_earlier_version_runs_is_found(
    home: Path, pid: int, *, is_found: bool
) -> None:
    record = StackRecord(
        pid=pid,
        pid_started=1.5,
        started_at="2026-04-12T10:00:00Z",
        parts={},
        settings={},
    )
    write_record(home, record)
    assert (read_record(home) is not None) is is_found


def test_locks_of_dead_workers_are_kept_for_a_while_and_those_of_live_ones_for_good(
    neighbour: Neighbour, home: Path
) -> None:
    [lock] = (home / "run" / "workers").iterdir()
    old = time.time() - LOCK_KEPT_SECONDS - 60
    os.utime(lock, (old, old))
    remove_old_locks(home)
    assert lock.exists()
    neighbour.kill()
    young = lock.with_name("young.lock")
    os.close(acquire_lock(young))
    remove_old_locks(home)
    assert not lock.exists()
    assert is_held(young) is False


@pytest.mark.parametrize("called", ["scandir", "stat"])
def test_locks_on_a_mount_that_is_sick_are_left(
    home: Path, monkeypatch: pytest.MonkeyPatch, called: str
) -> None:
    lock = home / "run" / "workers" / "old.lock"
    os.close(acquire_lock(lock))
    old = time.time() - LOCK_KEPT_SECONDS - 60
    os.utime(lock, (old, old))
    works = getattr(os, called)

    def refuse(path: Any, **options: Any) -> Any:
        if Path(path) in (lock, lock.parent):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return works(path, **options)

    monkeypatch.setattr(os, called, refuse)
    remove_old_locks(home)
    monkeypatch.undo()
    assert lock.exists()
    remove_old_locks(home)
    assert not lock.exists()

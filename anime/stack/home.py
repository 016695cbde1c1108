"""The data folder: private, with one stack at a time."""

import asyncio
import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from anime.errors import ConfigurationError, StackError
from anime.settings.process_lock import acquire_lock, is_held
from anime.settings.stack_record import lock_path

OWN_ENTRIES = frozenset(
    {
        *("instance-id", "library", "logs", "postgres", "prefect", "rehearsal", "run"),
        *("services.env", "services.env.removed", "valkey"),
    }
)
LOCK_TIMEOUT_SECONDS = 20.0
# sun_path is 108 bytes on Linux and 104 on macOS, with the byte that ends it.
MAX_SOCKET_PATH_BYTES = 103


def prepare_home(home: Path) -> None:
    """Make the data folder, readable by its owner alone.

    Raises:
        ConfigurationError: it cannot be made, belongs to another user, or is a shared folder.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = home.stat()
        foreign = {
            entry.name
            for entry in home.iterdir()
            if entry.name not in OWN_ENTRIES and not entry.name.startswith("rehearsal-")
        }
    except OSError as fault:
        raise ConfigurationError(
            f"The data folder {home} cannot be used: {fault.strerror}.",
            "Set ANIME_HOME to a folder you can write to.",
        ) from fault
    if found.st_uid != os.geteuid():
        raise ConfigurationError(
            f"The data folder {home} belongs to another user.", "Set ANIME_HOME to one of yours."
        )
    if stat.S_IMODE(found.st_mode) & 0o077 == 0:
        return
    if foreign:  # perhaps /var or a home: its permissions are not ours to change
        raise ConfigurationError(
            f"The data folder {home} is open to other users and holds other things, too.",
            f"Set ANIME_HOME to a folder of its own, or: chmod 700 {home}",
        )
    home.chmod(0o700)


def private_folder(path: Path) -> Path:
    """That folder of ours, made if missing, readable by its owner alone."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


def persistent_secret(path: Path, make: Callable[[], str] = lambda: secrets.token_hex(8)) -> str:
    """The text in that file, which is made on first use and readable by its owner alone."""
    if not path.exists():
        temporary = path.with_name(f"{path.name}.tmp")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(make())
        temporary.replace(path)
    return path.read_text().strip()


def socket_folder(wanted: Path, socket_name: str) -> Path:
    """The wanted folder, or a new private one where the socket's path would be too long."""
    if len(os.fsencode(wanted / socket_name)) <= MAX_SOCKET_PATH_BYTES:
        return private_folder(wanted)
    # mkdtemp makes it private. Not in $TMPDIR, whose path may be as long.
    return Path(tempfile.mkdtemp(prefix="anime-", dir="/tmp"))


@asynccontextmanager
async def locked_home(home: Path) -> AsyncIterator[int]:
    """The lock that a stack needs to run there; yields a descriptor for the parts to inherit.

    A part holds the lock as long as it runs. So, after `kill -9` of `anime up`, the next start
    waits until the last part of the old stack has ended.

    Raises:
        ConfigurationError: a stack runs there.
        StackError: parts of a killed stack do not end.
    """
    run = private_folder(home / "run")
    descriptor = os.open(run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        await _acquire(descriptor, home)
        stack_lock = acquire_lock(lock_path(home))
        try:
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield descriptor
        finally:
            os.close(stack_lock)
    finally:
        os.close(descriptor)


async def _acquire(descriptor: int, home: Path) -> None:
    try:
        async with asyncio.timeout(LOCK_TIMEOUT_SECONDS):
            while not _try_lock(descriptor):
                _refuse_running_stack(descriptor, home)
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise StackError(
            f"Parts of an earlier stack at {home} still run.",
            f"See which with: fuser -v {home / 'run' / 'lock'}",
        ) from None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_running_stack(descriptor: int, home: Path) -> None:
    owner = os.pread(descriptor, 100, 0).decode().split()
    is_of_earlier_version = len(owner) == 2 and psutil.pid_exists(int(owner[0]))
    if owner and (is_held(lock_path(home)) or is_of_earlier_version):
        raise ConfigurationError(
            f"A stack already runs at {home} (process {owner[0]}).",
            f"Stop it with Ctrl-C or `kill {owner[0]}`, or set ANIME_HOME to another folder.",
        )

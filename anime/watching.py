"""Tells when files have come into a folder: from the system's notices, or by looking again."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path, PurePath

import psutil
from watchfiles import Change, awatch

from anime.core.paths import owner_of

LOOK_SECONDS = 3.0  # between two looks, where the system gives no notice
_QUIET_MS = 500  # a file is written in many pieces: news comes when there is no more of it
_LONGEST_MS = 10_000  # or after that long, if there always is more
_STILL_THERE_MS = 5_000  # how often a quiet folder is looked after
# What another machine writes there, the kernel of this one does not hear of.
_REMOTE = frozenset(
    {
        *("9p", "afs", "ceph", "cifs", "davfs", "drvfs", "glusterfs", "lustre", "nfs", "nfs4"),
        *("rclone", "smb2", "smb3", "smbfs", "sshfs", "vboxsf", "virtiofs", "webdav"),
    }
)
_log = logging.getLogger(__name__)


async def arrivals(folder: Path, *, polls: bool | None = None) -> AsyncGenerator[None, None]:
    """Yields once at the start, and each time that files of others have come or grown.

    Goes on until cancelled. A folder that is missing or goes away is waited for, and its return
    is an arrival. News that comes while the caller is busy is told when it asks again.

    With `polls` it looks again and again; None lets the file system decide.
    """
    must_poll = polls
    while True:
        await _until_there(folder)
        yield
        try:
            async with aclosing(_changes(folder, polls=must_poll)) as changes:
                async for _ in changes:
                    yield
        except FileNotFoundError:
            continue  # it went away in between
        except (OSError, RuntimeError) as fault:  # no notices left, says the system
            if must_poll:
                _log.warning("%s cannot be watched now: %s", folder, fault)
                await asyncio.sleep(LOOK_SECONDS)
            else:
                _log.warning("No notices from %s, it is looked at instead: %s", folder, fault)
            must_poll = True


def is_remote(folder: Path) -> bool:
    """Whether the folder lies on a file system that other machines write to.

    >>> is_remote(Path("/"))
    False
    """
    kinds = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    real = folder.resolve()
    mounted = next((place for place in (real, *real.parents) if place in kinds), None)
    return mounted is not None and kinds[mounted].removeprefix("fuse.") in _REMOTE


def is_of_others(change: Change, path: str) -> bool:
    """Whether something came that no job of ours made: those fetch their files themselves.

    >>> is_of_others(Change.added, "/output/ComfyUI_00001_.png")
    True
    >>> is_of_others(Change.deleted, "/output/ComfyUI_00001_.png")
    False
    """
    is_hidden = PurePath(path).name.startswith(".")
    return change is not Change.deleted and not is_hidden and owner_of(path) is None


async def _until_there(folder: Path) -> None:
    is_told = False
    while not await asyncio.to_thread(folder.is_dir):
        if not is_told:
            _log.warning("%s is not there; it is watched once it is", folder)
            is_told = True
        await asyncio.sleep(LOOK_SECONDS)


async def _changes(folder: Path, *, polls: bool | None) -> AsyncGenerator[None, None]:
    """Yields at each change; ends when the folder is another one than at the start, or gone."""
    at_first = await asyncio.to_thread(_identity, folder)
    watched = awatch(
        folder,
        watch_filter=is_of_others,
        debounce=_LONGEST_MS,
        step=_QUIET_MS,
        rust_timeout=_STILL_THERE_MS,
        yield_on_timeout=True,
        force_polling=await asyncio.to_thread(is_remote, folder) if polls is None else polls,
        poll_delay_ms=int(LOOK_SECONDS * 1000),
        ignore_permission_denied=True,
    )
    async with aclosing(watched) as batches:
        async for batch in batches:
            if await asyncio.to_thread(_identity, folder) != at_first:
                return
            if batch:
                yield


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

"""Tells when files have come into a folder: from the system's notices, or by looking again."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Iterator, Set
from contextlib import aclosing
from pathlib import Path, PurePath

import psutil
from watchfiles import Change, awatch

from anime.core.debris import USUAL_DEBRIS, Debris
from anime.core.paths import owner_of

LOOK_SECONDS = 3.0  # between two looks, where the system gives no notice
_QUIET_MS = 500  # a file is written in many pieces: news comes when there is no more of it
_LONGEST_MS = 10_000  # or after that long, if there always is more
_STILL_THERE_MS = 5_000  # how often a quiet folder is looked after
_JOBS_FOLDER = "jobs"  # of ours, see filename_prefix: their runs fetch what is in it
# What another machine writes there, the kernel of this one does not hear of.
_REMOTE = frozenset(
    {
        *("9p", "afs", "ceph", "cifs", "davfs", "drvfs", "glusterfs", "lustre", "nfs", "nfs4"),
        *("rclone", "smb2", "smb3", "smbfs", "sshfs", "vboxsf", "virtiofs", "webdav"),
    }
)
_Changes = Set[tuple[Change, str]]
_log = logging.getLogger(__name__)


async def watch_folder(
    folder: Path, *, polls: bool | None = None, debris: Debris = USUAL_DEBRIS
) -> AsyncGenerator[None, None]:
    """Yields when the watch begins, and each time that files of others have come or grown.

    Debris is no news.

    Goes on until cancelled. A folder that is missing, goes away or cannot be inspected is waited
    for, and its return is an arrival. News that comes while the caller is busy is told when it
    asks again.
    With `polls` it looks again and again; None lets the file system decide.
    """
    while True:
        await _until_there(folder)
        try:
            async with aclosing(_watch(folder, debris, polls=polls)) as news:
                async for _ in news:
                    yield
        except FileNotFoundError:
            continue  # it went away in between
        except (OSError, RuntimeError) as fault:  # the system has no notices left, perhaps
            _log.warning("%s is looked at again and again from now on: %s", folder, fault)
            polls = True
            await asyncio.sleep(LOOK_SECONDS)


def is_remote(folder: Path) -> bool:
    """Whether the folder lies on a file system that other machines write to.

    >>> is_remote(Path("/"))
    False
    """
    kinds = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    real = folder.resolve()
    mounted = next((place for place in (real, *real.parents) if place in kinds), None)
    return mounted is not None and kinds[mounted].removeprefix("fuse.") in _REMOTE


def is_of_others(change: Change, path: str, debris: Debris = USUAL_DEBRIS) -> bool:
    """Whether something came that no job of ours made: those fetch their files themselves.

    >>> is_of_others(Change.added, "/output/ComfyUI_00001_.png")
    True
    >>> is_of_others(Change.deleted, "/output/ComfyUI_00001_.png")
    False
    """
    name = PurePath(path).name
    is_ours = name == _JOBS_FOLDER or owner_of(path) is not None
    return change is not Change.deleted and not (name.startswith(".") or name in debris or is_ours)


async def _until_there(folder: Path) -> None:
    is_told = False
    while not await asyncio.to_thread(_is_dir, folder):
        if not is_told:
            _log.warning("%s is not there; it is watched once it is", folder)
            is_told = True
        await asyncio.sleep(LOOK_SECONDS)


async def _watch(folder: Path, debris: Debris, *, polls: bool | None) -> AsyncGenerator[None, None]:
    """Yields when the watch stands and at each change; ends when there are other folders."""
    at_first = await asyncio.to_thread(_identity, folder)
    folders = await asyncio.to_thread(lambda: set(_folders(folder, debris)))
    watched = awatch(
        *folders,
        watch_filter=None,
        debounce=_LONGEST_MS,
        step=_QUIET_MS,
        rust_timeout=_STILL_THERE_MS,
        yield_on_timeout=True,
        force_polling=await asyncio.to_thread(is_remote, folder) if polls is None else polls,
        poll_delay_ms=int(LOOK_SECONDS * 1000),
        recursive=False,
        ignore_permission_denied=True,
    )
    async with aclosing(watched) as batches:
        coming = asyncio.ensure_future(anext(batches))
        try:
            await asyncio.sleep(0)  # the watch begins with that step, before the first news
            yield
            while True:
                changes = await coming
                now = await asyncio.to_thread(_identity, folder)
                is_another = await asyncio.to_thread(_is_another, changes, folders, debris)
                if now != at_first or is_another:
                    return
                coming = asyncio.ensure_future(anext(batches))
                if any(is_of_others(*change, debris) for change in changes):
                    yield
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


def _folders(top: Path, debris: Debris) -> Iterator[str]:
    """The folder and those in it, but for what belongs to jobs: there may be millions of those."""
    for root, names, _ in os.walk(top):  # follows no links
        names[:] = [each for each in names if not (each.startswith(".") or each in debris)]
        if root == str(top):
            names[:] = [name for name in names if name != _JOBS_FOLDER]
        yield root


def _is_another(changes: _Changes, folders: Set[str], debris: Debris) -> bool:
    """Whether a folder that was watched has gone, or one has come that is not."""
    gone = {path for change, path in changes if change is Change.deleted}
    new = (path for change, path in changes if change is Change.added)
    return not gone.isdisjoint(folders) or any(
        is_of_others(Change.added, path, debris) and _is_dir(path) for path in new
    )


def _is_dir(path: Path | str) -> bool:
    """Whether there is such a folder: a mount that is gone or sick has none for now."""
    return os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises what a sick mount answers


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

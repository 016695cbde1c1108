"""The new files of a folder: all that are there, without those that are remembered."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from anime.assets.importer.walk import Folder, is_rested, walk
from anime.assets.store import AssetStore
from anime.core.debris import Debris
from anime.core.sweep_plan import ScannedFile, folder_key
from anime.db.repositories.sweeps import SweepRepository
from anime.db.session import Database
from anime.errors import ConfigurationError
from anime.retry_policies import cancel_until_ended

AT_MOST = 100_000  # new files in one sweep; the next one goes on
_FILES, _FOLDERS = 4_000, 1_000  # about which one question to the database is

T = TypeVar("T")


@dataclass
class ScanResult:
    """New files, apart by whether they were just written."""

    wanted: Collection[bytes] = ()  # keys of folders whose paths are to be learned
    paths: dict[bytes, bytes] = field(default_factory=dict)  # of those that were met, by key
    seen: int = 0
    passed_over: int = 0
    rested: list[ScannedFile] = field(default_factory=list)
    young: list[ScannedFile] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many are new."""
        return len(self.rested) + len(self.young)


async def find_new(
    database: Database,
    root: Path,
    library: Path,
    *,
    settle_seconds: float,
    limit: int | None,
    debris: Debris,
    wanted: Collection[bytes] = (),
) -> ScanResult:
    """What is in the folder and not remembered, and where the wanted folders (by key) are.

    Raises:
        ConfigurationError: the folder cannot be read, or is in the library.
        StorageTimedOut: the folder or the library does not answer.
    """
    library = await AssetStore(library).in_thread(library.resolve)
    refuse_library(root, library)
    swept, finding = AssetStore(root, called="swept folder"), ScanResult(wanted)
    is_library = os.fsencode(library).__eq__
    groups = _groups(walk(os.fsencode(root), is_left_out=is_library, debris=debris))
    # While the database is asked about one group, the next is being listed.
    async with aclosing(read_ahead(partial(swept.in_thread, _next, groups, root))) as listed:
        async for group in listed:
            await _add_new(finding, group, database, settle_seconds)
            if finding.count >= (limit or AT_MOST):
                break
    _cut(finding, limit or AT_MOST)
    return finding


async def _add_new(
    finding: ScanResult, group: Sequence[Folder], database: Database, settle_seconds: float
) -> None:
    keyed = [(folder_key(folder.path), folder) for folder in group]
    lines = [(key, *file) for key, folder in keyed for file in folder.files]
    async with database.session_scope() as session:
        unknown = await SweepRepository(session).unknown_among(lines)
    paths = {key: folder.path for key, folder in keyed}
    finding.seen += len(lines)
    finding.passed_over += sum(folder.passed_over for folder in group)
    for folder, name, size_bytes, mtime_ns in (lines[place] for place in unknown):
        sighting = ScannedFile(paths[folder], name, size_bytes, mtime_ns)
        rested = is_rested(sighting, settle_seconds)
        (finding.rested if rested else finding.young).append(sighting)
    finding.paths |= {key: paths[key] for key in paths.keys() & finding.wanted}


async def read_ahead(next_one: Callable[[], Awaitable[T | None]]) -> AsyncGenerator[T, None]:
    """What the calls give until there is no more; while one is worked on, the next is called."""
    coming = asyncio.ensure_future(next_one())
    try:
        while (found := await coming) is not None:
            coming = asyncio.ensure_future(next_one())
            yield found
    finally:
        await cancel_until_ended(coming)


def refuse_library(root: Path, library: Path) -> None:
    """Make sure that the folder is not the library itself, or in it; both are resolved.

    Raises:
        ConfigurationError: it is.
    """
    if root.is_relative_to(library):
        raise ConfigurationError(
            f"{root} is in the library: what is there is organised already.",
            "Sweep ComfyUI's output folder; for rows that are missing, `anime rebuild`.",
        )


def _groups(folders: Iterator[Folder]) -> Iterator[Sequence[Folder]]:
    group: list[Folder] = []
    count = 0
    for folder in folders:
        group.append(folder)
        count += len(folder.files)
        if count >= _FILES or len(group) >= _FOLDERS:
            yield group
            group, count = [], 0
    if group:
        yield group


def _next(groups: Iterator[Sequence[Folder]], root: Path) -> Sequence[Folder] | None:
    try:
        return next(groups, None)
    except OSError as fault:
        raise ConfigurationError(
            f"The folder {root} cannot be swept: {fault.strerror}.",
            "Correct ANIME_COMFYUI_OUTPUT_DIR, or name another folder.",
        ) from fault


def _cut(finding: ScanResult, limit: int) -> None:
    """Leave those that come first, the rested ones before the young."""
    del finding.rested[limit:]
    del finding.young[limit - len(finding.rested) :]

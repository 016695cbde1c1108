"""Sweeps of new files and of known files, and their memory."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from anime.core.sweep_plan import folder_key
from benchmarks.report import Reach, Row
from benchmarks.sweep.bare import BareDatabase, BareRow
from benchmarks.sweep.effort import SweepEffort
from benchmarks.sweep.ours import Swept, sweep_in_process
from benchmarks.sweep.pictures import make_pictures, make_small_pictures

MAX_MB = 300
MAX_GROWTH = 1.25


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder and a database for the sweeps; `url` and `bare` are the same database."""

    folder: Path
    url: str
    bare: BareDatabase

    @property
    def known(self) -> Path:
        """The folder of the many files that stay."""
        return self.folder / "known"


async def measure_new(workspace: Workspace, effort: SweepEffort) -> tuple[list[Row], Swept]:
    """Sweeps of new files, ours and bare in turn; each reads files that the other has read."""
    folder = workspace.folder / "new"
    await asyncio.to_thread(make_pictures, folder, effort.new_files)
    ours = [await _sweep_anew(workspace, folder)]  # not counted: it warms the cache
    rows = await asyncio.to_thread(workspace.bare.rows)
    bare: list[float] = []
    for _ in range(effort.rounds):
        bare.append(await _sweep_bare(workspace, folder, rows))
        ours.append(await _sweep_anew(workspace, folder))
    await asyncio.to_thread(workspace.bare.empty)
    await asyncio.to_thread(shutil.rmtree, folder)
    seconds = [swept.seconds for swept in ours[1:]]
    what = f"{effort.new_files:,} new PNGs of 100 KB, s"
    note = f"medians of {effort.rounds}; bare: read, SHA-256, link and COPY in one thread"
    return [
        Row(what, median(seconds), median(bare), Reach(2, by_ratio=True), note),
        Row(f"{what}, the best of them", min(seconds), min(bare), Reach(2, by_ratio=True)),
    ], ours[-1]


async def measure_known(workspace: Workspace, effort: SweepEffort) -> tuple[list[Row], Swept]:
    """Sweeps of files that an earlier sweep has seen."""
    await asyncio.to_thread(make_small_pictures, workspace.known, effort.kept_files)
    library = workspace.folder / "known-library"
    library.mkdir()
    first = await sweep_in_process(workspace.known, library, workspace.url)
    assert first.counts == {"organised": effort.kept_files}  # noqa: S101
    await asyncio.to_thread(workspace.bare.run, "VACUUM ANALYZE", is_apart=True)
    row, _ = await measure_again(workspace, effort, "")
    return [row, *_first_of(first, effort)], first


async def measure_again(workspace: Workspace, effort: SweepEffort, when: str) -> tuple[Row, float]:
    """A sweep that finds nothing new, beside `find` and one query, and its seconds."""
    keys = [folder_key(os.fsencode(path)) for path in (workspace.known, *workspace.known.iterdir())]
    ours: list[float] = []
    bare: list[float] = []
    for _ in range(effort.rounds):
        bare.append(await asyncio.to_thread(workspace.bare.scan, workspace.known, keys))
        again = await sweep_in_process(
            workspace.known, workspace.folder / "known-library", workspace.url
        )
        assert (again.counts, again.seen) == ({}, effort.kept_files)  # noqa: S101
        ours.append(again.seconds)
    what = f"a sweep over {effort.kept_files:,} known files{when}, s"
    note = "bare: find -printf and one query for all that is remembered of these folders"
    row = Row(what, median(ours), median(bare), Reach(3, by_ratio=True), note)
    return row, median(ours)


def _first_of(first: Swept, effort: SweepEffort) -> list[Row]:
    return [Row(f"{effort.kept_files:,} new small files, s", first.seconds)]


def memory_rows(few: Swept, many: Swept) -> Sequence[Row]:
    """The highest memory of a sweep with all its readers."""
    note = "resident sets at their highest, readers included; other: the same of the fewer files"
    number = sum(many.counts.values())
    return [
        Row(f"memory of a sweep of {number:,} new files, MB", many.peak_mb, reach=Reach(MAX_MB)),
        Row(
            f"the same, beside {sum(few.counts.values()):,}, MB",
            many.peak_mb,
            few.peak_mb,
            Reach(MAX_GROWTH, by_ratio=True),
            note,
        ),
    ]


async def _sweep_anew(workspace: Workspace, folder: Path) -> Swept:
    """A sweep into an empty library and an empty database."""
    library = workspace.folder / "library"
    await asyncio.to_thread(workspace.bare.empty)
    await asyncio.to_thread(shutil.rmtree, library, ignore_errors=True)
    library.mkdir()
    return await sweep_in_process(folder, library, workspace.url)


async def _sweep_bare(workspace: Workspace, folder: Path, rows: Sequence[BareRow]) -> float:
    library = workspace.folder / "bare-library"
    await asyncio.to_thread(workspace.bare.empty)
    await asyncio.to_thread(shutil.rmtree, library, ignore_errors=True)
    return await asyncio.to_thread(workspace.bare.sweep, folder, library, rows)

"""Backups and drills of a library with that many files, each with its row, while others write.

The files are of a few bytes, as contents cost what their disk takes. A swept day of pictures is
there besides, which the drill rebuilds.
"""

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from anime.assets.backup.create import make_backup
from anime.assets.backup.drill import drill
from anime.assets.backup.folder import BackupFolder
from anime.assets.importer.run import SweepRequest, sweep_folder
from anime.assets.store import AssetStore
from anime.core.sweep_plan import Mode
from anime.db.migrate import upgrade
from anime.db.session import Database
from anime.settings import load_settings
from benchmarks.footprint import own_cpu_seconds
from benchmarks.report import Reach, Row
from benchmarks.search import file_of, insert_rows
from benchmarks.studio import scratch_folder
from benchmarks.sweep.pictures import make_pictures
from tests.support.embedded import embedded_postgres

T = TypeVar("T")
DAY_PICTURES = 300
BACKUP_SECONDS, DRILL_SECONDS = 60, 120
_ZONE = "Asia/Tokyo"


async def measure(rows: int) -> list[Row]:
    """A first backup, a second one and a drill; some ten minutes for a million."""
    with scratch_folder() as folder:
        library, backups = folder / "library", BackupFolder(folder / "backups")
        backups.root.mkdir()
        async with embedded_postgres(folder / "home") as urls, Database(urls.database) as database:
            await upgrade(urls.database)
            await insert_rows(urls.database, rows, str(library))
            await asyncio.to_thread(_make_files, library, rows)
            day = await _swept_day(folder, library, database)
            settings = load_settings(
                home=folder / "home", library_dir=library, backup_dir=backups.root, timezone=_ZONE
            )
            first, first_seconds = await _timed(make_backup(settings, database, backups))
            await asyncio.sleep(1)  # names of backups have seconds
            second, second_seconds = await _timed(make_backup(settings, database, backups))
            found, drill_seconds = await _timed(drill(settings, database, backups, day=day))
    assert (first.files_new, second.files_new) == (second.files, 0), second  # noqa: S101
    assert found.is_green, found.problems  # noqa: S101
    note = f"{second.rows:,} rows, {second.files:,} files"
    steps = ", ".join(f"{name} {seconds:g}" for name, seconds in found.seconds.items())
    return [
        *_rows("the first backup", first_seconds, Reach(BACKUP_SECONDS), note),
        *_rows("the next backup", second_seconds, Reach(BACKUP_SECONDS), note),
        *_rows("a drill", drill_seconds, Reach(DRILL_SECONDS), steps),
    ]


async def _timed(work: Awaitable[T]) -> tuple[T, tuple[float, float]]:
    """What it returns, and the seconds it took, by the clock and of processors."""
    began, cpu_began = time.perf_counter(), own_cpu_seconds()
    found = await work
    return found, (time.perf_counter() - began, own_cpu_seconds() - cpu_began)


def _rows(what: str, seconds: tuple[float, float], reach: Reach | None, note: str) -> list[Row]:
    wall, cpu = seconds
    return [
        Row(f"{what}, s", wall, None, reach, note),
        Row(f"{what}, with PostgreSQL, CPU s", cpu),
    ]


def _make_files(library: Path, rows: int) -> None:
    folders: set[Path] = set()
    for number in range(1, rows + 1):
        path, content = file_of(library, number)
        if path.parent not in folders:
            path.parent.mkdir(parents=True)
            folders.add(path.parent)
        path.write_bytes(content)


async def _swept_day(folder: Path, library: Path, database: Database) -> str:
    """The day of pictures that a sweep brings in."""
    output = folder / "output"
    make_pictures(output, DAY_PICTURES, side_px=64)
    order = SweepRequest(output, ZoneInfo(_ZONE), Mode.COPY, settle_seconds=0)
    await sweep_folder(order, database, AssetStore(library))
    return next(path.name for path in (library / "unorganized/images").iterdir())

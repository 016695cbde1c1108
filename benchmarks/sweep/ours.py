"""One sweep of ours, in a process of its own: its time and its memory.

python -m benchmarks.sweep.ours FOLDER LIBRARY DATABASE_URL
"""

import asyncio
import gc
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from anime.assets.importer.run import SweepRequest, sweep_folder
from anime.assets.store import AssetStore
from anime.db.session import Database
from anime.errors import StackError
from anime.settings import PROJECT_DIR
from benchmarks.footprint import family_sum, resident_mb

_POLL_SECONDS = 0.1  # between two measurements of the memory
_MAX_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep's result. Seconds without the start of Python; MB at the highest."""

    seconds: float
    peak_mb: float
    seen: int
    counts: dict[str, int]


async def sweep_in_process(folder: Path, library: Path, url: str) -> Swept:
    """A sweep in a process of its own, and its highest memory with that of its readers.

    Raises:
        StackError: it failed.
    """
    command = (sys.executable, "-m", "benchmarks.sweep.ours", str(folder), str(library), url)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT_DIR
    )
    try:
        async with asyncio.timeout(_MAX_SECONDS):
            ending = asyncio.create_task(process.communicate())
            peak_mb = await _peak_mb(process.pid, ending)
            output, errors = await ending
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise StackError(
            f"The sweep failed: {errors.decode()[-2000:]}", "Correct it and measure again."
        )
    return Swept(**json.loads(output), peak_mb=peak_mb)


async def _peak_mb(pid: int, ending: "asyncio.Task[tuple[bytes, bytes]]") -> float:
    """The most that the process and its readers held together, until it ends."""
    peak_mb = 0.0
    while not ending.done():
        peak_mb = max(peak_mb, family_sum(pid, resident_mb))
        await asyncio.wait([ending], timeout=_POLL_SECONDS)
    return peak_mb


async def _sweep(folder: Path, library: Path, url: str) -> None:
    began = time.perf_counter()
    async with Database(url) as database:
        request = SweepRequest(folder=folder, zone=ZoneInfo("Asia/Tokyo"), settle_seconds=0)
        report = await sweep_folder(request, database, AssetStore(library))
    assert report is not None  # noqa: S101  nobody else sweeps here
    seconds = time.perf_counter() - began
    counts = {outcome.value: count for outcome, count in report.counts.items()}
    sys.stdout.write(json.dumps({"seconds": seconds, "seen": report.seen, "counts": counts}))


if __name__ == "__main__":
    _, swept_folder, library_folder, database_url = sys.argv
    gc.freeze()  # as `anime sweep` does
    asyncio.run(_sweep(Path(swept_folder), Path(library_folder), database_url))

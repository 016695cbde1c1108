"""How many requests for the status of a job the API answers a second."""

import psutil

from benchmarks.effort import Effort
from benchmarks.load import Load, Measured, measure_load, require_only, trivial_server
from benchmarks.report import Reach, Row
from benchmarks.studio import Studio
from benchmarks.timing import percentile

CONNECTIONS = 8
NOTE = "other: the same load on a server that does nothing, the most that the load can reach"


async def measure(studio: Studio, effort: Effort) -> list[Row]:
    """One status after another over a few kept-alive connections."""
    job = await studio.submit(studio.request(0.05))
    await studio.endings.wait_for([job.job_id], 60)
    path = f"/api/anime/generation/{job.job_id}/status"
    url = studio.stack.record.parts["api"].url or ""
    await measure_load(Load(url, path, 1, CONNECTIONS))  # warms up
    async with trivial_server() as trivial_url:
        bare = await measure_load(Load(trivial_url, path, 2, CONNECTIONS))
    api = psutil.Process(studio.stack.record.parts["api"].pid)
    before = _cpu_seconds(api)
    ours = await measure_load(Load(url, path, effort.status_seconds, CONNECTIONS))
    cpu_ms = (_cpu_seconds(api) - before) / len(ours.answers_seconds) * 1000
    require_only("200", ours)
    return _rows(ours, bare, cpu_ms)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _rows(ours: Measured, bare: Measured, cpu_ms: float) -> list[Row]:
    def milliseconds(percent: float) -> tuple[float, float]:
        mine, other = (percentile(each.answers_seconds, percent) for each in (ours, bare))
        return mine * 1000, other * 1000

    reach = Reach(1000, at_least=True)
    what = f"status on {CONNECTIONS} connections"
    return [
        Row(f"{what}, a second", ours.per_second, bare.per_second, reach, NOTE),
        Row(f"{what}, p50, ms", *milliseconds(50)),
        Row(f"{what}, p99, ms", *milliseconds(99)),
        Row("CPU time of the API for one, ms", cpu_ms),
    ]

"""What `/metrics` shows, for Prometheus.

Other processes render: the figures of jobs and files are read from the database when somebody
asks, and kept for some seconds. Histograms count the jobs that were completed while this process
ran, as every process's counters begin at zero.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from anime.assets.backup.drill_results import times_of
from anime.assets.backup.folder import BackupFolder
from anime.comfyui.address import checked_address, without_login
from anime.comfyui.client import ComfyUIClient
from anime.comfyui.models import SystemStats
from anime.core.job_status import JobStatus
from anime.core.servers import ServerRecord
from anime.db.repositories import ServerRepository
from anime.db.repositories.metrics import JobTimes, MetricsRepository
from anime.db.session import Database
from anime.errors import AnimeError
from anime.jobs.low_disk import MB, DiskReader
from anime.net.bounded_threads import BoundedThreads
from anime.net.vault import vault_status

KEPT_SECONDS = 5.0
COMFYUI_SECONDS = 2.0
DISK_SECONDS = 2.0
# A row may be committed after one with a later time: read those again, count none twice.
LOOK_BACK = timedelta(seconds=60)
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


class Metrics:
    """The figures of one process. The WebSocket route sets `websocket_clients`.

    `folders` are those whose disks are watched, by what they are for.
    """

    def __init__(self, folders: Mapping[str, Path] = MappingProxyType({})) -> None:
        self._folders = folders
        self._disks = DiskReader(folders.values())
        self._threads = BoundedThreads("backups", 1)  # their folder may hang
        registry = CollectorRegistry()
        self._registry = registry
        self._fresh_until = 0.0
        self._refreshing = asyncio.Lock()
        self._since: datetime | None = None
        self._counted: set[UUID] = set()

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(name, meaning, labels, registry=registry)

        def seconds(name: str, meaning: str) -> Histogram:
            return Histogram(name, meaning, registry=registry, buckets=_SECONDS)

        self.websocket_clients = gauge("anime_websocket_clients", "Sockets open in this process.")
        self._jobs = gauge("anime_jobs", "Jobs by state and kind of failure.", "status", "kind")
        self._queue = gauge("anime_queue_depth", "Jobs that no run has begun yet.")
        self._files = gauge("anime_files_organised", "Files put into the library.")
        self._database = gauge("anime_database_up", "1 if the figures could be read.")
        self._comfyui = gauge("anime_comfyui_up", "1 if the server answers.", "server")
        self._health = gauge(
            "anime_comfyui_health", "1 for the server's health: alive, zombie …", "server", "health"
        )
        self._free = gauge("anime_disk_free_bytes", "Free where the folder lies.", "folder")
        self._vram = gauge("anime_vram_free_bytes", "Free VRAM.", "server", "device")
        self._vault = gauge("anime_vault_up", "1 if Vault answers this process.", "vault")
        self._vault_until = gauge(
            "anime_vault_until_timestamp_seconds",
            "When the first lease that this process has of Vault ends, unless it is renewed.",
            "vault",
        )
        self._backup = gauge("anime_last_backup_timestamp_seconds", "The last backup; 0: none.")
        self._drill = gauge(
            "anime_last_green_drill_timestamp_seconds",
            "The last drill that found no fault; before the first one, the first backup; 0: none.",
        )
        self._waits = seconds(
            "anime_job_wait_seconds", "From the request to the beginning of its run."
        )
        self._renders = seconds("anime_render_seconds", "At ComfyUI, as ComfyUI reports it.")
        self._overheads = seconds(
            "anime_overhead_seconds", "The run's time beside the render, with its wait for a slot."
        )

    async def collect(
        self, database: Database, servers: Iterable[str], backups: Path | None = None
    ) -> bytes:
        """The figures in Prometheus' text format, at most some seconds old."""
        async with self._refreshing:
            if time.monotonic() >= self._fresh_until:
                self._comfyui.clear()  # of servers that are gone, and what they had
                self._vram.clear()
                await asyncio.gather(
                    self._read_database(database),
                    self._read_disks(),
                    *(self._check_server(url) for url in servers),
                    *([self._read_backups(backups)] if backups else ()),
                )
                self._read_vault()
                self._fresh_until = time.monotonic() + KEPT_SECONDS
        return generate_latest(self._registry)

    def _read_vault(self) -> None:
        status = vault_status()
        if status is None:
            return
        self._vault.labels(status.url).set(status.is_up)
        if status.until is not None:
            self._vault_until.labels(status.url).set(status.until.timestamp())

    async def _read_database(self, database: Database) -> None:
        try:
            async with database.session_scope() as session:
                figures = MetricsRepository(session)
                now = await figures.now()
                self._set_counters(await figures.counters())
                self._set_health(await ServerRepository(session).list_all())
                self._count_times(await figures.completed_since(self._since or now))
                self._since = self._since or now
            self._since = max(self._since, now - LOOK_BACK)
        except AnimeError:
            self._database.set(0)
        else:
            self._database.set(1)

    def _set_counters(self, counters: Mapping[str, int]) -> None:
        self._jobs.clear()
        for status in JobStatus:
            if status is not JobStatus.FAILED:
                self._jobs.labels(status, "").set(0)
        for name, value in counters.items():
            subject, _, rest = name.partition("/")
            if subject == "jobs":
                state, _, kind = rest.partition("/")
                self._jobs.labels(state, kind).set(value)
        self._queue.set(counters.get(f"jobs/{JobStatus.QUEUED}/", 0))
        self._files.set(counters.get("files/organised", 0))

    def _set_health(self, servers: Iterable[ServerRecord]) -> None:
        self._health.clear()
        for server in servers:
            self._health.labels(server.url, server.health).set(1)

    async def _read_disks(self) -> None:
        """Set what is free; what a disk does not say in time is left out, as it hangs."""
        free = await self._disks.free_mb(seconds=DISK_SECONDS)
        self._free.clear()
        for purpose, folder in self._folders.items():
            if (free_mb := free[folder]) is not None:
                self._free.labels(purpose).set(free_mb * MB)

    def _count_times(self, times: Iterable[JobTimes]) -> None:
        latest = {each.job_id: each for each in times}
        for job_id in latest.keys() - self._counted:
            each = latest[job_id]
            self._waits.observe(each.waited)
            if each.rendered is not None and each.overhead is not None:
                self._renders.observe(each.rendered)
                self._overheads.observe(each.overhead)
        self._counted = set(latest)

    async def _read_backups(self, root: Path) -> None:
        """Set their figures, which stay as they were while the folder's mount hangs."""
        look = partial(self._look_at_backups, root)
        with suppress(TimeoutError):
            await self._threads.run(look, timeout_seconds=DISK_SECONDS)

    def _look_at_backups(self, root: Path) -> None:
        """The times of the last backup, and from which a drill's week counts."""
        times = times_of(BackupFolder(root))
        self._backup.set(times.last.timestamp() if times.last else 0)
        self._drill.set(times.drill_due_from.timestamp() if times.drill_due_from else 0)

    async def _check_server(self, url: str) -> None:
        server = without_login(checked_address(url))
        try:
            stats = await _stats(url)
        except (AnimeError, TimeoutError):
            self._comfyui.labels(server).set(0)
            return
        self._comfyui.labels(server).set(1)
        for device in stats.devices:
            self._vram.labels(server, device.name).set(device.vram_free)


async def _stats(url: str) -> SystemStats:
    async with (
        asyncio.timeout(COMFYUI_SECONDS),
        ComfyUIClient(url, timeout_seconds=COMFYUI_SECONDS) as comfyui,
    ):
        return await comfyui.system_stats()

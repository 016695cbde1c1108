"""Reads what the studio does now: rows, what was last said of each job, and free VRAM."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from anime.comfyui.address import address_to_use
from anime.comfyui.client import ComfyUIClient
from anime.core.activity import (
    TOLD_OF_SERVER,
    ActiveJob,
    Activity,
    ServerActivity,
    as_last_said,
    described,
    why_it_waits,
)
from anime.core.job_status import JobStatus
from anime.core.servers import EVERYTHING, PauseRecord, PauseScope, ServerRecord, server_scope
from anime.db.repositories import (
    JobList,
    JobQuery,
    PauseRepository,
    ProjectRepository,
    ServerRepository,
    SlotRepository,
)
from anime.db.repositories.metrics import MetricsRepository
from anime.db.session import Database
from anime.errors import AnimeError
from anime.jobs.lookup import expected
from anime.progress.snapshot_reader import SnapshotReader
from anime.schemas import JobSnapshot
from anime.settings import Settings

MOST_SHOWN = 100  # of each list
MOST_FAILED = 20
_OPEN = (JobStatus.PROCESSING, JobStatus.CANCELLING, JobStatus.QUEUED)
_ANSWER_SECONDS = 2.0
_KEPT_SECONDS = 5.0  # for how long what a server said of its memory counts


class ServerMemory:
    """How much VRAM is free at each server, asked for again when it is a few seconds old."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[float, int | None]] = {}
        self._reading = asyncio.Lock()

    async def free_mb(self, addresses: Sequence[str]) -> dict[str, int | None]:
        """By address what is free on the device that it renders on; None: it does not tell."""
        async with self._reading:
            now = time.monotonic()
            old = [each for each in addresses if now - self._read_at(each) > _KEPT_SECONDS]
            found = await asyncio.gather(*map(_free_mb, old))
            read_at = time.monotonic()
            self._read |= {each: (read_at, free) for each, free in zip(old, found, strict=True)}
            return {each: self._read[each][1] for each in addresses}

    def _read_at(self, address: str) -> float:
        return self._read.get(address, (float("-inf"), None))[0]


class ActivityReader:
    """Reads it for one process."""

    def __init__(self, settings: Settings, database: Database, snapshots: SnapshotReader) -> None:
        self._settings, self._database, self._snapshots = settings, database, snapshots
        self._memory = ServerMemory()
        self._turn = asyncio.Lock()
        self._last: tuple[float, Activity] | None = None

    async def read(self) -> Activity:
        """What the studio does now. All who ask while it is read share the next reading.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        asked_at = time.monotonic()
        async with self._turn:
            if self._last is None or self._last[0] < asked_at:
                self._last = time.monotonic(), await self._read()
            return self._last[1]

    async def _read(self) -> Activity:
        async with self._database.autocommit() as session:
            jobs = JobList(session)
            listed = [await jobs.oldest(status, limit=MOST_SHOWN) for status in _OPEN]
            failed, _ = await jobs.page(JobQuery(status=JobStatus.FAILED), limit=MOST_FAILED)
            counters = await MetricsRepository(session).counters()
            slots = SlotRepository(session)
            seconds_left = await slots.seconds_left(size=self._settings.in_flight)
            servers = await ServerRepository(session).list_all()
            held = {each.url: (await slots.state(each.url)).held for each in servers}
            pauses = await PauseRepository(session).in_force()
            by_project = await _by_project(pauses, session)
        working, stopping, queued = listed
        begun = [expected(job, seconds_left) for job in (*stopping, *working)]
        said, free_mb = await asyncio.gather(
            self._snapshots.published_events([job.id for job in begun]), self._free_mb(servers)
        )
        names = {each.url: each.name for each in servers}
        active = [as_last_said(job, said.get(job.id), names) for job in begun]
        return Activity(
            at=datetime.now(UTC),
            counts=_counts(counters),
            rendering=[job for job in active if job.is_at_work],
            waiting=[job for job in active if not job.is_at_work]
            + _in_line(queued, by_project, names),
            failed=[described(job, job.error or "", names) for job in failed],
            servers=[
                _of_server(each, pauses, held=held[each.url], free_mb=free_mb[each.url])
                for each in servers
            ],
            pauses=pauses,
        )

    async def _free_mb(self, servers: Sequence[ServerRecord]) -> dict[str, int | None]:
        addresses = {
            each.url: address_to_use(each.url, self._settings.comfyui_urls) for each in servers
        }
        free = await self._memory.free_mb(list(addresses.values()))
        return {url: free[address] for url, address in addresses.items()}


async def _free_mb(address: str) -> int | None:
    try:
        async with (
            asyncio.timeout(_ANSWER_SECONDS),
            ComfyUIClient(address, timeout_seconds=_ANSWER_SECONDS) as comfyui,
        ):
            devices = (await comfyui.system_stats()).devices
    except (AnimeError, TimeoutError):
        return None
    return devices[0].vram_free // 2**20 if devices else None


async def _by_project(
    pauses: Sequence[PauseRecord], session: AsyncSession
) -> dict[str | None, PauseRecord]:
    """The pause that jobs of each project fall under, by its name; under None that of all."""
    of_projects: dict[str | None, PauseRecord] = {}
    for pause in pauses:
        scope, _, slug = pause.scope.partition(":")
        if scope == EVERYTHING:
            of_projects[None] = pause
        elif scope == PauseScope.PROJECT:
            of_projects[(await ProjectRepository(session).get(slug)).name] = pause
    return of_projects


def _in_line(
    queued: Sequence[JobSnapshot],
    by_project: Mapping[str | None, PauseRecord],
    names: Mapping[str, str],
) -> list[ActiveJob]:
    """The jobs that no run has begun, each with the reason."""
    return [
        described(
            job,
            why_it_waits(by_project.get(None) or by_project.get(job.project), ahead=ahead),
            names,
        )
        for ahead, job in enumerate(queued)
    ]


def _counts(counters: Mapping[str, int]) -> dict[JobStatus, int]:
    counts = dict.fromkeys(JobStatus, 0)
    for name, value in counters.items():
        subject, _, state = name.partition("/")
        if subject == "jobs":
            counts[JobStatus(state.partition("/")[0])] += value
    return counts


def _of_server(
    server: ServerRecord, pauses: Sequence[PauseRecord], *, held: int, free_mb: int | None
) -> ServerActivity:
    fingerprint = server.fingerprint
    scope = server_scope(server.url)
    return ServerActivity(
        **server.model_dump(include=TOLD_OF_SERVER),
        pause=next((each for each in pauses if each.scope == scope), None),
        device=next(iter(fingerprint.devices), None) if fingerprint else None,
        vram_total_mb=fingerprint.vram_total_mb if fingerprint else None,
        vram_free_mb=free_mb,
        jobs=held,
    )

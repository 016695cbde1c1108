"""A whole sweep: find, read, plan, place, write down; then the sources of a move go.

Every step can be done twice. A batch's files are in their place before their rows are written,
rows and remembrance are one transaction, and a source goes only after that: whenever a sweep
dies, the next one finds what is done and completes the rest.

Three batches are under way at a time: one is read, one planned and placed, and PostgreSQL writes
down a third. One after the other, they would leave two cores idle for a quarter of the time.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anime.assets.importer.apply import AppliedBatch, ImportApplier
from anime.assets.importer.prune import begin_pruning
from anime.assets.importer.report import SweepObserver, SweepReport, Told
from anime.assets.importer.scan import ScanResult, find_new, read_ahead
from anime.assets.importer.walk import look_again, sidecar_in
from anime.assets.inspection.pool import InspectionPool
from anime.assets.store import AssetStore
from anime.core.assets import Asset
from anime.core.debris import Debris
from anime.core.ownership import Known, Sidecar
from anime.core.sweep_plan import (
    Calendar,
    ImportCandidate,
    Leave,
    Looked,
    Mode,
    Planner,
    Reason,
    Remember,
    ScannedFile,
    Step,
    triage,
)
from anime.db.advisory_lock import SWEEP, AdvisoryLock, advisory_lock
from anime.db.repositories.sweeps import SweepRepository
from anime.db.session import Database

if TYPE_CHECKING:
    from anime.settings import Settings

_BATCH = 500  # files


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What to sweep, and how.

    `show`: how many files the report lists; `ignore`: patterns of further names to pass over.
    """

    folder: Path
    zone: tzinfo
    mode: Mode = Mode.LINK
    dry_run: bool = False
    limit: int | None = None
    settle_seconds: float = 5.0
    show: int = 500
    ignore: Sequence[str] = ()

    @classmethod
    def of(
        cls, settings: "Settings", folder: Path, **given: Any
    ) -> "SweepRequest":  # of its fields
        """As the settings have it, where nothing else is given; a mode of None is theirs."""
        usual: dict[str, Any] = {
            "zone": settings.zone,
            "settle_seconds": settings.sweep_settle_seconds,
            "ignore": settings.sweep_ignore,
        }
        mode = given.pop("mode", None) or settings.sweep_mode
        return cls(folder.expanduser().absolute(), mode=mode, **(usual | given))


@dataclass(frozen=True, slots=True)
class Batch:
    """Some files, read, with what is known of their owners."""

    settled: Sequence[Remember | Leave]  # without being read
    looked: Sequence[Looked]
    known: Known

    @property
    def hashes(self) -> set[str]:
        """The SHA-256 of each content among them."""
        return {found.sha256 for _, found in self.looked if isinstance(found, Asset)}

    def __len__(self) -> int:
        return len(self.settled) + len(self.looked)


_UnderWay = deque[tuple[Batch, asyncio.Task[AppliedBatch]]]


async def sweep_folder(
    order: SweepRequest,
    database: Database,
    library: AssetStore,
    *,
    watch: SweepObserver | None = None,
) -> SweepReport:
    """What was found and done; nothing, as it says, when another sweep is at it.

    Raises:
        ConfigurationError: the folder cannot be read.
        StorageTimedOut: the library does not answer as it begins, or the folder while it is listed.
        StorageError: the library cannot take a file. What came before is kept and remembered.
        DatabaseUnavailable: PostgreSQL went away; sweeping again goes on from there.
    """
    swept = AssetStore(order.folder, called="swept folder")
    folder = await swept.in_thread(order.folder.resolve)  # of one folder, one name
    order = replace(order, folder=folder)
    if order.dry_run:
        return await _Sweep(order, database, library, None).run(watch)
    async with advisory_lock(database.address, SWEEP) as turn:
        if turn is None:
            return SweepReport(folder=str(order.folder), dry_run=False, is_another_running=True)
        await library.check()
        await library.tidy()
        return await _Sweep(order, database, library, turn).run(watch)


class _Sweep:
    """One sweep under way. Without a turn it only plans."""

    def __init__(
        self,
        order: SweepRequest,
        database: Database,
        library: AssetStore,
        turn: AdvisoryLock | None,
    ) -> None:
        self._order = order
        self._database = database
        self._root = os.fsencode(order.folder)
        self._turn = turn
        self._library = library.root
        self._calendar = Calendar(order.zone, datetime.now(UTC))
        self._report = SweepReport(folder=str(order.folder), dry_run=order.dry_run)
        self._carrier = ImportApplier(database, library.root, order.mode, self._calendar)

    async def run(self, watch: SweepObserver | None) -> SweepReport:
        pruning = await begin_pruning(self._database, self._root)
        finding = await find_new(
            self._database,
            self._order.folder,
            self._library,
            settle_seconds=self._order.settle_seconds,
            limit=self._order.limit,
            debris=Debris(self._order.ignore),
            wanted=pruning.wanted,
        )
        if self._turn is not None:
            await self._turn.confirm()
            await pruning.prune_gone(finding.paths)
        self._report.seen, self._report.passed_over = finding.seen, finding.passed_over
        done = 0
        async with (
            InspectionPool() as readers,
            aclosing(self._batches(finding, readers)) as batches,
            aclosing(self._finished(batches)) as finished,  # the first to be closed
        ):
            async for batch, carried in finished:
                for told in carried.told:
                    self._report.add(told, most=self._order.show)
                if carried.fault is not None:
                    raise carried.fault
                done += len(batch)
                if watch is not None:
                    await watch(done, finding.count)
        return self._report

    async def _finished(
        self, batches: AsyncIterator[Batch]
    ) -> AsyncGenerator[tuple[Batch, AppliedBatch], None]:
        """The batches in their order, each done; the next one is begun before.

        Unless it has a content of the one before: whose row comes first is the file, and the
        other its duplicate.
        """
        under_way: _UnderWay = deque()
        try:
            async for batch in batches:
                if under_way and batch.hashes & under_way[0][0].hashes:
                    await asyncio.wait([under_way[0][1]])
                under_way.append((batch, asyncio.create_task(self._finish(batch))))
                if len(under_way) > 1:
                    yield await _next_of(under_way)
            while under_way:
                yield await _next_of(under_way)
        finally:  # nothing is placed once our turn is over
            await _to_their_end([finishing for _, finishing in under_way])

    def _batches(self, finding: ScanResult, readers: InspectionPool) -> AsyncGenerator[Batch, None]:
        """The files, read; while one batch is worked on, the next is being read."""
        settled = self._settled(finding)

        async def next_batch() -> Batch | None:
            sightings = await anext(settled, None)
            return None if sightings is None else await self._look(sightings, readers)

        return read_ahead(next_batch)

    async def _settled(self, finding: ScanResult) -> AsyncIterator[Sequence[ScannedFile]]:
        """The files that rest, batch by batch; those just written get a second look at the end."""
        for at in range(0, len(finding.rested), _BATCH):
            yield finding.rested[at : at + _BATCH]
        if not finding.young:
            return
        await asyncio.sleep(self._order.settle_seconds)
        for at in range(0, len(finding.young), _BATCH):
            batch = finding.young[at : at + _BATCH]
            now = await asyncio.to_thread(lambda some: [look_again(each) for each in some], batch)
            rested = [seen for seen, again in zip(batch, now, strict=True) if seen == again]
            for sighting in set(batch) - set(rested):
                growing: Told = Leave(self._seen(sighting), Reason.GROWING), None, None
                self._report.add(growing, most=self._order.show)
            yield rested

    async def _look(self, sightings: Sequence[ScannedFile], readers: InspectionPool) -> Batch:
        """Read those of the files that have to be."""
        files = await asyncio.to_thread(self._all_seen, sightings)
        ids = {job_id for seen in files if (job_id := seen.claims.job()[0]) is not None}
        async with self._database.session_scope() as session:
            sweeps = SweepRepository(session)
            known = Known.of(await sweeps.projects(), await sweeps.jobs(ids))
            recorded = await sweeps.recorded(ids)
        is_move = self._order.mode is Mode.MOVE  # what is to go is compared first
        settled: list[Remember | Leave] = []
        unread: list[ImportCandidate] = []
        for seen in files:
            step = triage(seen, known, recorded)
            if step is None or (is_move and isinstance(step, Remember)):
                unread.append(seen)
            else:
                settled.append(step)
        found = await readers.read([seen.sighting for seen in unread])
        looked = list(zip(unread, found, strict=True))
        return Batch(settled, looked, await self._known_to(looked, known))

    async def _known_to(self, looked: Sequence[Looked], known: Known) -> Known:
        """The same, with the jobs that only the files themselves name."""
        stamps = [found.stamp for _, found in looked if isinstance(found, Asset)]
        ids = {stamp.job_id for stamp in stamps if stamp} - set(known.jobs)
        if not ids:
            return known
        async with self._database.session_scope() as session:
            jobs = await SweepRepository(session).jobs(ids)
        return Known(known.projects, {**known.jobs, **{job.id: job for job in jobs}}, known.slugs)

    async def _finish(self, batch: Batch) -> AppliedBatch:
        """Plan, and unless it is a dry run, do."""
        kept = await self._carrier.kept_among(batch.hashes)
        planner = Planner(batch.known, kept, self._calendar)
        steps: list[Step] = [*batch.settled, *planner.steps(batch.looked)]
        if self._turn is None:
            return AppliedBatch([(step, None, None) for step in steps])
        return await self._carrier.carry_out(steps, batch.known, self._turn)

    def _all_seen(self, sightings: Sequence[ScannedFile]) -> list[ImportCandidate]:
        sidecars = {folder: sidecar_in(folder) for folder in {each.folder for each in sightings}}
        return [self._seen(each, sidecars[each.folder]) for each in sightings]

    def _seen(self, sighting: ScannedFile, sidecar: Sidecar | None = None) -> ImportCandidate:
        path = sighting.path[len(self._root) :].lstrip(b"/").decode("utf-8", "surrogateescape")
        return ImportCandidate(sighting, path, sidecar)


async def _next_of(under_way: _UnderWay) -> tuple[Batch, AppliedBatch]:
    """The first of them, once it is done; cancelled meanwhile, it stays among them."""
    batch, finishing = under_way[0]
    await asyncio.wait([finishing])
    under_way.popleft()
    return batch, finishing.result()


async def _to_their_end(begun: Sequence[asyncio.Task[AppliedBatch]]) -> None:
    """Wait for what was begun. Whoever asks us to stop once more has to wait as well."""
    while under_way := [each for each in begun if not each.done()]:
        with suppress(asyncio.CancelledError):  # what ends us is on its way already
            await asyncio.wait(under_way)
    await asyncio.gather(*begun, return_exceptions=True)  # the first fault was the cause

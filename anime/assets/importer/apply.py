"""Steps are carried out: files to their places, then rows, then the sources of a move."""

import asyncio
import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePath
from uuid import UUID

from anime.assets.importer.place import ImportPlacer, is_same
from anime.assets.importer.report import Told
from anime.assets.importer.walk import inode_of, look_again, name_of
from anime.assets.provenance import write_provenance
from anime.core.assets import AssetRow, KnownAsset, Provenance
from anime.core.foreign_json import with_fields
from anime.core.ownership import Known
from anime.core.paths import owner_of
from anime.core.sweep_plan import (
    Calendar,
    Duplicate,
    Leave,
    Mode,
    Organise,
    Quarantine,
    Reason,
    Remember,
    Step,
    storable,
)
from anime.db.advisory_lock import AdvisoryLock
from anime.db.repositories.inventory import InventoryRepository
from anime.db.repositories.projects import ProjectRepository
from anime.db.repositories.sweeps import SweepRepository, SweptLine
from anime.db.session import Database
from anime.errors import StorageError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AppliedStep:
    """A step that was carried out. `where` is an absolute path in the library."""

    step: Organise | Duplicate | Quarantine | Remember
    where: str


@dataclass(slots=True)
class AppliedBatch:
    """What became of each step, and what stopped it from being all."""

    told: list[Told] = field(default_factory=list)
    fault: StorageError | None = None


class ImportApplier:
    """Carries out the steps of one sweep, batch by batch; of two batches at once, if need be."""

    def __init__(self, database: Database, library: Path, mode: Mode, calendar: Calendar) -> None:
        self._database = database
        self._library = library
        self._mode = mode
        self._calendar = calendar
        self._placer = ImportPlacer(library, mode)
        self._placing = asyncio.Lock()

    async def kept_among(self, hashes: Collection[str]) -> dict[str, KnownAsset]:
        """What the library has of those contents, by SHA-256, if the file is really there."""
        async with self._database.session_scope() as session:
            rows = await SweepRepository(session).kept(hashes)
        return await asyncio.to_thread(_present, rows)

    async def carry_out(
        self, steps: Sequence[Step], known: Known, turn: AdvisoryLock
    ) -> AppliedBatch:
        """Do the steps, as far as the library takes their files; what is in place has its row.

        Raises:
            DatabaseUnavailable: PostgreSQL went away, and our turn perhaps with it.
        """
        async with self._placing:  # or one would take what the other has yet to flush
            await turn.confirm()
            done, batch = await asyncio.to_thread(self._place_all, steps)
        ids = await self._write_down(done, known)
        if self._mode is Mode.MOVE:
            await asyncio.to_thread(_remove_sources, await self._superfluous(done, ids))
        batch.told += [(each.step, each.where, ids.get(each.where)) for each in done]
        return batch

    def _place_all(self, steps: Sequence[Step]) -> tuple[list[AppliedStep], AppliedBatch]:
        """What is in its place, flushed to the disk; and what was left, or why it is not all."""
        done: list[AppliedStep] = []
        batch = AppliedBatch()
        places: dict[str, str] = {}  # by content: several may have wanted one target
        for step in steps:
            try:
                where = self._place(step, places)
            except StorageError as stopped:
                batch.fault = stopped
                break
            if isinstance(step, Leave) or isinstance(where, Reason):
                reason = where if isinstance(where, Reason) else Reason.GONE
                batch.told.append((Leave(step.seen, reason), None, None))
            else:
                done.append(AppliedStep(step, where))
        self._placer.sync()
        return done, batch

    def _place(self, step: Step, places: dict[str, str]) -> str | Reason:
        """Where the step's content is in the library now. `places`: by SHA-256, of this batch."""
        match step:
            case Organise():
                where = self._placer.place(step.seen, step.target, step.content.sha256)
                if not isinstance(where, Reason):
                    places[step.content.sha256] = where
                    self._keep_origin(step, where)
                return where
            case Quarantine():
                return self._placer.quarantine_file(step)
            case Duplicate(file_id=None):
                return places.get(step.content.sha256, Reason.GONE)
            case Leave():
                return step.reason
            case _:
                return step.path

    def _keep_origin(self, step: Organise, where: str) -> None:
        made_at = self._calendar.made_at(step.seen.sighting.mtime_ns)
        origin = provenance_to_keep(step, where, made_at)
        if origin is not None:
            write_provenance(self._library, step.content.sha256, origin)

    async def _write_down(self, done: Sequence[AppliedStep], known: Known) -> dict[str, int]:
        """Ids of the new rows, by path; one transaction with what is remembered of the sources."""
        if not done:
            return {}
        async with self._database.session_scope() as session:
            projects = await self._projects(ProjectRepository(session), done, known)
            lines = [self._line(each, projects) for each in done]
            return await SweepRepository(session).write(lines)

    async def _superfluous(
        self, done: Sequence[AppliedStep], ids: Mapping[str, int]
    ) -> list[AppliedStep]:
        """Those whose source may go: what has its row by now, and is not the file of one itself.

        A row is denied to a file whose name reads as another one's; and whoever sweeps a former
        library sweeps the very files that the rows are of.
        """
        written = [each for each in done if each.where in ids or not _needs_row(each.step)]
        sources = [storable(name_of(each.step.seen.sighting)) for each in written]
        async with self._database.session_scope() as session:
            of_rows = await InventoryRepository(session).recorded(sources)
        pairs = zip(sources, written, strict=True)
        return [each for source, each in pairs if source not in of_rows]

    async def _projects(
        self, repository: ProjectRepository, done: Sequence[AppliedStep], known: Known
    ) -> dict[str, UUID]:
        """Ids of the projects that new files belong to, by slug; made where missing."""
        owners = [each.step.owner for each in done if isinstance(each.step, Organise)]
        names = {owner.slug: owner.project for owner in owners if owner.slug and owner.project}
        return {
            slug: project.id
            if (project := known.slugs.get(slug))
            else (await repository.get_or_create(name)).id
            for slug, name in sorted(names.items())
        }

    def _line(self, done: AppliedStep, projects: Mapping[str, UUID]) -> SweptLine:
        step = done.step
        return SweptLine(
            step.seen.sighting,
            step.outcome,
            source_kept=self._mode is not Mode.MOVE,
            file_id=step.file_id if isinstance(step, Duplicate | Remember) else None,
            where=done.where if isinstance(step, Organise | Duplicate) else None,
            row=self._row(step, done.where, projects) if isinstance(step, Organise) else None,
        )

    def _row(self, step: Organise, where: str, projects: Mapping[str, UUID]) -> AssetRow:
        content, owner = step.content, step.owner
        return AssetRow(
            filename=os.path.basename(where),  # noqa: PTH119  10,000 times
            file_path=where,
            file_size=step.seen.sighting.size_bytes,
            sha256=content.sha256,
            file_type=content.kind.file_type,
            media_type=content.media_type,
            source_path=storable(step.seen.path),
            created_at=self._calendar.made_at(step.seen.sighting.mtime_ns),
            project_id=projects.get(owner.slug) if owner.slug else None,
            job_id=owner.job_id,
            width=content.width,
            height=content.height,
            frames=content.frames,
            metadata=with_fields(content.recipe, step.origin),
        )


def _present(rows: Mapping[str, Sequence[KnownAsset]]) -> dict[str, KnownAsset]:
    """The first of each content's files that is there, and what it is on the disk."""
    present = {}
    for sha256, files in rows.items():
        for file in files:
            try:
                inode = inode_of(os.stat(file.path))  # noqa: PTH116  10,000 times
            except (OSError, ValueError):
                continue
            present[sha256] = replace(file, inode=inode)
            break
    return present


def _remove_sources(done: Sequence[AppliedStep]) -> None:
    """Remove the sources of what is in the library, is written down, and is the same still."""
    for each in done:
        sighting = each.step.seen.sighting
        path = Path(name_of(sighting))
        if look_again(sighting) != sighting:
            continue
        try:
            if is_same(each.where, str(path), _hash_of(each.step)) and not _is_one(each, path):
                path.unlink()
        except OSError as fault:
            _log.warning("Moved, but the source %s stays: %s", storable(str(path)), fault.strerror)


def _is_one(done: AppliedStep, source: Path) -> bool:
    """Whether both are one and the same name, by whatever way it is reached."""
    where = Path(done.where)
    return where.name == source.name and where.parent.samefile(source.parent)


def _needs_row(step: Step) -> bool:
    """Whether it is only written down once a row of its batch is."""
    return isinstance(step, Organise) or (isinstance(step, Duplicate) and step.file_id is None)


def _hash_of(step: Organise | Duplicate | Quarantine | Remember) -> str | None:
    if isinstance(step, Quarantine):
        return step.unusable.sha256
    return step.content.sha256 if step.content else None


def provenance_to_keep(step: Organise, where: str, made_at: datetime) -> Provenance | None:
    """Where the file comes from; None if content, name and folder tell it in the library, too.

    What lay around a file in the swept folder (a sidecar, its recipe in another file, the job's
    folder) does not come along.
    """
    owner, sidecar, content = step.owner, step.seen.sidecar, step.content
    tells_its_job = owner.job_id is None or owner_of(PurePath(where).name) == owner.job_id
    tells_all = sidecar is None and tells_its_job and not content.is_told_beside
    if content.stamp is not None or tells_all:
        return None
    said = sidecar.model_dump(exclude={"job_id", "project_id", "project"}) if sidecar else {}
    if not str(said.get("seed") or "").isdecimal():
        said.pop("seed", None)
    return Provenance(
        **said,
        job_id=owner.job_id,
        project=owner.project,
        project_slug=owner.slug,
        source_path=storable(step.seen.path),
        created_at=made_at,
        metadata={**json.loads(content.recipe), **step.origin},
    )

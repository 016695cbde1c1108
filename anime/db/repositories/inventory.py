"""The record held against the library: which files have rows, which rows have lost their file."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import Select, Text, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.assets import AssetRow, KnownAsset
from anime.core.job_status import JobStatus
from anime.core.paths import FileState, composed, slug_of
from anime.db.models import AnimeFile, ProductionJob, Project, SearchableFile
from anime.db.repositories.bulk import insert_missing, is_among
from anime.db.repositories.files import KNOWN_ASSETS, known_asset, row_of
from anime.db.repositories.projects import ProjectRepository
from anime.db.repositories.retention import PRESENT
from anime.schemas import GenerationType


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that has ended well. `params` is a GenerationRequest, as far as it is known."""

    id: UUID
    type: GenerationType
    workflow: str
    prompt: str
    seed: int
    params: Mapping[str, JsonValue]
    attempt: int
    prompt_id: UUID
    output_path: str
    ended_at: datetime
    character: str | None = None
    characters: Sequence[str] = ()  # where there are several
    shot: str | None = None


@dataclass(frozen=True, slots=True)
class Recovered:
    """A file that has no row, with its project (a name) and job, whether they have rows or not."""

    file: AssetRow
    project: str | None
    job: EndedJob | None


@dataclass(frozen=True, slots=True)
class Added:
    """How many rows were written."""

    files: int = 0
    jobs: int = 0
    projects: int = 0


class InventoryRepository:
    """The record in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def recorded(self, paths: Sequence[str]) -> set[str]:
        """Those of the paths that have a row."""
        asked = cast(literal(list(paths), ARRAY(Text)), ARRAY(Text))
        keys = select(func.hashtextextended(func.unnest(asked), 0))
        rows = await self._session.scalars(
            select(AnimeFile.file_path)
            .join(SearchableFile, SearchableFile.file_id == AnimeFile.id)
            .where(SearchableFile.path_key.in_(keys), is_among(AnimeFile.file_path, paths))
        )
        return {path for path in rows if path is not None}

    async def rows_of_content(self, sha256s: Collection[str]) -> list[KnownAsset]:
        """The rows of files with one of those contents, the oldest first."""
        return await self._rows(KNOWN_ASSETS.where(is_among(AnimeFile.sha256, sha256s)))

    async def rows_after(
        self, file_id: int, *, limit: int, states: Collection[FileState] = tuple(FileState)
    ) -> list[KnownAsset]:
        """The next rows by id, of files that should lie somewhere; of those in a state."""
        return await self._rows(
            KNOWN_ASSETS.where(
                AnimeFile.id > file_id,
                AnimeFile.file_path.is_not(None),
                AnimeFile.state.in_(list(states)),
            ).limit(limit)
        )

    async def missing_of_sizes(self, sizes: Collection[int]) -> list[KnownAsset]:
        """The rows of missing files of one of those sizes (bytes) whose content is known."""
        return await self._rows(
            KNOWN_ASSETS.join(SearchableFile, SearchableFile.file_id == AnimeFile.id).where(
                SearchableFile.state == FileState.MISSING.value,
                AnimeFile.file_size.in_(sizes),
                AnimeFile.sha256.is_not(None),
            )
        )

    async def mark(self, file_ids: Collection[int], state: FileState) -> None:
        """Say of those files what has become of them."""
        if file_ids:
            await self._session.execute(
                update(AnimeFile)
                .where(AnimeFile.id.in_(file_ids))
                .values(state=PRESENT if state is FileState.PRESENT else state.value)
            )

    async def relink(self, file_id: int, path: str, filename: str) -> None:
        """Say of a missing file where it lies now."""
        await self._session.execute(
            update(AnimeFile)
            .where(AnimeFile.id == file_id)
            .values(file_path=path, filename=filename, state=PRESENT)
        )

    async def add(self, recovered: Sequence[Recovered]) -> Added:
        """Write the rows that are missing; what is there already is left as it is.

        A second file of one job and source (a copy) has a row of its own, without the source.
        """
        before = await self._project_ids(recovered, creates=False)
        ids = await self._project_ids(recovered, creates=True)
        jobs = await self._add_jobs(recovered, ids)
        rows = [
            row_of(replace(each.file, project_id=_id_in(ids, each)), datetime.now(UTC))
            for each in recovered
        ]
        written = await self._add_files(rows)
        copies = [row | {"source_path": None} for row in rows if row["file_path"] not in written]
        written |= await self._add_files(copies)
        return Added(len(written), jobs, len(ids) - len(before))

    async def _project_ids(
        self, recovered: Sequence[Recovered], *, creates: bool
    ) -> dict[str, UUID]:
        """Ids by slug. A project that was called by its slug gets the name that is known now."""
        projects = ProjectRepository(self._session)
        names = {slug_of(each.project): each.project for each in recovered if each.project}
        for name in [names[slug] for slug in sorted(names)] if creates else ():  # as batches do
            await projects.get_or_create(name)
        named = {slug: name for slug, name in names.items() if name != slug}
        for slug, name in named.items() if creates else ():
            await self._session.execute(
                update(Project)
                .where(Project.slug == slug, Project.name == slug)
                .values(name=composed(name))
            )
        found = {slug: await projects.keys_of(name) for slug, name in names.items()}
        return {slug: keys[0].id for slug, keys in found.items() if keys}

    async def _add_jobs(self, recovered: Sequence[Recovered], ids: Mapping[str, UUID]) -> int:
        rows = {
            each.job.id: _job_row(each.job, _id_in(ids, each))
            for each in reversed(recovered)  # the first file of a job is what it has put out
            if each.job
        }
        added = await insert_missing(
            self._session, ProductionJob, list(rows.values()), returning="id"
        )
        return len(added)

    async def _add_files(self, rows: Sequence[dict[str, Any]]) -> set[str]:  # as row_of gives them
        """The paths of those that had no row."""
        return set(await insert_missing(self._session, AnimeFile, rows, returning="file_path"))

    async def _rows(self, statement: Select[Any]) -> list[KnownAsset]:  # of KNOWN_ASSETS
        rows = await self._session.execute(statement.order_by(AnimeFile.id))
        return list(map(known_asset, rows))


def _id_in(ids: Mapping[str, UUID], recovered: Recovered) -> UUID | None:
    return ids[slug_of(recovered.project)] if recovered.project else None


def _job_row(job: EndedJob, project_id: UUID | None) -> dict[str, Any]:  # values by column
    return {
        "id": job.id,
        "project_id": project_id,
        "character": composed(job.character) if job.character else None,
        "characters": list(map(composed, job.characters)) or None,
        "shot": composed(job.shot) if job.shot else None,
        "type": job.type,
        "workflow": job.workflow,
        "prompt": job.prompt,
        "params": dict(job.params),
        "seed": job.seed,
        "status": JobStatus.COMPLETED,
        "progress": 100,
        "attempt": job.attempt,
        "prompt_id": job.prompt_id,
        "output_path": job.output_path,
        "created_at": job.ended_at,
        "updated_at": job.ended_at,
        "finished_at": job.ended_at,
    }

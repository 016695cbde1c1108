"""Shots of projects, in the order in which people count them."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from sqlalchemy import ColumnElement, Select, func, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.composition.record import Composition
from anime.core.job_status import JobStatus
from anime.core.paths import slugs_of
from anime.core.shot_list import FIELDS, ShotList
from anime.core.shots import ShotCode, ShotFields, ShotRecord, code_key, natural_key, sort_key
from anime.core.takes import state_of
from anime.db.character_models import Character
from anime.db.models import ProductionJob, Project
from anime.db.repositories.bulk import is_among
from anime.db.repositories.projects import ProjectKey
from anime.db.repositories.takes import TakeRepository
from anime.db.shot_models import Shot
from anime.errors import InvalidRequest, NotFound
from anime.schemas import GenerationRequest, GivenName

_KEYS = ("project_id", "code_key", "sort_key")
_COLUMNS = ", ".join(f'"{name}"' for name in (*_KEYS, *FIELDS))
_CHANGED = ", ".join(f'"{name}" = excluded."{name}"' for name in ("sort_key", *FIELDS))
_WRITE = text(
    f"INSERT INTO anime_api.shots ({_COLUMNS}) SELECT {_COLUMNS}"  # noqa: S608  names of ours
    " FROM json_populate_recordset(CAST(NULL AS anime_api.shots), CAST(:rows AS json))"
    " ON CONFLICT (project_id, code_key)"
    f" DO UPDATE SET {_CHANGED}, updated_at = clock_timestamp()"
)


class ShotQuery(BaseModel):
    """Which shots of a project. What is left out does not matter."""

    model_config = ConfigDict(extra="forbid")

    episode: ShotCode | None = Field(default=None, description="Those of this episode.")
    scene: ShotCode | None = Field(default=None, description="Those of this scene.")
    status: GivenName | None = Field(default=None, description="What the studio says of them.")


class RequestComposer(Protocol):
    """Says what requests are made from now."""

    async def compose_all(
        self, session: AsyncSession, requests: Sequence[GenerationRequest]
    ) -> list[Composition | None]:
        """What is rendered for each; None where it is the request as it is given."""


class ShotRepository:
    """The shots in one transaction.

    Without a composer, the takes of a shot are compared by their requests alone.
    """

    def __init__(self, session: AsyncSession, composer: RequestComposer | None = None) -> None:
        self._session, self._composer = session, composer

    async def columns_of(self, project_id: UUID) -> Mapping[str, str]:
        """How the project's shot lists are read; the row is locked, so that imports take turns."""
        statement = select(Project.shot_columns).where(Project.id == project_id).with_for_update()
        found: Mapping[str, str] = (await self._session.execute(statement)).scalar_one()
        return found

    async def keep_columns(self, project_id: UUID, columns: Mapping[str, str]) -> None:
        """From now on, shot lists of the project are read so."""
        await self._session.execute(
            update(Project).where(Project.id == project_id).values(shot_columns=dict(columns))
        )

    async def merge(self, project_id: UUID, listed: ShotList) -> tuple[list[ShotFields], set[str]]:
        """The shots that the list adds or changes, as they would be; keys of the codes it adds.

        What the list does not speak of stays, and so does how a code is written.
        """
        keys = [code_key(shot.code) for shot in listed.shots]
        rows = await self._session.scalars(
            select(Shot).where(Shot.project_id == project_id, is_among(Shot.code_key, keys))
        )
        known = {row.code_key: _fields(row) for row in rows}
        merged, added = [], set()
        for key, shot, said in zip(keys, listed.shots, listed.said, strict=True):
            before = known.get(key)
            if before is None:
                added.add(key)
                merged.append(shot)
            elif (after := _joined(before, shot, said - {"code"})) != before:
                merged.append(after)
        return merged, added

    async def write(self, project_id: UUID, shots: Iterable[ShotFields]) -> None:
        """Insert the shots, or replace those that have their codes."""
        rows = [
            shot.model_dump(include=set(FIELDS))
            | {
                "project_id": project_id,
                "code_key": code_key(shot.code),
                "sort_key": sort_key(shot),
            }
            for shot in shots
        ]
        if rows:
            rows.sort(key=itemgetter("code_key"))  # whoever locks several does so in this order
            await self._session.execute(_WRITE, {"rows": to_json(rows).decode()})

    async def unknown_characters(self, project_id: UUID, names: Collection[str]) -> set[str]:
        """Those names of characters that neither the project nor the studio has."""
        slugs = {slug: name for name in names for slug in slugs_of(name)}
        of_project = or_(Character.project_id == project_id, Character.project_id.is_(None))
        found = await self._session.scalars(
            select(Character.slug).where(of_project, is_among(Character.slug, list(slugs)))
        )
        return set(names) - {slugs[slug] for slug in found}

    async def get(self, shot_id: UUID) -> ShotRecord:
        """The shot with that id.

        Raises:
            NotFound: there is none.
        """
        row = await self._session.get(Shot, shot_id)
        if row is None:
            raise NotFound(f"There is no shot {shot_id}.", "`anime shots list` has the shots.")
        return (await self._records([row]))[0]

    async def of_jobs(self, job_ids: Collection[UUID]) -> dict[ProjectKey, dict[str, UUID]]:
        """By project: the codes of the shots that jobs among these are for, each with such a job.

        Jobs without a project or shot are left out.
        """
        found = await self._session.execute(
            select(Project.id, Project.slug, ProductionJob.shot, ProductionJob.id)
            .join(Project, Project.id == ProductionJob.project_id)
            .where(is_among(ProductionJob.id, list(job_ids)), ProductionJob.shot.is_not(None))
        )
        jobs: defaultdict[ProjectKey, dict[str, UUID]] = defaultdict(dict)
        for project_id, slug, shot, job_id in found:
            jobs[ProjectKey(project_id, slug)][str(shot)] = job_id
        return dict(jobs)

    async def page(
        self,
        project_id: UUID,
        query: ShotQuery,
        *,
        codes: Collection[str] = (),
        limit: int | None,
        after: str | None = None,
    ) -> tuple[list[ShotRecord], str | None]:
        """At most `limit` shots that fit, in order, and the code of the last if there are more.

        Args:
            project_id: Whose shots.
            query: Which of them.
            codes: Only these, if any are given.
            limit: None for all.
            after: The code that the page before ended with.

        Raises:
            InvalidRequest: the project has no shot `after`.
        """
        statement = await self._page_of(
            select(Shot), project_id, query, codes=codes, limit=limit, after=after
        )
        rows = (await self._session.scalars(statement)).all()
        found = await self._records(rows[:limit])
        return found, found[-1].code if limit is not None and len(rows) > limit else None

    async def codes_of_page(
        self, project_id: UUID, query: ShotQuery, *, limit: int, after: str | None = None
    ) -> tuple[dict[UUID, str], str | None]:
        """The codes of the shots that `page` has, by id, and the same cursor."""
        statement = await self._page_of(
            select(Shot.id, Shot.code), project_id, query, limit=limit, after=after
        )
        rows = (await self._session.execute(statement)).all()
        found = {row.id: row.code for row in rows[:limit]}
        return found, rows[limit - 1].code if len(rows) > limit else None

    async def _page_of(
        self,
        columns: Select[*tuple[Any, ...]],
        project_id: UUID,
        query: ShotQuery,
        *,
        codes: Collection[str] = (),
        limit: int | None,
        after: str | None,
    ) -> Select[*tuple[Any, ...]]:
        """The statement of a page: one row more than `limit`, if there are more."""
        wanted = [Shot.project_id == project_id, *_conditions(query)]
        if codes:
            wanted.append(is_among(Shot.code_key, [code_key(code) for code in codes]))
        if after is not None:
            wanted.append(await self._behind(project_id, after))
        statement = columns.where(*wanted).order_by(Shot.sort_key, Shot.code_key)
        return statement if limit is None else statement.limit(limit + 1)

    async def _behind(self, project_id: UUID, code: str) -> ColumnElement[bool]:
        place = await self._session.execute(
            select(Shot.sort_key, Shot.code_key).where(
                Shot.project_id == project_id, Shot.code_key == code_key(code)
            )
        )
        if (last := place.one_or_none()) is None:
            raise InvalidRequest(
                f"cursor: the project has no shot {code[:64]!r}.",
                "Take next_cursor of the page before, or leave it out to begin anew.",
            )
        return tuple_(Shot.sort_key, Shot.code_key) > tuple_(*last)

    async def _records(self, rows: Collection[Shot]) -> list[ShotRecord]:
        """The shots of one project, with how far each is."""
        if not rows:
            return []
        takes, ids = TakeRepository(self._session), [row.id for row in rows]
        picked, rejected = await takes.picked(ids), await takes.rejected_jobs(ids)
        retakes = await takes.retakes(ids)
        counts = await self._job_counts(rows)
        compositions = await self._compositions(rows, picked)
        return [
            _record(
                row,
                counts[row.code],
                picked.get(row.id),
                compositions.get(row.id),
                rejected=len(rejected.get(row.id, ())),
                retakes=len(retakes.get(row.id, ())),
            )
            for row in rows
        ]

    async def _compositions(
        self,
        rows: Collection[Shot],
        picked: Mapping[UUID, tuple[GenerationRequest, str | None]],
    ) -> dict[UUID, Composition]:
        """What takes of those shots that have a picked one would be made from now."""
        if self._composer is None:
            return {}
        requests = {
            row.id: request
            for row in rows
            if row.id in picked
            and (request := _fields(row).request(picked[row.id][0].project or "")) is not None
        }
        made = await self._composer.compose_all(self._session, list(requests.values()))
        found = zip(requests, made, strict=True)
        return {shot_id: each for shot_id, each in found if each is not None}

    async def _job_counts(self, rows: Collection[Shot]) -> Mapping[str, Counter[JobStatus]]:
        counts: defaultdict[str, Counter[JobStatus]] = defaultdict(Counter)
        found = await self._session.execute(
            select(ProductionJob.shot, ProductionJob.status, func.count())
            .where(
                ProductionJob.project_id == next(iter(rows)).project_id,
                is_among(ProductionJob.shot, [row.code for row in rows]),
            )
            .group_by(ProductionJob.shot, ProductionJob.status)
        )
        for shot, status, count in found:
            counts[shot or ""][status] = count
        return counts


def _conditions(query: ShotQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.episode is not None:
        wanted.append(
            Shot.sort_key.startswith(f"{natural_key(query.episode)}\x01", autoescape=True)
        )
    if query.scene is not None:
        wanted.append(func.lower(Shot.scene) == func.lower(query.scene))
    if query.status is not None:
        wanted.append(func.lower(Shot.status) == func.lower(query.status))
    return wanted


def _joined(before: ShotFields, listed: ShotFields, said: Collection[str]) -> ShotFields:
    changes: dict[str, Any] = {name: getattr(listed, name) for name in said}
    if changes.get("frames") is not None:
        changes.setdefault("seconds", None)
    if changes.get("seconds") is not None:
        changes.setdefault("frames", None)
    return before.model_copy(update=changes)


def _fields(row: Shot) -> ShotFields:
    return ShotFields.model_construct(**{name: getattr(row, name) for name in FIELDS})


def _record(
    row: Shot,
    counts: Mapping[JobStatus, int],
    picked: tuple[GenerationRequest, str | None] | None,
    composition: Composition | None,
    *,
    rejected: int,
    retakes: int,
) -> ShotRecord:
    asked, digest = picked or (None, None)
    shot = _fields(row)
    takes = counts.get(JobStatus.COMPLETED, 0)
    under_way = sum(count for status, count in counts.items() if not status.is_final)
    return ShotRecord.model_construct(
        **{name: getattr(row, name) for name in FIELDS},
        id=row.id,
        project_id=row.project_id,
        state=state_of(
            shot,
            asked,
            usable=takes - rejected,
            under_way=under_way,
            digest=digest,
            composition=composition,
        ),
        takes=takes,
        rejected=rejected,
        retakes=retakes,
        under_way=under_way,
        failed=counts.get(JobStatus.FAILED, 0),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )

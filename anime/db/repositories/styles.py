"""Styles of projects in versions, and all that requests are composed from."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, Text, Uuid, and_, any_, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from anime.core.catalogue import CatalogueLora
from anime.core.composition.sources import (
    NO_SOURCES,
    DrawnCharacter,
    SourceProject,
    Sources,
    names_in,
)
from anime.core.paths import composed, slugs_of
from anime.core.references import Reference, ReferenceRole
from anime.core.shots import ShotFields, code_key
from anime.core.styles import NewStyle, ProjectStyle, StyleVersion
from anime.db.character_models import Character, ReferenceRow, StyleRow
from anime.db.character_models import CharacterVersion as VersionRow
from anime.db.models import Project
from anime.db.repositories.bulk import is_among
from anime.db.repositories.cursor import PageCut, cut_at, page_of
from anime.db.shot_models import Shot
from anime.schemas import GenerationRequest

_SLUGS = bindparam("slugs", type_=ARRAY(Text))
_NAMES = bindparam("names", type_=ARRAY(Text))
_VERSION = ("version", "fields", "notes", "created_at", "created_by")
_OF_SHOTS = ("code", "prompt", "negative_prompt", "workflow", "model", "width", "height", "seed")
_DRAWN = ("number", "is_canonical", "prompt", "negative_prompt", "loras", "seed")
_OTHER_STYLE = aliased(StyleRow)
_OTHER_VERSION = aliased(VersionRow)


def _newest_style() -> ScalarSelect[int]:
    versions = select(func.max(_OTHER_STYLE.version))
    return versions.where(_OTHER_STYLE.project_id == Project.id).scalar_subquery()


def _counting_version() -> ScalarSelect[UUID]:
    """The canonical version of a character, or the newest one if none is."""
    return (
        select(_OTHER_VERSION.id)
        .where(_OTHER_VERSION.character_id == Character.id)
        .order_by(_OTHER_VERSION.is_canonical.desc(), _OTHER_VERSION.number.desc())
        .limit(1)
        .scalar_subquery()
    )


def _references() -> ScalarSelect[Any]:
    """Role, path and hash of each picture of a version, in order."""
    each = func.jsonb_build_array(ReferenceRow.role, ReferenceRow.path, ReferenceRow.sha256)
    return (
        select(func.jsonb_agg(aggregate_order_by(each, ReferenceRow.position)))
        .where(ReferenceRow.version_id == VersionRow.id)
        .scalar_subquery()
    )


# Put together once: each request that names a project waits for the first.
_STYLED_PROJECTS = (
    select(Project.id, Project.slug, Project.name, *(getattr(StyleRow, each) for each in _VERSION))
    .outerjoin(
        StyleRow, and_(StyleRow.project_id == Project.id, StyleRow.version == _newest_style())
    )
    .where(
        or_(
            Project.slug == any_(_SLUGS),
            func.lower(Project.name).in_(select(func.lower(func.unnest(_NAMES)))),
        )
    )
)
_DRAWN_CHARACTERS = (
    select(
        Character.project_id,
        Character.slug,
        Character.name,
        *(getattr(VersionRow, each) for each in _DRAWN),
        _references().label("references"),
    )
    .join(VersionRow, VersionRow.id == _counting_version())
    .where(Character.slug == any_(_SLUGS))
    .where(
        or_(
            Character.project_id.is_(None),
            Character.project_id == any_(bindparam("project_ids", type_=ARRAY(Uuid))),
        )
    )
)


class StyleRepository:
    """The styles in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock(self, project_id: UUID) -> None:
        """Keep others from adding a version until this transaction ends."""
        await self._session.execute(
            select(Project.id).where(Project.id == project_id).with_for_update()
        )

    async def add(self, project_id: UUID, new: NewStyle) -> StyleVersion:
        """The version that counts from now on: a new one, or the newest if that says the same."""
        await self.lock(project_id)
        last = await self.newest(project_id)
        if last is not None and last.style == new.style:
            return last
        row = await self._session.scalar(
            insert(StyleRow)
            .values(
                project_id=project_id,
                version=last.version + 1 if last else 1,
                fields=new.style.model_dump(mode="json", exclude_defaults=True),
                notes=new.notes,
                created_by=new.by,
            )
            .returning(StyleRow)
        )
        assert row is not None  # noqa: S101  what is inserted is returned
        return _version(row)

    async def newest(self, project_id: UUID) -> StyleVersion | None:
        """The version that counts."""
        found, _ = await self.page(project_id, limit=1)
        return found[0] if found else None

    async def page(
        self, project_id: UUID, *, limit: int, cursor: str | None = None
    ) -> tuple[list[StyleVersion], str | None]:
        """At most `limit` versions, newest first, and the cursor of the next page.

        Raises:
            InvalidRequest: the cursor is not one of this list.
        """
        statement = select(StyleRow).where(StyleRow.project_id == project_id)
        if cursor is not None:
            statement = statement.where(StyleRow.version < cut_at(cursor, int)[1])
        rows = await self._session.scalars(
            statement.order_by(StyleRow.version.desc()).limit(limit + 1)
        )
        return page_of(
            [_version(row) for row in rows], limit, lambda v: PageCut(v.created_at, v.version)
        )


class SourceRepository:
    """What requests are composed from, in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def of(
        self, requests: Collection[GenerationRequest], *, with_shots: bool = False
    ) -> Sources:
        """The styles and characters that the requests may name: a few queries, however many.

        `with_shots`: the shots, too, so that fragments say what is from them.
        """
        projects, names = set[str](), set[str]()
        for request in requests:
            if request.project is not None:
                projects.add(request.project)
            names.update(names_in(request))
        styled = await self._projects(projects)
        drawn = await self._characters(
            {slug for name in names for slug in slugs_of(name)}, [id_ for id_, _ in styled]
        )
        named = {slug for name in projects for slug in slugs_of(name)}
        if not drawn and all(each.style is None and each.slug in named for _, each in styled):
            return NO_SOURCES
        codes = {code_key(request.shot) for request in requests if request.shot is not None}
        shots = await self._shots(codes, [id_ for id_, _ in styled]) if with_shots else {}
        return Sources(
            projects={
                project.slug: replace(
                    project, characters=drawn.get(id_, {}), shots=shots.get(id_, {})
                )
                for id_, project in styled
            },
            characters=drawn.get(None, {}),
        )

    async def _projects(self, names: Collection[str]) -> list[tuple[UUID, SourceProject]]:
        """The projects of those slugs or names, each with its id; their characters are to come."""
        if not names:
            return []
        asked = {
            "slugs": [slug for name in names for slug in slugs_of(name)],
            "names": list(map(composed, names)),
        }
        rows = await self._session.execute(_STYLED_PROJECTS, asked)
        return [
            (
                row.id,
                SourceProject(row.name, row.slug, None if row.version is None else _version(row)),
            )
            for row in rows
        ]

    async def _shots(
        self, codes: Collection[str], project_ids: Collection[UUID]
    ) -> dict[UUID, dict[str, ShotFields]]:
        """What the shots with these codes say, by project and `code_key`."""
        if not codes or not project_ids:
            return {}
        rows = await self._session.execute(
            select(
                Shot.project_id, Shot.code_key, *(getattr(Shot, each) for each in _OF_SHOTS)
            ).where(is_among(Shot.project_id, project_ids), is_among(Shot.code_key, codes))
        )
        shots: dict[UUID, dict[str, ShotFields]] = {}
        for project_id, key, *values in rows:
            fields = dict(zip(_OF_SHOTS, values, strict=True))
            shots.setdefault(project_id, {})[key] = ShotFields.model_construct(**fields)
        return shots

    async def _characters(
        self, slugs: Collection[str], project_ids: Collection[UUID]
    ) -> dict[UUID | None, dict[str, DrawnCharacter]]:
        """The characters that have a version, by project and slug."""
        if not slugs:
            return {}
        asked = {"slugs": list(slugs), "project_ids": list(project_ids)}
        drawn: dict[UUID | None, dict[str, DrawnCharacter]] = {}
        for row in await self._session.execute(_DRAWN_CHARACTERS, asked):
            drawn.setdefault(row.project_id, {})[row.slug] = _drawn(row)
        return drawn


def _version(row: Any) -> StyleVersion:  # a StyleRow, or a row with its columns
    return StyleVersion(
        version=row.version,
        style=ProjectStyle.model_validate(row.fields),
        notes=row.notes,
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _drawn(row: Any) -> DrawnCharacter:  # a row of _DRAWN_CHARACTERS
    return DrawnCharacter(
        name=row.name,
        slug=row.slug,
        version=row.number,
        is_draft=not row.is_canonical,
        prompt=row.prompt,
        negative_prompt=row.negative_prompt or "",
        loras=tuple(CatalogueLora.model_validate(lora) for lora in row.loras),
        seed=row.seed,
        references=tuple(
            Reference(ReferenceRole(role), path, sha256)
            for role, path, sha256 in row.references or ()
        ),
    )

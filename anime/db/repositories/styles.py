"""Styles of projects in versions, and all that requests are composed from."""

from collections.abc import Collection, Iterable
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
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
from anime.core.paths import slugs_of
from anime.core.references import Reference
from anime.core.styles import NewStyle, ProjectStyle, StyleVersion
from anime.db.character_models import Character, ReferenceRow, StyleRow
from anime.db.character_models import CharacterVersion as VersionRow
from anime.db.models import Project
from anime.db.repositories.bulk import is_among
from anime.db.repositories.cursor import PageCut, cut_at, page_of
from anime.schemas import GenerationRequest


class StyleRepository:
    """The styles in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, project_id: UUID, new: NewStyle) -> StyleVersion:
        """The version that counts from now on: a new one, or the newest if that says the same."""
        await self._session.execute(  # nobody else adds one until this transaction ends
            select(Project.id).where(Project.id == project_id).with_for_update()
        )
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

    async def of(self, requests: Iterable[GenerationRequest]) -> Sources:
        """The styles and characters that the requests may name: a few queries, however many."""
        projects, names = set[str](), set[str]()
        for request in requests:
            if request.project is not None:
                projects.add(request.project)
            names.update(names_in(request))
        styles = await self._projects({slug for name in projects for slug in slugs_of(name)})
        drawn = await self._characters(
            {slug for name in names for slug in slugs_of(name)}, [row.id for row in styles]
        )
        if not drawn and all(row.style is None for row in styles):
            return NO_SOURCES
        return Sources(
            projects={
                row.slug: SourceProject(row.name, row.slug, row.style, drawn.get(row.id, {}))
                for row in styles
            },
            characters=drawn.get(None, {}),
        )

    async def _projects(self, slugs: Collection[str]) -> list["_StyledProject"]:
        if not slugs:
            return []
        newest = (
            select(StyleRow.project_id, func.max(StyleRow.version).label("version"))
            .group_by(StyleRow.project_id)
            .subquery()
        )
        rows = await self._session.execute(
            select(Project.id, Project.slug, Project.name, StyleRow)
            .outerjoin(newest, newest.c.project_id == Project.id)
            .outerjoin(
                StyleRow,
                (StyleRow.project_id == Project.id) & (StyleRow.version == newest.c.version),
            )
            .where(is_among(Project.slug, slugs))
        )
        return [_StyledProject(*row) for row in rows]

    async def _characters(
        self, slugs: Collection[str], project_ids: Collection[UUID]
    ) -> dict[UUID | None, dict[str, DrawnCharacter]]:
        """The characters that have a version, by project and slug: their canonical version, or
        the newest one if none is.
        """
        if not slugs:
            return {}
        other = aliased(VersionRow)
        counting = (
            select(other.id)
            .where(other.character_id == Character.id)
            .order_by(other.is_canonical.desc(), other.number.desc())
            .limit(1)
            .scalar_subquery()
        )
        rows = await self._session.execute(
            select(Character, VersionRow)
            .join(VersionRow, VersionRow.id == counting)
            .where(is_among(Character.slug, slugs))
            .where(or_(Character.project_id.is_(None), is_among(Character.project_id, project_ids)))
        )
        found = rows.all()
        references = await self._references([version.id for _, version in found])
        drawn: dict[UUID | None, dict[str, DrawnCharacter]] = {}
        for character, version in found:
            pictures = tuple(references.get(version.id, ()))
            each = _drawn(character, version, pictures)
            drawn.setdefault(character.project_id, {})[character.slug] = each
        return drawn

    async def _references(self, version_ids: Collection[UUID]) -> dict[UUID, list[Reference]]:
        if not version_ids:
            return {}
        rows = await self._session.scalars(
            select(ReferenceRow)
            .where(is_among(ReferenceRow.version_id, version_ids))
            .order_by(ReferenceRow.version_id, ReferenceRow.position)
        )
        found: dict[UUID, list[Reference]] = {}
        for row in rows:
            each = Reference(role=row.role, path=row.path, sha256=row.sha256)
            found.setdefault(row.version_id, []).append(each)
        return found


class _StyledProject:
    """A project's row with the newest version of its style."""

    def __init__(self, id_: UUID, slug: str, name: str, style: StyleRow | None) -> None:
        self.id, self.slug, self.name = id_, slug, name
        self.style = None if style is None else _version(style)


def _version(row: StyleRow) -> StyleVersion:
    return StyleVersion(
        version=row.version,
        style=ProjectStyle.model_validate(row.fields),
        notes=row.notes,
        created_at=row.created_at,
        created_by=row.created_by,
    )


def _drawn(
    character: Character, version: VersionRow, references: tuple[Reference, ...]
) -> DrawnCharacter:
    return DrawnCharacter(
        name=character.name,
        slug=character.slug,
        version=version.number,
        is_draft=not version.is_canonical,
        prompt=version.prompt,
        negative_prompt=version.negative_prompt or "",
        loras=tuple(CatalogueLora.model_validate(lora) for lora in version.loras),
        seed=version.seed,
        references=references,
    )

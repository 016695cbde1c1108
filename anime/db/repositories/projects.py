"""Projects: found by the slug of their name."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.paths import slug_of
from anime.db.models import Project


class ProjectKey(NamedTuple):
    """What a project is known by: to other tables, and on disk."""

    id: UUID
    slug: str


class ProjectRepository:
    """The projects in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get_or_create(self, name: str) -> ProjectKey:
        """The project of that name, made if missing. Names with one slug are one project."""
        slug = slug_of(name)
        found = await self._find(slug)
        if found is None:
            await self._session.execute(
                insert(Project)
                .values(slug=slug, name=name)
                .on_conflict_do_nothing(index_elements=[Project.slug])
            )
            found = await self._find(slug)
        assert found is not None  # noqa: S101  we, or whoever we waited for, have inserted it
        return ProjectKey(found, slug)

    async def name_of(self, project_id: UUID) -> str | None:
        """The name of that project; None when there is none."""
        return await self._session.scalar(select(Project.name).where(Project.id == project_id))

    async def _find(self, slug: str) -> UUID | None:
        return await self._session.scalar(select(Project.id).where(Project.slug == slug))

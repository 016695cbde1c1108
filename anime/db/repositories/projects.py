"""Projects: found by their slug, or by the name that they have now."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.catalogue import NewProject, ProjectChange, ProjectRecord
from anime.core.paths import composed, slug_of, slugs_of
from anime.db.models import Project
from anime.db.repositories.cursor import PageCut, cut_at, page_of
from anime.db.repositories.leases import NOW
from anime.errors import AlreadyExists, NotFound

_SHOWN_CHARS = 64


class ProjectKey(NamedTuple):
    """What a project is known by: to other tables, and on disk."""

    id: UUID
    slug: str


class _Slugged(Protocol):
    @property
    def slug(self) -> Any: ...  # a column of a row is no plain string


class ProjectRepository:
    """The projects in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get_or_create(self, name: str) -> ProjectKey:
        """The project of that name, made if missing. Names with one slug are one project."""
        found = await self.keys_of(name)
        if not found:
            await self._session.execute(
                insert(Project)
                .values(slug=slug_of(name), name=composed(name))
                .on_conflict_do_nothing(index_elements=[Project.slug])
            )
            found = await self.keys_of(name)
        return found[0]  # we, or whoever we waited for, have inserted it

    async def keys_of(self, name: str) -> list[ProjectKey]:
        """The project of that slug or name, if there is one.

        It may be two, where both Unicode forms of the name were used before they were one, the
        one in the form NFC first; or where one was renamed to what is another's slug, which counts.
        """
        rows = await self._session.execute(select(Project.id, Project.slug).where(_is_called(name)))
        return sorted((ProjectKey(*row) for row in rows), key=_fitness(name))

    async def name_of(self, project_id: UUID) -> str | None:
        """The name of that project; None when there is none."""
        return await self._session.scalar(select(Project.name).where(Project.id == project_id))

    async def get(self, named: str) -> ProjectRecord:
        """The project with that id, slug or name; of two that fit, the one with the id.

        Raises:
            NotFound: there is none.
        """
        wanted = _is_called(named)
        if (project_id := _as_id(named)) is not None:
            wanted = or_(wanted, Project.id == project_id)
        rows = (await self._session.scalars(select(Project).where(wanted))).all()
        if not rows:
            raise NotFound(
                f"There is no project {named[:_SHOWN_CHARS]!r}.",
                "`anime projects list` has them; a generation makes the one it names.",
            )
        by_id = [row for row in rows if row.id == project_id]
        return _record([*by_id, *sorted(rows, key=_fitness(named))][0])

    async def create(self, new: NewProject) -> ProjectRecord:
        """The new project.

        Raises:
            AlreadyExists: another one has its slug or its name.
        """
        slug = new.slug or slug_of(new.name)
        await self._refuse_taken(new.name)
        row = await self._session.scalar(
            insert(Project)
            .values(slug=slug, name=new.name, description=new.description, details=new.metadata)
            .on_conflict_do_nothing(index_elements=[Project.slug])
            .returning(Project)
        )
        if row is None:
            raise _taken(slug)
        return _record(row)

    async def change(self, named: str, change: ProjectChange) -> ProjectRecord:
        """The project as it is after the change.

        Raises:
            NotFound: there is none.
            AlreadyExists: another one has that name, or a slug like it.
        """
        project = await self.get(named)
        if change.name is not None:
            await self._refuse_taken(change.name, by_others_than=project.id)
        values = change.model_dump(exclude_none=True)
        if "metadata" in values:
            values["details"] = values.pop("metadata")
        row = await self._session.scalar(
            update(Project)
            .where(Project.id == project.id)
            .values(updated_at=NOW, **values)
            .returning(Project),
            execution_options={"populate_existing": True},
        )
        return _record(row) if row is not None else project

    async def _refuse_taken(self, name: str, *, by_others_than: UUID | None = None) -> None:
        """Raises AlreadyExists if another project is found under that name."""
        for key in await self.keys_of(name):
            if key.id != by_others_than:
                raise _taken(key.slug)

    async def page(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[ProjectRecord], str | None]:
        """At most `limit` projects, newest first, and the cursor of the next page.

        Raises:
            InvalidRequest: the cursor is not one of this list.
        """
        found = select(Project).order_by(Project.created_at.desc(), Project.id.desc())
        if cursor is not None:
            after = cut_at(cursor, UUID)
            found = found.where(tuple_(Project.created_at, Project.id) < after)
        rows = await self._session.scalars(found.limit(limit + 1))
        return page_of([_record(row) for row in rows], limit, lambda p: PageCut(p.created_at, p.id))


def _is_called(name: str) -> ColumnElement[bool]:
    """That a project has that slug or, in any case, that name."""
    storable = composed(name).replace("\0", "\ufffd")  # as no name is
    return or_(Project.slug.in_(slugs_of(name)), func.lower(Project.name) == func.lower(storable))


def _fitness(name: str) -> Callable[[_Slugged], int]:
    """The order of the projects that fit a name: by their slugs, then those of that name."""
    slugs = slugs_of(name)
    return lambda each: slugs.index(each.slug) if each.slug in slugs else len(slugs)


def _taken(slug: str) -> AlreadyExists:
    return AlreadyExists(f"There is a project {slug} already.", "Use it, or choose another slug.")


def _as_id(named: str) -> UUID | None:
    try:
        return UUID(named)
    except ValueError:
        return None


def _record(row: Project) -> ProjectRecord:
    return ProjectRecord(
        id=row.id,
        slug=row.slug,
        name=row.name,
        description=row.description,
        metadata=row.details,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )

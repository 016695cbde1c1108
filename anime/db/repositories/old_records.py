"""Tables of older services that the first migration has set aside."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.catalogue import NewProject
from anime.core.paths import slug_of
from anime.db.models import SCHEMA, Project

MAX_RECORDS = 10_000


class OldRecordRepository:
    """Those tables in one transaction; nothing of theirs is changed."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def rows(self, kind: Literal["projects", "characters"]) -> Sequence[dict[str, JsonValue]]:
        """The rows of that table, as JSON; none if there is no such table."""
        table = f"{SCHEMA}.{kind}_before_adoption"
        found = await self._session.scalar(text("SELECT to_regclass(:name)"), {"name": table})
        if found is None:
            return []
        rows = await self._session.scalars(
            text(f"SELECT to_jsonb(old) FROM {table} AS old LIMIT {MAX_RECORDS}")  # noqa: S608
        )
        return rows.all()

    async def keep_project(self, new: NewProject, project_id: UUID) -> UUID | None:
        """The project's id, as its files have it; None if that id, or its slug, is taken."""
        return await self._session.scalar(
            insert(Project)
            .values(
                id=project_id,
                slug=slug_of(new.name),
                name=new.name,
                description=new.description,
                details=new.metadata,
            )
            .on_conflict_do_nothing()
            .returning(Project.id)
        )

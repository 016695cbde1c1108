"""Pauses: of all new renders, of a project, of a server. They outlive every program."""

from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.servers import EVERYTHING, PauseRecord, PauseScope
from anime.db.models import ProductionJob, Project
from anime.db.server_models import Pause


class PauseRepository:
    """The pauses in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def set(self, scope: str, reason: str, *, is_automatic: bool = False) -> bool:
        """Whether the scope is paused from now on, and was not like this.

        What a person has paused stays a person's, and an automatic one becomes it.
        """
        row = insert(Pause).values(scope=scope, reason=reason, is_automatic=is_automatic)
        if is_automatic:
            statement = row.on_conflict_do_nothing(index_elements=[Pause.scope])
        else:
            statement = row.on_conflict_do_update(
                index_elements=[Pause.scope], set_={"reason": reason, "is_automatic": False}
            )
        return await self._session.scalar(statement.returning(Pause.scope)) is not None

    async def clear(self, scope: str, *, only_automatic: bool = False) -> bool:
        """Whether the scope was paused, and is no longer."""
        is_meant = Pause.is_automatic if only_automatic else Pause.scope.is_not(None)
        gone = delete(Pause).where(Pause.scope == scope, is_meant).returning(Pause.scope)
        return await self._session.scalar(gone) is not None

    async def in_force(self) -> list[PauseRecord]:
        """All pauses, the oldest first."""
        rows = await self._session.scalars(select(Pause).order_by(Pause.since, Pause.scope))
        return [_record(row) for row in rows]


def is_held_up(job_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Guard: everything, or the project of the job in that column, is paused."""
    of_project = (
        select(literal(f"{PauseScope.PROJECT}:") + Project.slug)
        .join(ProductionJob, ProductionJob.project_id == Project.id)
        .where(ProductionJob.id == job_id)
        .correlate_except(ProductionJob, Project)
        .scalar_subquery()
    )
    is_paused = or_(Pause.scope == EVERYTHING, Pause.scope == of_project)
    return exists().where(is_paused).correlate_except(Pause)


def _record(row: Pause) -> PauseRecord:
    return PauseRecord(
        scope=row.scope, reason=row.reason, is_automatic=row.is_automatic, since=row.since
    )

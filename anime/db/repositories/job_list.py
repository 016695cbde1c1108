"""Jobs page by page, newest first."""

from uuid import UUID

from sqlalchemy import ColumnElement, tuple_

from anime.core.job_query import JobQuery
from anime.core.job_status import JobStatus
from anime.db.models import ProductionJob
from anime.db.repositories.cursor import PageCut, cut_at, page_of
from anime.db.repositories.job_rows import JobRows
from anime.schemas import JobSnapshot


class JobList(JobRows):
    """The jobs of one transaction, as a list."""

    async def page(
        self, query: JobQuery, *, limit: int, cursor: str | None = None
    ) -> tuple[list[JobSnapshot], str | None]:
        """At most `limit` jobs that fit, newest first, and the cursor of the next page.

        Raises:
            InvalidRequest: the cursor is not one of this list.
        """
        wanted = _conditions(query)
        if query.project is not None:
            wanted.append(await self._of_project(query.project))
        if cursor is not None:
            after = cut_at(cursor, UUID)
            wanted.append(tuple_(ProductionJob.created_at, ProductionJob.id) < after)
        if query.character is None:
            found = await self._snapshots(*wanted, limit=limit + 1)
        else:
            found = await self._with_character(query.character, *wanted, limit=limit + 1)
        return page_of(found, limit, lambda job: PageCut(job.created_at, job.id))

    async def oldest(self, status: JobStatus, *, limit: int) -> list[JobSnapshot]:
        """At most `limit` jobs in that state, the oldest first."""
        is_oldest = (ProductionJob.created_at, ProductionJob.id)
        return await self._snapshots(ProductionJob.status == status, order=is_oldest, limit=limit)

    async def _with_character(
        self, name: str, *wanted: ColumnElement[bool], limit: int
    ) -> list[JobSnapshot]:
        """The newest jobs whose character it is, or one of them.

        Each of the two has an index: PostgreSQL would sort all that are found by one of them.
        """
        alone = await self._snapshots(*wanted, ProductionJob.character == name, limit=limit)
        among = await self._snapshots(
            *wanted, ProductionJob.characters.contains([name]), limit=limit
        )
        found = {job.id: job for job in (*alone, *among)}
        return sorted(found.values(), key=lambda job: (job.created_at, job.id), reverse=True)[
            :limit
        ]


def _conditions(query: JobQuery) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if query.status is not None:
        wanted.append(ProductionJob.status == query.status)
    if query.type is not None:
        wanted.append(ProductionJob.type == query.type)
    if query.error_kind is not None:
        wanted += [
            ProductionJob.status == JobStatus.FAILED,
            ProductionJob.error_kind == query.error_kind,
        ]
    if query.ended_after is not None:
        wanted.append(ProductionJob.finished_at > query.ended_after)
    return wanted

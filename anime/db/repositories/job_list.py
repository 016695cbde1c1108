"""Jobs page by page, newest first."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, tuple_

from anime.core.job_status import JobStatus
from anime.core.paths import slug_of
from anime.db.models import ProductionJob, Project
from anime.db.repositories.cursor import PageCut, cut_at, page_of
from anime.db.repositories.job_rows import JobRows
from anime.schemas import GenerationType, JobSnapshot, Name


class JobQuery(BaseModel):
    """Which jobs are wanted. What is left out does not matter; the rest must all hold."""

    model_config = ConfigDict(extra="forbid")

    status: JobStatus | None = Field(default=None, description="State they are in.")
    project: Name | None = Field(default=None, description="Name or slug of the project.")
    character: Name | None = Field(default=None, description="Character, as the request named it.")
    type: GenerationType | None = Field(default=None, description="image or video.")


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
        if cursor is not None:
            after = cut_at(cursor, UUID)
            wanted.append(tuple_(ProductionJob.created_at, ProductionJob.id) < after)
        found = await self._snapshots(*wanted, limit=limit + 1)
        return page_of(found, limit, lambda job: PageCut(job.created_at, job.id))


def _conditions(query: JobQuery) -> list[ColumnElement[bool]]:
    columns = {
        ProductionJob.status: query.status,
        Project.slug: slug_of(query.project) if query.project is not None else None,
        ProductionJob.character: query.character,
        ProductionJob.type: query.type,
    }
    return [column == value for column, value in columns.items() if value is not None]

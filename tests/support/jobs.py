"""The jobs of a database, as a test looks at them."""

from typing import Any

from anime.db.repositories import JobList, JobQuery
from anime.db.session import Database
from anime.schemas import JobSnapshot


async def newest_jobs(
    database: Database,
    *,
    limit: int = 100,
    **wanted: Any,  # fields of a JobQuery
) -> list[JobSnapshot]:
    """At most `limit` jobs that fit, the newest first."""
    async with database.session_scope() as session:
        return (await JobList(session).page(JobQuery(**wanted), limit=limit))[0]

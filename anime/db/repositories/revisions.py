"""Whether the tables are as this program needs them, and take what it writes."""

from pathlib import Path

from sqlalchemy import false, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from anime.db.models import SCHEMA, ProductionJob

_VERSIONS = Path(__file__).parents[1] / "migrations" / "versions"
# Alembic would tell, too, for 10 MB: the names of its files begin with their revision.
NEWEST_REVISION = max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*.py"))


class RevisionRepository:
    """The shape of the database, in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def current(self) -> str | None:
        """The revision that the database is at."""
        found = await self._session.execute(
            text(f"SELECT version_num FROM {SCHEMA}.alembic_version")  # noqa: S608  our constant
        )
        return found.scalar_one_or_none()

    async def try_to_write(self) -> None:
        """Make sure that a job could be written, without writing one.

        A standby, and a database that is read-only or whose user may only read, refuse this as
        they refuse a job.
        """
        await self._session.execute(
            update(ProductionJob).where(false()).values(status=ProductionJob.status)
        )

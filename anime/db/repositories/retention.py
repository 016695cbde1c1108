"""Files that somebody has rejected, and where they go."""

from datetime import datetime

from sqlalchemy import case, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.paths import FileState
from anime.core.retention import RejectedTake
from anime.core.takes import Verdict
from anime.db.advisory_lock import BACKUP
from anime.db.models import AnimeFile, Project
from anime.db.shot_models import Take

REJECTED, ARCHIVED = "rejected", "archived"  # states of a file
# The state of a file that is where its row says: it may have been rejected while it was not.
PRESENT = case(
    (exists().where(Take.file_id == AnimeFile.id, Take.verdict == Verdict.REJECTED), REJECTED),
    else_=FileState.PRESENT.value,
)


class RetentionRepository:
    """The rejected files in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def rejected(self, before: datetime, *, after_id: int, limit: int) -> list[RejectedTake]:
        """Those made before, by id; the next ones come with the last id of these."""
        rows = await self._session.execute(
            select(AnimeFile, Project.slug)
            .outerjoin(Project, Project.id == AnimeFile.project_id)
            .where(
                AnimeFile.state == REJECTED,
                AnimeFile.created_at < before,
                AnimeFile.id > after_id,
            )
            .order_by(AnimeFile.id)
            .limit(limit)
        )
        return [
            RejectedTake(file.id, file.file_path or "", file.sha256, file.job_id, slug)
            for file, slug in rows
        ]

    async def keep_backups_out(self) -> bool:
        """Whether no backup or drill is at work, nor begins before this transaction ends."""
        turn = func.pg_try_advisory_xact_lock_shared(BACKUP)
        return bool(await self._session.scalar(select(turn)))

    async def archive(self, take: RejectedTake, path: str) -> bool:
        """Whether the row now says that the file is archived at that path.

        It does not if somebody has changed its state or moved it meanwhile. Doing it twice is
        harmless.
        """
        changed = await self._session.scalar(
            update(AnimeFile)
            .where(
                AnimeFile.id == take.file_id,
                AnimeFile.state == REJECTED,
                AnimeFile.file_path == take.path,
            )
            .values(state=ARCHIVED, file_path=path)
            .returning(AnimeFile.id)
        )
        return changed is not None or await self.is_archived_at(take.file_id, path)

    async def is_archived_at(self, file_id: int, path: str) -> bool:
        """Whether the row says so."""
        found = await self._session.scalar(
            select(AnimeFile.id).where(
                AnimeFile.id == file_id, AnimeFile.state == ARCHIVED, AnimeFile.file_path == path
            )
        )
        return found is not None

"""What may be at each ComfyUI server: recorded before it is sent, settled when it no longer is."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.db.models import FINAL, ProductionJob
from anime.db.repositories.leases import NOW, until
from anime.db.server_models import SentPrompt
from anime.errors import AlreadyExists


@dataclass(frozen=True, slots=True)
class UnsettledPrompt:
    """A prompt that may be at its server.

    `has_moved`: its job has ended, or a later attempt of it has begun; nobody waits for it.
    """

    prompt_id: UUID
    job_id: UUID
    attempt: int
    sent_at: datetime
    has_moved: bool


class SentPromptRepository:
    """The prompts in one transaction. Every server is named by its canonical address."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def record(self, prompt_id: UUID, *, job_id: UUID, server: str, attempt: int) -> None:
        """Record that the prompt is about to be sent. Recorded twice, it is one.

        Raises:
            AlreadyExists: it was sent to another server; each attempt has an id of its own.
        """
        row = insert(SentPrompt).values(
            prompt_id=prompt_id, job_id=job_id, server=server, attempt=attempt
        )
        recorded = await self._session.scalar(
            row.on_conflict_do_update(
                index_elements=[SentPrompt.prompt_id],
                set_={"sent_at": NOW, "settled_at": None},
                where=SentPrompt.server == row.excluded.server,
            ).returning(SentPrompt.prompt_id)
        )
        if recorded is None:
            raise AlreadyExists(
                f"Prompt {prompt_id} was sent to another server than {server} already.",
                "Look for it there before it is sent anywhere, as the next attempt.",
            )

    async def settle(self, prompt_id: UUID) -> None:
        """Record that the prompt is no longer at its server, or has ended there."""
        await self._session.execute(
            update(SentPrompt)
            .where(SentPrompt.prompt_id == prompt_id, SentPrompt.settled_at.is_(None))
            .values(settled_at=NOW)
        )

    async def unsettled_at(self, server: str) -> list[UnsettledPrompt]:
        """What may be at that server, the oldest first."""
        has_moved = or_(
            ProductionJob.id.is_(None),
            ProductionJob.status.in_(FINAL),
            ProductionJob.attempt > SentPrompt.attempt,
        )
        rows = await self._session.execute(
            select(
                SentPrompt.prompt_id,
                SentPrompt.job_id,
                SentPrompt.attempt,
                SentPrompt.sent_at,
                has_moved,
            )
            .outerjoin(ProductionJob, ProductionJob.id == SentPrompt.job_id)
            .where(SentPrompt.server == server, SentPrompt.settled_at.is_(None))
            .order_by(SentPrompt.sent_at)
        )
        return [UnsettledPrompt(*row) for row in rows]

    async def prune(self, *, older_than_seconds: float) -> int:
        """How many rows were removed: those that were settled so long ago."""
        gone = await self._session.scalars(
            delete(SentPrompt)
            .where(SentPrompt.settled_at < until(-older_than_seconds))
            .returning(SentPrompt.prompt_id)
        )
        return len(gone.all())

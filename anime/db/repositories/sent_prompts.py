"""What may be at each ComfyUI server: recorded before it is sent, settled when it no longer is."""

from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    delete,
    false,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.job_status import JobStatus
from anime.db.models import FINAL, ProductionJob
from anime.db.repositories.leases import NOW, until
from anime.db.server_models import SentPrompt
from anime.errors import AlreadyExists

_HAS_MOVED = or_(
    ProductionJob.id.is_(None),
    ProductionJob.status.in_(FINAL),
    ProductionJob.attempt > SentPrompt.attempt,
)

# Put together once, and without the ORM: that takes longer than what they do.
_PROMPTS = cast("Table", SentPrompt.__table__)
_NEW = insert(_PROMPTS)
_RECORD = _NEW.on_conflict_do_update(
    index_elements=[_PROMPTS.c.prompt_id],
    set_={"sent_at": NOW, "settled_at": None},
    where=_PROMPTS.c.server == _NEW.excluded.server,
).returning(_PROMPTS.c.prompt_id)
_SETTLE = (
    update(_PROMPTS)
    .where(_PROMPTS.c.prompt_id == bindparam("of_prompt"), _PROMPTS.c.settled_at.is_(None))
    .values(settled_at=NOW)
)


@dataclass(frozen=True, slots=True)
class UnsettledPrompt:
    """A prompt that may be at its server.

    `has_moved`: its job has ended, or a later attempt of it has begun; nobody waits for it.
    `is_result`: its job has completed with what it rendered.
    """

    server: str
    prompt_id: UUID
    job_id: UUID
    attempt: int
    sent_at: datetime
    has_moved: bool
    is_result: bool


class SentPromptRepository:
    """The prompts in one transaction. Every server is named by its canonical address."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def record(
        self,
        prompt_id: UUID,
        *,
        job_id: UUID,
        server: str,
        attempt: int,
        client_id: str | None = None,
    ) -> None:
        """Record that the prompt is about to be sent by that client. Recorded twice, it is one.

        Raises:
            AlreadyExists: it was sent to another server; each attempt has an id of its own.
        """
        values = {"prompt_id": prompt_id, "job_id": job_id, "server": server, "attempt": attempt}
        recorded = await self._session.scalar(_RECORD, values | {"client_id": client_id})
        if recorded is None:
            raise AlreadyExists(
                f"Prompt {prompt_id} was sent to another server than {server} already.",
                "Look for it there before it is sent anywhere, as the next attempt.",
            )

    async def client_of(self, prompt_id: UUID) -> str | None:
        """The client that has sent the prompt; None if that is not recorded."""
        return await self._session.scalar(
            select(SentPrompt.client_id).where(SentPrompt.prompt_id == prompt_id)
        )

    async def settle(self, prompt_id: UUID) -> None:
        """Record that the prompt is no longer at its server, or has ended there."""
        await self._session.execute(_SETTLE, {"of_prompt": prompt_id})

    async def unsettled_at(self, server: str) -> list[UnsettledPrompt]:
        """What may be at that server, the oldest first."""
        return await self._unsettled(SentPrompt.server == server)

    async def moved(self) -> dict[str, list[UnsettledPrompt]]:
        """What may be at each server although nobody waits for it, the oldest first."""
        found: dict[str, list[UnsettledPrompt]] = {}
        for each in await self._unsettled(_HAS_MOVED):
            found.setdefault(each.server, []).append(each)
        return found

    async def _unsettled(self, wanted: ColumnElement[bool]) -> list[UnsettledPrompt]:
        is_result = and_(
            ProductionJob.status == JobStatus.COMPLETED,
            ProductionJob.prompt_id == SentPrompt.prompt_id,
        )
        rows = await self._session.execute(
            select(
                SentPrompt.server,
                SentPrompt.prompt_id,
                SentPrompt.job_id,
                SentPrompt.attempt,
                SentPrompt.sent_at,
                _HAS_MOVED,
                func.coalesce(is_result, false()),
            )
            .outerjoin(ProductionJob, ProductionJob.id == SentPrompt.job_id)
            .where(wanted, SentPrompt.settled_at.is_(None))
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

"""The window of prompts in flight: at most so many at one ComfyUI server, first come first served.

Who frees a slot gives it to the next in line within the same transaction, and notifies it.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, case, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.db.models import RenderSlot
from anime.db.notifications import SLOT
from anime.db.repositories.leases import NOW, until
from anime.db.repositories.pauses import is_held_up
from anime.db.session import NOTIFY_CHANNEL
from anime.errors import LeaseLost

_LOCK_SPACE = 8328  # of PostgreSQL's advisory locks: those of ours


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """One run's request for a slot at one server, under the fencing token of its job's lease."""

    server: str
    job_id: UUID
    fence: int
    is_interactive: bool


@dataclass(frozen=True, slots=True)
class Slot:
    """How a request stands. `ahead`: how many wait before it."""

    is_held: bool
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class SlotUsage:
    """Who is in flight at a server and who waits; `oldest_wait` is since when."""

    held: int
    waiting: int
    oldest_wait: datetime | None


class SlotRepository:
    """The slots in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def ask(self, request: SlotRequest, *, size: int, seconds: float) -> Slot:
        """How the request stands; a new one joins the line. It is kept for so many seconds.

        Interactive jobs go before those of batches, then the one that asked first.

        Raises:
            LeaseLost: a later run of the job has asked.
        """
        await self._lock(request.server)
        await self._enqueue(request, seconds)
        await self._admit(request.server, size)
        return await self._slot_of(request)

    async def renew(self, request: SlotRequest, *, seconds: float) -> None:
        """Keep the slot for so many seconds from now. One that has gone to others stays gone."""
        await self._session.execute(
            update(RenderSlot).where(_is(request)).values(expires_at=until(seconds))
        )

    async def leave(self, request: SlotRequest, *, size: int) -> None:
        """Give the slot, held or waited for, to the next in line."""
        await self._lock(request.server)
        await self._session.execute(delete(RenderSlot).where(_is(request)))
        await self._admit(request.server, size)

    async def state(self, server: str) -> SlotUsage:
        """The window as it is; those without a sign of life are left out."""
        waits = RenderSlot.held_since.is_(None)
        row = await self._session.execute(
            select(
                func.count().filter(~waits),
                func.count().filter(waits),
                func.min(RenderSlot.asked_at).filter(waits),
            ).where(RenderSlot.server == server, RenderSlot.expires_at > NOW)
        )
        return SlotUsage(*row.one())

    async def prune(self, *, older_than_seconds: float) -> int:
        """How many rows were removed: those that have counted for nothing for so long."""
        gone = await self._session.scalars(
            delete(RenderSlot)
            .where(RenderSlot.expires_at < until(-older_than_seconds))
            .returning(RenderSlot.job_id)
        )
        return len(gone.all())

    async def _lock(self, server: str) -> None:
        """Wait for the others who change this window; ends with the transaction."""
        await self._session.execute(
            select(func.pg_advisory_xact_lock(_LOCK_SPACE, func.hashtext(server)))
        )

    async def _enqueue(self, request: SlotRequest, seconds: float) -> None:
        row = insert(RenderSlot).values(
            job_id=request.job_id,
            server=request.server,
            fence=request.fence,
            is_interactive=request.is_interactive,
            expires_at=until(seconds),
        )
        new = row.excluded
        # The run before this one may have submitted the prompt: its slot there is this one's now.
        is_same = RenderSlot.server == new.server
        known = await self._session.scalar(
            row.on_conflict_do_update(
                index_elements=[RenderSlot.job_id],
                set_={
                    "server": new.server,
                    "fence": new.fence,
                    "held_since": case((is_same, RenderSlot.held_since)),
                    "expires_at": new.expires_at,
                },
                where=RenderSlot.fence <= new.fence,
            ).returning(RenderSlot.job_id)
        )
        if known is None:
            raise LeaseLost(
                f"A later run of job {request.job_id} waits for a slot already.",
                "That run goes on with it.",
            )

    async def _admit(self, server: str, size: int) -> None:
        """Give free slots to those in front of the line, and notify them."""
        await self._session.execute(
            delete(RenderSlot).where(RenderSlot.server == server, RenderSlot.expires_at <= NOW)
        )
        held = (
            select(func.count())
            .where(RenderSlot.server == server, RenderSlot.held_since.is_not(None))
            .scalar_subquery()
        )
        front = (
            select(RenderSlot.job_id)
            .where(
                RenderSlot.server == server,
                RenderSlot.held_since.is_(None),
                ~is_held_up(RenderSlot.job_id),
            )
            .order_by(RenderSlot.is_interactive.desc(), RenderSlot.asked_at, RenderSlot.job_id)
            .limit(func.greatest(0, size - held))
        )
        admitted = (
            update(RenderSlot)
            .where(RenderSlot.job_id.in_(front))
            .values(held_since=NOW)
            .returning(RenderSlot.job_id)
            .cte("admitted")
        )
        await self._session.execute(
            select(func.pg_notify(NOTIFY_CHANNEL, SLOT + cast(admitted.c.job_id, Text)))
        )

    async def _slot_of(self, request: SlotRequest) -> Slot:
        mine = select(RenderSlot).where(_is(request)).subquery()
        is_before = or_(
            RenderSlot.is_interactive > mine.c.is_interactive,
            and_(
                RenderSlot.is_interactive == mine.c.is_interactive,
                RenderSlot.asked_at < mine.c.asked_at,
            ),
        )
        ahead = (
            select(func.count())
            .where(RenderSlot.server == request.server, RenderSlot.held_since.is_(None), is_before)
            .scalar_subquery()
        )
        row = await self._session.execute(select(mine.c.held_since.is_not(None), ahead))
        return Slot(*row.one())


def _is(request: SlotRequest) -> ColumnElement[bool]:
    return and_(RenderSlot.job_id == request.job_id, RenderSlot.fence == request.fence)

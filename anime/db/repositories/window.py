"""The window of prompts in flight: at most so many at one ComfyUI server, first come first served.

Who frees a place hands it to the next in line, within the same transaction, and rings the bell.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, case, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from anime.db.doorbell import PLACE
from anime.db.models import RenderPlace
from anime.db.repositories.leases import NOW, until
from anime.db.session import BELLS_CHANNEL
from anime.errors import LeaseLost

_LOCK_SPACE = 8328  # of PostgreSQL's advisory locks: those of ours


@dataclass(frozen=True, slots=True)
class Claim:
    """One run's claim to a place at one server, under the fence of its job's lease."""

    server: str
    job_id: UUID
    fence: int
    is_interactive: bool


@dataclass(frozen=True, slots=True)
class Place:
    """How a claim stands. `ahead`: how many wait before it."""

    is_held: bool
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class WindowState:
    """Who is in flight at a server and who waits; `oldest_wait` is since when."""

    held: int
    waiting: int
    oldest_wait: datetime | None


class WindowRepository:
    """The places in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def ask(self, claim: Claim, *, size: int, seconds: float) -> Place:
        """How the claim stands; it is put in line if it is new, and kept for so many seconds.

        Interactive jobs go before those of batches, then the one that asked first.

        Raises:
            LeaseLost: a later run of the job has asked.
        """
        await self._lock(claim.server)
        await self._stand_in_line(claim, seconds)
        await self._admit(claim.server, size)
        return await self._place_of(claim)

    async def renew(self, claim: Claim, *, seconds: float) -> None:
        """Keep the place for so many seconds from now. One that has gone to others stays gone."""
        await self._session.execute(
            update(RenderPlace).where(_is(claim)).values(expires_at=until(seconds))
        )

    async def leave(self, claim: Claim, *, size: int) -> None:
        """Give the place, held or waited for, to the next in line."""
        await self._lock(claim.server)
        await self._session.execute(delete(RenderPlace).where(_is(claim)))
        await self._admit(claim.server, size)

    async def state(self, server: str) -> WindowState:
        """The window as it is; those without a sign of life are left out."""
        waits = RenderPlace.held_since.is_(None)
        row = await self._session.execute(
            select(
                func.count().filter(~waits),
                func.count().filter(waits),
                func.min(RenderPlace.asked_at).filter(waits),
            ).where(RenderPlace.server == server, RenderPlace.expires_at > NOW)
        )
        return WindowState(*row.one())

    async def prune(self, *, older_than_seconds: float) -> int:
        """How many rows were removed: those that have counted for nothing for so long."""
        gone = await self._session.scalars(
            delete(RenderPlace)
            .where(RenderPlace.expires_at < until(-older_than_seconds))
            .returning(RenderPlace.job_id)
        )
        return len(gone.all())

    async def _lock(self, server: str) -> None:
        """Wait for the others who change this window; ends with the transaction."""
        await self._session.execute(
            select(func.pg_advisory_xact_lock(_LOCK_SPACE, func.hashtext(server)))
        )

    async def _stand_in_line(self, claim: Claim, seconds: float) -> None:
        row = insert(RenderPlace).values(
            job_id=claim.job_id,
            server=claim.server,
            fence=claim.fence,
            is_interactive=claim.is_interactive,
            expires_at=until(seconds),
        )
        new = row.excluded
        # The run before this one may have sent the prompt: its place there is this one's now.
        is_same = RenderPlace.server == new.server
        known = await self._session.scalar(
            row.on_conflict_do_update(
                index_elements=[RenderPlace.job_id],
                set_={
                    "server": new.server,
                    "fence": new.fence,
                    "held_since": case((is_same, RenderPlace.held_since)),
                    "expires_at": new.expires_at,
                },
                where=RenderPlace.fence <= new.fence,
            ).returning(RenderPlace.job_id)
        )
        if known is None:
            raise LeaseLost(
                f"A later run of job {claim.job_id} waits for a place already.",
                "That run goes on with it.",
            )

    async def _admit(self, server: str, size: int) -> None:
        """Give what places are free to those in front of the line, and wake them."""
        await self._session.execute(
            delete(RenderPlace).where(RenderPlace.server == server, RenderPlace.expires_at <= NOW)
        )
        held = (
            select(func.count())
            .where(RenderPlace.server == server, RenderPlace.held_since.is_not(None))
            .scalar_subquery()
        )
        front = (
            select(RenderPlace.job_id)
            .where(RenderPlace.server == server, RenderPlace.held_since.is_(None))
            .order_by(RenderPlace.is_interactive.desc(), RenderPlace.asked_at, RenderPlace.job_id)
            .limit(func.greatest(0, size - held))
        )
        admitted = (
            update(RenderPlace)
            .where(RenderPlace.job_id.in_(front))
            .values(held_since=NOW)
            .returning(RenderPlace.job_id)
            .cte("admitted")
        )
        await self._session.execute(
            select(func.pg_notify(BELLS_CHANNEL, PLACE + cast(admitted.c.job_id, Text)))
        )

    async def _place_of(self, claim: Claim) -> Place:
        mine = select(RenderPlace).where(_is(claim)).subquery()
        is_before = or_(
            RenderPlace.is_interactive > mine.c.is_interactive,
            and_(
                RenderPlace.is_interactive == mine.c.is_interactive,
                RenderPlace.asked_at < mine.c.asked_at,
            ),
        )
        ahead = (
            select(func.count())
            .where(RenderPlace.server == claim.server, RenderPlace.held_since.is_(None), is_before)
            .scalar_subquery()
        )
        row = await self._session.execute(select(mine.c.held_since.is_not(None), ahead))
        return Place(*row.one())


def _is(claim: Claim) -> ColumnElement[bool]:
    return and_(RenderPlace.job_id == claim.job_id, RenderPlace.fence == claim.fence)

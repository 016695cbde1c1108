"""The outbox of webhooks: what is to be told about jobs that have ended, and how that went.

A row is written in the transaction that ends its job, so that neither is there without the other.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from anime.core.webhooks import message_of
from anime.db.models import WebhookDelivery
from anime.db.repositories.bulk import insert_missing
from anime.db.repositories.files import FileRepository
from anime.db.repositories.leases import NOW, until
from anime.schemas import JobSnapshot

DELIVERIES_CHANNEL = "anime_webhook_deliveries"  # NOTIFY: a delivery is due
DUE = "due"
_RECEIVER = func.substring(WebhookDelivery.url, "://([^/?#]*)")
_MAX_ERROR_CHARS = 500


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that this process is to send now. `attempt` counts from 1."""

    id: UUID
    job_id: UUID
    url: str
    body: dict[str, JsonValue]
    attempt: int

    @property
    def receiver(self) -> str:
        """The host that it goes to, with its port, as `_RECEIVER` reads it."""
        return urlsplit(self.url).netloc


class DeliveryRepository:
    """The deliveries in one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add_all(self, ended: Collection[tuple[JobSnapshot, str]]) -> None:
        """Insert the message about each job's end, to its URL, and notify. One job, one row."""
        files = await FileRepository(self._session).of_jobs([job.id for job, _ in ended])
        rows = [
            {
                "job_id": job.id,
                "url": url,
                "body": message_of(job, files.get(job.id, []), moment=job.updated_at),
            }
            for job, url in ended
        ]
        await insert_missing(self._session, WebhookDelivery, rows, returning="id")
        await self._session.execute(select(func.pg_notify(DELIVERIES_CHANNEL, DUE)))

    async def claim(
        self, limit: int, *, seconds: float, except_to: Collection[str] = ()
    ) -> list[Delivery]:
        """Up to so many deliveries that are due, for the caller alone for so many seconds.

        Those to some receivers may be left. Whoever dies with one leaves it: it is due again
        after that time.
        """
        due = (
            select(WebhookDelivery.id)
            .where(WebhookDelivery.next_attempt_at <= NOW, _RECEIVER.not_in(except_to))
            .order_by(WebhookDelivery.next_attempt_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        rows = await self._session.scalars(
            update(WebhookDelivery)
            .where(WebhookDelivery.id == due.c.id)
            .values(attempts=WebhookDelivery.attempts + 1, next_attempt_at=until(seconds))
            .returning(WebhookDelivery),
            execution_options={"synchronize_session": False},
        )
        return [Delivery(row.id, row.job_id, row.url, row.body, row.attempts) for row in rows]

    async def delivered(self, delivery: Delivery) -> None:
        """Record that it has arrived. It does another claimant's try no harm."""
        await self._end(delivery, delivered_at=NOW, last_error=None, next_attempt_at=None)

    async def failed(self, delivery: Delivery, error: str, *, retry_seconds: float | None) -> None:
        """Record why it has not arrived, and when to try again; None gives it up."""
        again = None if retry_seconds is None else until(retry_seconds)
        await self._end(delivery, last_error=error[:_MAX_ERROR_CHARS], next_attempt_at=again)

    async def seconds_to_next(self, *, except_to: Collection[str] = ()) -> float | None:
        """How long until the next delivery is due, below 0 if it is already; None without any.

        Those to some receivers may be left out.
        """
        wait = await self._session.scalar(
            select(func.extract("epoch", func.min(WebhookDelivery.next_attempt_at) - NOW)).where(
                WebhookDelivery.next_attempt_at.is_not(None), _RECEIVER.not_in(except_to)
            )
        )
        return None if wait is None else float(wait)

    async def prune(self, *, older_than: timedelta) -> int:
        """How many rows were removed: those written so long ago, delivered or not."""
        gone = await self._session.scalars(
            delete(WebhookDelivery)
            .where(WebhookDelivery.created_at < NOW - older_than)
            .returning(WebhookDelivery.id)
        )
        return len(gone.all())

    async def _end(self, delivery: Delivery, **changes: Any) -> None:  # values of any column
        """Change the row unless somebody else has claimed it since."""
        await self._session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.id == delivery.id, WebhookDelivery.attempts == delivery.attempt)
            .values(**changes)
        )

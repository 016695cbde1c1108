"""How many jobs may wait for their turn."""

import time

from sqlalchemy.ext.asyncio import AsyncSession

from anime.db.repositories import DispatchRepository
from anime.errors import QueueFull

COUNT_SECONDS = 1.0  # for which a count holds; what is let in meanwhile is added to it


class QueueLimit:
    """Lets a new job in while fewer than `most` wait. Several processes each count for themselves.

    The jobs of batches are not counted: a batch is one request, its renders go after what
    people wait for, and a thousand frames for the night must not shut the door on them.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._waiting = 0
        self._counted_at: float | None = None  # by time.monotonic()

    async def admit(self, session: AsyncSession) -> None:
        """Count the job that this transaction has just written down.

        Raises:
            QueueFull: there is no room for it; the transaction is to be rolled back.
        """
        now = time.monotonic()
        if self._counted_at is None or now - self._counted_at >= COUNT_SECONDS:
            self._waiting = await DispatchRepository(session).waiting(self.most + 1)
            self._counted_at = now
        else:
            self._waiting += 1
        if self._waiting > self.most:
            self._waiting -= 1
            raise QueueFull(
                f"{self.most} jobs wait for their turn already.",
                "Send the request again in a while, or raise ANIME_QUEUE_LIMIT.",
            )

"""What waits to be sent to one client, within a limit."""

import asyncio
from collections import deque
from uuid import UUID

from anime.progress.websocket_messages import Update

MAX_UPDATES = 256  # then only each job's latest snapshot is kept
MAX_JOBS = 4096  # of which a client may be behind; then it is too slow to be served


class SendBuffer:
    """The updates in order, and of each job the newest preview.

    Putting never waits. A client that does not keep up gets fewer updates: of several waiting
    snapshots of a job only the latest.
    """

    def __init__(self) -> None:
        self._updates: deque[Update] = deque()
        self._previews: dict[UUID, str] = {}
        self._limit = MAX_UPDATES
        self._changed = asyncio.Event()
        self.is_closed = False

    @property
    def is_overfull(self) -> bool:
        """Whether not even the latest snapshots can be kept."""
        return max(len(self._updates), len(self._previews)) > MAX_JOBS

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._updates and not self._previews

    def put(self, update: Update) -> None:
        """Add an update."""
        self._updates.append(update)
        if len(self._updates) > self._limit:
            self._keep_latest()
        self._changed.set()

    def put_preview(self, job_id: UUID, preview: str) -> None:
        """Add a preview in place of the job's last one."""
        self._previews[job_id] = preview
        self._changed.set()

    def close(self) -> None:
        """End the buffer: `take` returns what is left, and then None."""
        self.is_closed = True
        self._changed.set()

    async def take(self) -> Update | str | None:
        """What is to be sent next: an update, or if there is none the frame of a preview."""
        while True:
            if self._updates:
                return self._updates.popleft()
            if self._previews:
                return self._previews.pop(next(iter(self._previews)))
            if self.is_closed:
                return None
            self._changed.clear()
            await self._changed.wait()

    def _keep_latest(self) -> None:
        """Drop every snapshot that a later one of the same job follows."""
        latest = {update.event.job_id: update for update in self._updates}
        self._updates = deque(
            update for update in self._updates if latest[update.event.job_id] is update
        )
        self._limit = max(MAX_UPDATES, 2 * len(self._updates))

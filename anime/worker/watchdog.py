"""What the worker tells systemd: that it is ready, and that it still polls."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from anime.settings.service_manager import ServiceManager

STEP_SECONDS = 1.0
# A poll of a Prefect server that hangs ends later than this only if the poll itself hangs: its
# client makes six tries of 60 s.
STUCK_POLL_SECONDS = 600.0


class PollWatchdog:
    """Gives signs of life while the worker's loop turns and its polls end."""

    def __init__(self, manager: ServiceManager) -> None:
        self._manager = manager
        self._polled_at = time.monotonic()

    @contextmanager
    def polling(self) -> Iterator[None]:
        """One poll, which is the work that is watched."""
        self._polled_at = time.monotonic()
        yield
        self._polled_at = time.monotonic()
        self._manager.tell_ready()

    async def run(self) -> None:
        """Give them until cancelled."""
        while True:
            if time.monotonic() - self._polled_at < STUCK_POLL_SECONDS:
                self._manager.tell_alive()
            await asyncio.sleep(STEP_SECONDS)

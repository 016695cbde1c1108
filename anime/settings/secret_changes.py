"""Tells those who keep connections open that the references in their address have other values."""

import asyncio
from collections.abc import Awaitable, Callable

from anime.retry_policies import cancel_until_ended
from anime.settings.secret_references import known_value

LOOK_SECONDS = 1.0  # how soon a change is noticed: a tenth of the shortest lease that is sensible


class SecretChanges:
    """Awaits `changed` when a text stands for something else, from `begin` to `close`.

    It is for one event loop. Looks are timers, as a worker cancels the tasks that a run leaves.
    """

    def __init__(self, text: str, changed: Callable[[], Awaitable[None]]) -> None:
        self._text, self._changed = text, changed
        self._told: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Look from now on; what the text stands for now is told as well, once. Twice is once."""
        if self._timer is None:
            self._look_later()

    async def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._telling is not None:
            await cancel_until_ended(self._telling)

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._look_later()
        url = known_value(self._text)
        is_telling = self._telling is not None and not self._telling.done()
        if url is not None and url != self._told and not is_telling:
            self._telling = asyncio.create_task(self._tell(url))

    async def _tell(self, url: str) -> None:
        await self._changed()
        self._told = url  # unless it was cancelled: then it is told again

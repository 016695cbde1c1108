"""Outages while a command watches: it waits, and says so once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from anime.cli.terminal import print_note
from anime.errors import (
    AnimeError,
    DatabaseUnavailable,
    PrefectRefused,
    PrefectTimedOut,
    PrefectUnavailable,
)
from anime.retry_policies import DISPATCH

POLL_SECONDS = 1.0
REFUSED_SECONDS = 60.0  # a server that is starting may refuse so long

T = TypeVar("T")


class Outages:
    """Calls parts that may be away for any time; Ctrl-C ends the wait."""

    def __init__(self, goes_on: str) -> None:
        """`goes_on` says what an outage does not stop, such as "The batch goes on"."""
        self._goes_on = goes_on
        self._since: dict[str, float] = {}

    async def attempt(self, part: str, call: Awaitable[T]) -> T | None:
        """The answer; None while the part is away. `part` is its name for people.

        Raises:
            PrefectRefused: it has refused for a minute.
        """
        try:
            answer = await call
        except (DatabaseUnavailable, PrefectUnavailable) as fault:
            self._note(part, fault)
            return None
        if self._since.pop(part, None) is not None:
            print_note(f"{part} answers again.")
        return answer

    async def wait_for(self, part: str, call: Callable[[], Awaitable[T]]) -> T:
        """The answer, once the part is there. Raises as `attempt`."""
        while (answer := await self.attempt(part, call())) is None:
            await asyncio.sleep(POLL_SECONDS)
        return answer

    def _note(self, part: str, fault: AnimeError) -> None:
        now = time.monotonic()
        if part not in self._since:
            self._since[part] = now
            print_note(f"{fault.what} {self._goes_on}; waiting for {part}.")
        elif isinstance(fault, PrefectRefused) and now - self._since[part] > REFUSED_SECONDS:
            raise fault


async def retry_while_busy(submit: Callable[[], Awaitable[T]]) -> T:
    """What `submit` returns, called again while Prefect is too busy to answer.

    Raises:
        PrefectTimedOut: it has been too busy for a minute.
    """
    return await DISPATCH.call(submit, retry_on=lambda fault: isinstance(fault, PrefectTimedOut))

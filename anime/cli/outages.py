"""What a command that watches does while something is away: it waits, and says so once."""

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

POLL_SECONDS = 1.0
REFUSED_SECONDS = 60.0  # so long a refusal may be one of a server that only starts
BUSY_SECONDS = 60.0

T = TypeVar("T")


class Outages:
    """Asks parts that may be away for any time, for somebody who can leave with Ctrl-C."""

    def __init__(self, goes_on: str) -> None:
        """`goes_on` says what does not mind, such as "The batch goes on"."""
        self._goes_on = goes_on
        self._since: dict[str, float] = {}

    async def ask(self, part: str, question: Awaitable[T]) -> T | None:
        """The answer; None while the part, a name for people, is away.

        Raises:
            PrefectRefused: it answers, and has said no for a minute.
        """
        try:
            answer = await question
        except (DatabaseUnavailable, PrefectUnavailable) as fault:
            self._note(part, fault)
            return None
        if self._since.pop(part, None) is not None:
            print_note(f"{part} answers again.")
        return answer

    async def wait_for(self, part: str, question: Callable[[], Awaitable[T]]) -> T:
        """The answer, asked for again and again while the part is away. Raises as `ask` does."""
        while (answer := await self.ask(part, question())) is None:
            await asyncio.sleep(POLL_SECONDS)
        return answer

    def _note(self, part: str, fault: AnimeError) -> None:
        now = time.monotonic()
        if part not in self._since:
            self._since[part] = now
            print_note(f"{fault.what} {self._goes_on}; waiting for {part}.")
        elif isinstance(fault, PrefectRefused) and now - self._since[part] > REFUSED_SECONDS:
            raise fault


async def ask_while_busy(order: Callable[[], Awaitable[T]]) -> T:
    """What Prefect says to an order, asked again for a minute while it is too busy to answer.

    Twice is harmless, as an order has a key.
    """
    give_up_at = time.monotonic() + BUSY_SECONDS
    has_said = False
    while True:
        try:
            return await order()
        except PrefectTimedOut as fault:
            if time.monotonic() > give_up_at:
                raise
            if not has_said:
                print_note(f"{fault.what} Asking again.")
            has_said = True

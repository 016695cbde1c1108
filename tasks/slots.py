"""A place among the prompts in flight at ComfyUI, from submit to finish."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from anime.core.job_status import Stage
from anime.db.notifications import SLOT
from anime.db.repositories import Slot, SlotRepository, SlotRequest
from anime.db.session import Database
from anime.errors import DatabaseUnavailable
from anime.retry_policies import RECORD
from tasks.progress import Reporter

_log = logging.getLogger(__name__)

_SHOWN_SECONDS = 20.0  # a place whose run shows no life for so long goes to the next
_RENEW_SECONDS = 4.0
_ANSWER_SECONDS = 5.0  # of PostgreSQL's, so that the place outlives one that is lost
_POLL_SECONDS = 1.0  # for when the bell is not heard
_SHUTDOWN_SECONDS = 5.0


@asynccontextmanager
async def hold_slot(
    database: Database, claim: SlotRequest, size: int, reporter: Reporter
) -> AsyncIterator[None]:
    """Hold one of the server's `size` places for as long as the block lasts.

    Waiting has no end of its own: whoever holds a place moves on or is given up, by the same
    rules as this run. Meanwhile the job can be cancelled, and its lease is renewed.

    Raises:
        DatabaseUnavailable: it was away for too long while the run waited.
        LeaseLost: a later run of the job has asked for the place.
    """
    try:
        await _wait_for_slot(database, claim, size, reporter)
        keeper = asyncio.create_task(_keep(database, claim))
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
    finally:
        await _leave(database, claim, size)


async def _wait_for_slot(
    database: Database, claim: SlotRequest, size: int, reporter: Reporter
) -> None:
    with database.notifications.listening_to(f"{SLOT}{claim.job_id}") as notified:
        said = None
        while not (place := await _ask(database, claim, size)).is_held:
            if place.ahead != said:
                said = place.ahead
                await reporter.enter(Stage.SUBMITTING, _words(place))
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await notified.wait()
            notified.clear()


def _words(place: Slot) -> str:
    before = f"{place.ahead} before it" if place.ahead else "next in line"
    return f"Waiting for a place at ComfyUI, {before}"


async def _ask(database: Database, claim: SlotRequest, size: int) -> Slot:
    async def ask() -> Slot:
        async with database.session_scope() as session:
            return await SlotRepository(session).ask(claim, size=size, seconds=_SHOWN_SECONDS)

    return await RECORD.call(ask)


async def _keep(database: Database, claim: SlotRequest) -> None:
    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        try:
            async with database.session_scope(answer_seconds=_ANSWER_SECONDS) as session:
                await SlotRepository(session).renew(claim, seconds=_SHOWN_SECONDS)
        except DatabaseUnavailable as fault:
            _log.warning("The place at ComfyUI was not renewed, the render goes on: %s", fault)


async def _leave(database: Database, claim: SlotRequest, size: int) -> None:
    """Give the place to the next; if that fails, it lapses by itself."""
    try:
        async with asyncio.timeout(_SHUTDOWN_SECONDS), database.session_scope() as session:
            await SlotRepository(session).leave(claim, size=size)
    except (DatabaseUnavailable, TimeoutError) as fault:
        _log.warning("The place at ComfyUI lapses in %.0f s: %s", _SHOWN_SECONDS, fault)

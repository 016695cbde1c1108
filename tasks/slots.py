"""Holding a slot at ComfyUI from submit to finish."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from anime.core.job_status import Stage
from anime.db.notifications import SLOT
from anime.db.repositories import Slot, SlotRepository, SlotRequest
from anime.db.session import Database
from anime.errors import DatabaseUnavailable
from anime.retry_policies import RECORD, cancel_until_ended
from tasks.progress import Reporter

_log = logging.getLogger(__name__)

_LEASE_SECONDS = 20.0  # a slot that is not renewed for so long goes to the next
_RENEW_SECONDS = 4.0
_ANSWER_SECONDS = 5.0  # for PostgreSQL's answer: the slot survives one that is lost
_POLL_SECONDS = 1.0  # in case a notification is lost
_SHUTDOWN_SECONDS = 5.0


@asynccontextmanager
async def hold_slot(
    database: Database, request: SlotRequest, size: int, reporter: Reporter
) -> AsyncIterator[None]:
    """Hold one of the server's `size` slots for as long as the block lasts.

    Waiting has no time-out of its own: every run that holds a slot finishes or is given up, by
    the same rules as this run. Meanwhile the job can be cancelled, and its lease is renewed.

    Raises:
        DatabaseUnavailable: it was away for too long while the run waited.
        LeaseLost: a later run of the job has requested the slot.
    """
    try:
        await _wait_for_slot(database, request, size, reporter)
        renewal = asyncio.create_task(_renew_regularly(database, request))
        try:
            yield
        finally:
            await cancel_until_ended(renewal)
    finally:
        await _give_back(database, request, size)


async def _wait_for_slot(
    database: Database, request: SlotRequest, size: int, reporter: Reporter
) -> None:
    with database.notifications.listening_to(f"{SLOT}{request.job_id}") as notified:
        reported = None
        while not (slot := await _ask(database, request, size)).is_held:
            if slot.ahead != reported:
                reported = slot.ahead
                await reporter.enter(Stage.SUBMITTING, _sentence(slot))
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await notified.wait()
            notified.clear()


def _sentence(slot: Slot) -> str:
    before = f"{slot.ahead} before it" if slot.ahead else "next in line"
    return f"Waiting for a slot at ComfyUI, {before}"


async def _ask(database: Database, request: SlotRequest, size: int) -> Slot:
    async def ask() -> Slot:
        async with database.session_scope() as session:
            return await SlotRepository(session).ask(request, size=size, seconds=_LEASE_SECONDS)

    return await RECORD.call(ask)


async def _renew_regularly(database: Database, request: SlotRequest) -> None:
    while True:
        await asyncio.sleep(_RENEW_SECONDS)
        try:
            async with database.session_scope(answer_seconds=_ANSWER_SECONDS) as session:
                await SlotRepository(session).renew(request, seconds=_LEASE_SECONDS)
        except DatabaseUnavailable as fault:
            _log.warning("The slot at ComfyUI was not renewed, the render goes on: %s", fault)


async def _give_back(database: Database, request: SlotRequest, size: int) -> None:
    """Give the slot to the next in line; if that fails, it lapses by itself."""
    try:
        async with asyncio.timeout(_SHUTDOWN_SECONDS), database.session_scope() as session:
            await SlotRepository(session).leave(request, size=size)
    except (DatabaseUnavailable, TimeoutError) as fault:
        _log.warning("The slot at ComfyUI lapses in %.0f s: %s", _LEASE_SECONDS, fault)

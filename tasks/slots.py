"""Holding a slot at one of the ComfyUI servers from submit to finish."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from anime.core.job_status import Stage
from anime.db.notifications import SLOT
from anime.db.repositories import Slot, SlotRepository, SlotRequest
from anime.db.session import Database
from anime.errors import ComfyUIUnreachable, DatabaseUnavailable, reason_of
from anime.net.tracing import tracer
from anime.retry_policies import RECORD, cancel_until_ended
from tasks.progress import Reporter

_log = logging.getLogger(__name__)

_LEASE_SECONDS = 20.0  # a slot that is not renewed for so long goes to the next
_RENEW_SECONDS = 4.0
_ANSWER_SECONDS = 5.0  # for PostgreSQL's answer: the slot survives one that is lost
_POLL_SECONDS = 1.0  # in case a notification is lost
_SHUTDOWN_SECONDS = 5.0

# What the run asks for after it has not got a slot: other servers may have come.
Reconsider = Callable[[Slot, SlotRequest], Awaitable[SlotRequest]]


@asynccontextmanager
async def hold_slot(
    database: Database,
    request: SlotRequest,
    size: int,
    reporter: Reporter,
    *,
    reconsider: Reconsider | None = None,
    away_seconds: float | None = None,
) -> AsyncIterator[Slot]:
    """Hold a slot at one of the servers for as long as the block lasts; each has `size` of them.

    Waiting has no time-out of its own: every run that holds a slot finishes or is given up, by
    the same rules as this run. Meanwhile the job can be cancelled, and its lease is renewed.
    Only for servers that are all away it waits no longer than `away_seconds`.

    Raises:
        DatabaseUnavailable: it was away for too long while the run waited.
        LeaseLost: a later run of the job has requested the slot.
        ComfyUIUnreachable: all servers that can run the job were away for too long.
    """
    try:
        with tracer.start_as_current_span("wait for slot"):
            slot = await _wait_for_slot(database, request, size, reporter, reconsider, away_seconds)
        renewal = asyncio.create_task(_renew_regularly(database, request))
        try:
            yield slot
        finally:
            await cancel_until_ended(renewal)
    finally:
        await _give_back(database, request, size)


async def _wait_for_slot(
    database: Database,
    request: SlotRequest,
    size: int,
    reporter: Reporter,
    reconsider: Reconsider | None,
    away_seconds: float | None,
) -> Slot:
    away_since: float | None = None
    with database.notifications.listening_to(f"{SLOT}{request.job_id}") as notified:
        reported = ""
        while not (slot := await _stand(database, request, size, notified)).is_held:
            if reconsider is not None:
                request = await reconsider(slot, request)
            is_away = request.estimates.keys() <= slot.away.keys()
            away_since = (away_since or time.monotonic()) if is_away else None
            if away_since and away_seconds and time.monotonic() - away_since >= away_seconds:
                raise _all_away(request, slot)
            if (sentence := _sentence(slot)) != reported:
                reported = sentence
                await reporter.enter(Stage.SUBMITTING, sentence)
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await notified.wait()
    return slot


def _all_away(request: SlotRequest, slot: Slot) -> ComfyUIUnreachable:
    each = "; ".join(f"{url}: {slot.away[url]}" for url in request.estimates)
    return ComfyUIUnreachable(
        f"No server that can run this is fit for it. {each}.",
        "`anime servers` shows them; start ComfyUI there again.",
    )


def _sentence(slot: Slot) -> str:
    if slot.is_paused:
        return "Waiting for a slot at ComfyUI: new renders are paused"
    before = f"{slot.ahead} before it" if slot.ahead else "next in line"
    return f"Waiting for a slot at ComfyUI, {before}"


async def _stand(
    database: Database, request: SlotRequest, size: int, notified: asyncio.Event
) -> Slot:
    """How the request stands: a slot that it was notified of, or else what it is told in line."""
    if notified.is_set():
        notified.clear()
        with suppress(DatabaseUnavailable):
            async with database.autocommit() as session:
                if slot := await SlotRepository(session).given(request):
                    return slot
    return await _ask(database, request, size)


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
        _log.warning("The slot at ComfyUI lapses in %.0f s: %s", _LEASE_SECONDS, reason_of(fault))

"""The delivery of the outbox: one loop in each serving process, which share the work."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from anime.db.repositories import Delivery, DeliveryRepository
from anime.db.repositories.deliveries import DELIVERIES_CHANNEL, DUE
from anime.db.session import Database
from anime.errors import AnimeError, DatabaseUnavailable, DeliveryFailed
from anime.retry_policies import (
    WEBHOOK_DELAYS_SECONDS,
    cancel_until_ended,
    keep_running,
    webhook_delay,
)
from anime.settings import Settings
from anime.webhooks.policy import signing_key
from anime.webhooks.sender import TIMEOUT_SECONDS, Sender

MAX_CONCURRENT = 16
MAX_CONCURRENT_TO_ONE = 4  # one that never answers leaves the other places to other receivers
CLAIM_SECONDS = 4 * TIMEOUT_SECONDS  # a dead process's deliveries are due again after it
POLL_SECONDS = 30.0  # a notification may be lost
_MIN_WAIT_SECONDS = 0.05

_log = logging.getLogger(__name__)


@asynccontextmanager
async def delivering(settings: Settings, database: Database) -> AsyncIterator[None]:
    """Deliver webhooks as long as the block lasts; do nothing where no secret is set.

    Raises:
        ConfigurationError: the secret is not usable, or refers to a variable that is not set.
    """
    key = signing_key(settings)
    if key is None:
        yield
        return

    def current_key() -> bytes:
        try:
            return signing_key(settings) or key
        except AnimeError as fault:
            raise DeliveryFailed(f"It cannot be signed now: {fault.what}") from fault

    async with Sender(current_key, allow_private=settings.webhook_allow_private) as sender:
        task = asyncio.create_task(keep_running(Deliverer(database, sender).run))
        try:
            yield
        finally:
            await cancel_until_ended(task)


class Deliverer:
    """Sends what is due, several at a time, and records each outcome."""

    def __init__(
        self,
        database: Database,
        sender: Sender,
        *,
        delays_seconds: Sequence[float] = WEBHOOK_DELAYS_SECONDS,
        claim_seconds: float = CLAIM_SECONDS,
    ) -> None:
        self._database, self._sender = database, sender
        self._delays_seconds, self._claim_seconds = delays_seconds, claim_seconds
        self._under_way = Counter[str]()  # by receiver

    async def run(self) -> None:
        """Deliver until cancelled. What is under way then is sent again later."""
        notifications = self._database.listener(DELIVERIES_CHANNEL)
        try:
            with notifications.listening_to(DUE) as notified:
                async with asyncio.TaskGroup() as group:
                    while True:
                        notified.clear()
                        wait_seconds = await self._begin_due(group, notified)
                        with suppress(TimeoutError):
                            async with asyncio.timeout(wait_seconds):
                                await notified.wait()
        finally:
            await notifications.close()

    async def _begin_due(self, group: asyncio.TaskGroup, notified: asyncio.Event) -> float:
        """How long to wait for a notification, once what is due has begun, as far as it may."""
        while limit := self._limit():
            busy = self._busy()
            try:
                async with self._database.session_scope() as session:
                    deliveries = DeliveryRepository(session)
                    due = await deliveries.claim(limit, seconds=self._claim_seconds, except_to=busy)
                    next_seconds = await deliveries.seconds_to_next(except_to=busy)
            except DatabaseUnavailable as fault:
                _log.debug("No webhooks for now: %s", fault)
                return POLL_SECONDS
            for delivery in due:
                self._under_way[delivery.receiver] += 1
                group.create_task(self._deliver(delivery, notified))
            if next_seconds is None:
                return POLL_SECONDS
            if len(due) < limit:
                return min(max(next_seconds, _MIN_WAIT_SECONDS), POLL_SECONDS)
        return POLL_SECONDS  # the end of one notifies

    def _busy(self) -> list[str]:
        return [to for to, number in self._under_way.items() if number >= MAX_CONCURRENT_TO_ONE]

    def _limit(self) -> int:
        """How many may be claimed at once, should all be for that receiver with the most."""
        others = (number for number in self._under_way.values() if number < MAX_CONCURRENT_TO_ONE)
        free = MAX_CONCURRENT - self._under_way.total()
        return min(free, MAX_CONCURRENT_TO_ONE - max(others, default=0))

    async def _deliver(self, delivery: Delivery, notified: asyncio.Event) -> None:
        try:
            await self._try_once(delivery)
        except DatabaseUnavailable as fault:  # the claim lapses, and it is sent once more
            _log.warning("Webhook %s: its outcome is not recorded: %s", delivery.id, fault)
        except Exception:  # noqa: BLE001  one that meets a bug must not end the others
            _log.exception("Webhook %s met an unexpected error", delivery.id)
        finally:
            self._under_way -= Counter([delivery.receiver])
            notified.set()

    async def _try_once(self, delivery: Delivery) -> None:
        try:
            await self._sender.send(delivery)
        except DeliveryFailed as fault:
            await self._postpone(delivery, fault)
            return
        async with self._database.session_scope() as session:
            await DeliveryRepository(session).delivered(delivery)
        _log.info("Webhook %s of job %s has arrived", delivery.id, delivery.job_id)

    async def _postpone(self, delivery: Delivery, fault: DeliveryFailed) -> None:
        jitter = random.random()  # noqa: S311  spreads retries; nobody gains by guessing it
        wait = webhook_delay(delivery.attempt, jitter, self._delays_seconds)
        if fault.is_final:
            wait = None
        async with self._database.session_scope() as session:
            await DeliveryRepository(session).failed(delivery, str(fault), retry_seconds=wait)
        then = "is given up" if wait is None else f"is tried again in {wait:.0f} s"
        _log.warning("Webhook %s of job %s %s: %s", delivery.id, delivery.job_id, then, fault)

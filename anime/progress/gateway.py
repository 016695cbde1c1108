"""Following jobs: where WebSocket and server-sent events meet the hub."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from anime.db.session import Database
from anime.progress.hub import Hub
from anime.progress.job_snapshots import JobSnapshots, Snapshot
from anime.progress.redis_connection import connect_redis
from anime.progress.redis_feed import RedisFeed
from anime.progress.send_buffer import SendBuffer
from anime.progress.subscription import Subscription
from anime.progress.websocket_messages import Update

READ_SECONDS = 1.0

Canceller: TypeAlias = Callable[[UUID], Awaitable[object]]


@dataclass(frozen=True)
class Gateway:
    """What connections work with. `streams` are closed when the server stops."""

    hub: Hub
    records: JobSnapshots
    feed: RedisFeed
    cancel: Canceller
    streams: set[SendBuffer] = field(default_factory=set)

    async def follow(
        self, subscription: Subscription, after_seq: int | None
    ) -> tuple[Snapshot, list[Update]]:
        """The job as it stands, and what a listener has missed that names its last number.

        First the live events are held, then the past is read: nothing falls in between. The
        listener has to be told both before `go_live`.

        Raises:
            NotFound: there is no such job.
            DatabaseUnavailable: Redis does not know it, and PostgreSQL does not answer.
        """
        self.hub.add(subscription)
        try:
            snapshot = await self.records.snapshot(subscription.job_id)
            if after_seq is None:
                subscription.start_from(snapshot)
                return snapshot, []
            # A number that was never given: Redis lost its memory and counts anew.
            seq = after_seq if after_seq <= snapshot.published_seq else 0
            events = await self.records.events_after(subscription.job_id, seq)
            return snapshot, subscription.catch_up(seq, snapshot, events)
        except BaseException:
            self.hub.remove(subscription)
            raise

    def go_live(self, subscription: Subscription) -> None:
        """Tell the listener what happens from now on; nothing follows the job's end."""
        subscription.go_live()
        if subscription.is_over:
            self.hub.remove(subscription)

    def end_streams(self) -> None:
        """Let every stream of events end once it has sent what it has."""
        for outbox in self.streams:
            outbox.close()


@asynccontextmanager
async def open_gateway(
    redis_url: str | None, database: Database, cancel: Canceller
) -> AsyncIterator[Gateway]:
    """A gateway that listens for as long as the block lasts."""
    async with AsyncExitStack() as stack:
        redis = connect_redis(redis_url, read_seconds=READ_SECONDS) if redis_url else None
        if redis is not None:
            stack.push_async_callback(redis.aclose)
        hub, records = Hub(), JobSnapshots(redis, database)
        feed = RedisFeed(hub, records, redis=redis, redis_url=redis_url)
        yield Gateway(hub, records, await stack.enter_async_context(feed), cancel)

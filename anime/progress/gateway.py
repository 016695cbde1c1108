"""Following jobs: what WebSocket and server-sent events need of hub, Redis and PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from anime.db.session import Database
from anime.progress.hub import Hub
from anime.progress.redis_connection import connect_redis
from anime.progress.redis_feed import RedisFeed
from anime.progress.send_buffer import SendBuffer
from anime.progress.snapshot_reader import ProgressSnapshot, SnapshotReader
from anime.progress.subscription import Subscription
from anime.progress.websocket_messages import Update

READ_SECONDS = 1.0

Canceller: TypeAlias = Callable[[UUID], Awaitable[object]]


@dataclass(frozen=True)
class Gateway:
    """What every connection works with. `streams` are closed when the server stops."""

    hub: Hub
    snapshots: SnapshotReader
    feed: RedisFeed
    cancel: Canceller
    streams: set[SendBuffer] = field(default_factory=set)

    async def follow(
        self, subscription: Subscription, after_seq: int | None
    ) -> tuple[ProgressSnapshot, list[Update]]:
        """The job as it stands, and the updates after the number that a listener knows.

        First the live events are held, then the past is read, so that nothing is lost in between.
        The caller sends both to the listener before `go_live`.

        Raises:
            NotFound: there is no such job.
            DatabaseUnavailable: Redis does not know it, and PostgreSQL does not answer.
        """
        self.hub.add(subscription)
        try:
            snapshot = await self.snapshots.snapshot(subscription.job_id)
            if after_seq is None:
                subscription.start_from(snapshot)
                return snapshot, []
            # A number that was never given: Redis has lost its data and counts anew.
            seq = after_seq if after_seq <= snapshot.published_seq else 0
            events = await self.snapshots.events_after(subscription.job_id, seq)
            return snapshot, subscription.catch_up(seq, snapshot, events)
        except BaseException:
            self.hub.remove(subscription)
            raise

    def go_live(self, subscription: Subscription) -> None:
        """Send the listener what happens from now on; nothing follows the job's end."""
        subscription.go_live()
        if subscription.is_over:
            self.hub.remove(subscription)

    def end_streams(self) -> None:
        """Let every stream of events end once it has sent what it has."""
        for buffer in self.streams:
            buffer.close()


@asynccontextmanager
async def open_gateway(
    redis_url: str | None, database: Database, cancel: Canceller
) -> AsyncIterator[Gateway]:
    """A gateway that listens for as long as the block lasts."""
    async with AsyncExitStack() as stack:
        redis = connect_redis(redis_url, read_seconds=READ_SECONDS) if redis_url else None
        if redis is not None:
            stack.push_async_callback(redis.aclose)
        hub, snapshots = Hub(), SnapshotReader(redis, database)
        feed = RedisFeed(hub, snapshots, redis=redis, redis_url=redis_url)
        yield Gateway(hub, snapshots, await stack.enter_async_context(feed), cancel)

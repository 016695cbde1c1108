"""Connections to Redis, all made alike."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECT_SECONDS = 1.0


def connect_redis(url: str, *, read_seconds: float) -> Redis:
    """A client that waits so long for an answer; it connects when it is first used."""
    return Redis.from_url(
        url,
        protocol=2,  # one shape of answers from every server
        decode_responses=True,
        encoding_errors="replace",  # one bad message is no reason to lose the next
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=read_seconds,
        # Once more at once: a connection that the server closed while idle is no outage.
        retry=Retry(NoBackoff(), 1),
    )

"""How many requests each caller may send: so many a minute, counted in this process."""

import hashlib
import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import HTTPConnection

from anime.errors import TooManyRequests


class RateLimit:
    """Counts the requests of each token; those without one, of each address.

    So whoever tries tokens is slowed down, however many they try.
    """

    def __init__(self, per_minute: int) -> None:
        self._limit = RateLimitItemPerMinute(per_minute)
        self._counter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def count(self, connection: HTTPConnection, credential: str | None) -> None:
        """Count one request. `credential`: the token or session by which it was let in, if any.

        Raises:
            TooManyRequests: there were too many within a minute.
        """
        if credential is not None:
            caller = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()
        else:
            caller = connection.client.host if connection.client else "unknown"
        if self._counter.hit(self._limit, caller):
            return
        until = self._counter.get_window_stats(self._limit, caller).reset_time
        raise TooManyRequests(
            f"More than {self._limit.amount} requests came within a minute.",
            "Wait as long as Retry-After says; for progress, use a WebSocket instead of asking.",
            wait_seconds=max(1, math.ceil(until - time.time())),
        )

"""How fast a client may send, purely."""

from dataclasses import dataclass


@dataclass(slots=True)
class ClientRateLimit:
    """So many messages a second, and after a pause a burst of so many at once."""

    per_second: float
    burst: float
    _owed: float = 0.0
    _at: float = 0.0

    def delay(self, now: float) -> float:
        """Seconds to wait before the message that came at `now` may be answered.

        >>> pace = ClientRateLimit(per_second=10, burst=2)
        >>> [pace.delay(100.0) for _ in range(4)]
        [0.0, 0.0, 0.1, 0.2]
        """
        self._owed = max(0.0, self._owed - (now - self._at) * self.per_second) + 1
        self._at = now
        return max(0.0, (self._owed - self.burst) / self.per_second)

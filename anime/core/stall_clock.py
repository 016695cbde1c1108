"""Whether a prompt has shown no progress for too long.

ComfyUI tells over a WebSocket which node runs, and each step of a node that counts steps. So what
silence means depends on what could be heard:

* The prompt waits although nothing runs: the server's worker has died.
* A socket is up, and the node stopped between two of its steps, or no node was ever named.
* No socket is up, or a node runs that counts no steps, such as a VAE decode, the loading of a
  model or a call to another service. That the server answers, and says that the prompt runs, is
  then all the life that a healthy render shows.

The first two have the limit `stall`, the last one has the limit `silence`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from anime.core.prompt_state import Running, Sighting

RECONNECT_SECONDS = 5.0  # a socket away for longer may have missed that a node's steps ended


@dataclass(frozen=True)
class StallLimits:
    """How long a prompt may show no progress, in seconds, by what could be heard of it."""

    stall: float
    silence: float


class Stall(StrEnum):
    """Why a prompt is taken for stalled."""

    NOTHING_RUNS = "nothing runs"
    NO_STEP = "no step"
    SILENCE = "silence"


class StallClock:
    """How long one prompt has shown no progress, look by look.

    >>> clock = StallClock(StallLimits(stall=600, silence=21600), at=0)
    >>> clock.stepped("3", value=1, maximum=20)
    >>> clock.looked(at=601, deaf_seconds=0)
    >>> clock.stall(Running())
    <Stall.NO_STEP: 'no step'>
    >>> clock.entered("8")
    >>> clock.stall(Running()) is None
    True
    """

    def __init__(self, limits: StallLimits, *, at: float) -> None:
        """Times are in seconds on any clock that never goes back."""
        self._limits = limits
        self._looked_at = at
        self._node: str | None = None
        self._is_between_steps = False
        self._heard_silence_seconds = 0.0
        self.silent_seconds = 0.0

    def moved(self) -> None:
        """Something was heard of the prompt, or it is elsewhere in the queue."""
        self.silent_seconds = self._heard_silence_seconds = 0.0

    def heard(self, *, at: float) -> None:
        """A socket told of its progress: that counts as a look."""
        self._looked_at = at
        self.moved()

    def entered(self, node: str | None) -> None:
        """That node runs now."""
        if node != self._node:
            self._node, self._is_between_steps = node, False

    def stepped(self, node: str | None, *, value: float, maximum: float) -> None:
        """The node has done so many of its steps."""
        self._node = node
        self._is_between_steps = 0 < value < maximum

    def looked(self, *, at: float, deaf_seconds: float) -> None:
        """The server answered; a socket has been away for so long, 0 if one is up."""
        elapsed, self._looked_at = at - self._looked_at, at
        self.silent_seconds += elapsed
        if deaf_seconds == 0:
            self._heard_silence_seconds += elapsed
        elif deaf_seconds > RECONNECT_SECONDS:
            self._node, self._is_between_steps = None, False
            self._heard_silence_seconds = 0.0

    def not_answered(self, *, at: float) -> None:
        """The server did not answer: it could not have told of progress."""
        self._looked_at = at

    def stall(self, sighting: Sighting[Any]) -> Stall | None:  # however the history is kept
        """Why the prompt, where it was seen just now, is taken for stalled; None if it is not."""
        limits = self._limits
        if not isinstance(sighting, Running):
            return Stall.NOTHING_RUNS if self.silent_seconds >= limits.stall else None
        tells_steps = self._node is None or self._is_between_steps
        if tells_steps and self._heard_silence_seconds >= limits.stall:
            return Stall.NO_STEP
        # A studio that waits longer for a step waits as long for a silent node.
        is_silent = self.silent_seconds >= max(limits.silence, limits.stall)
        return Stall.SILENCE if is_silent else None

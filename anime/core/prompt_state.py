"""Where a prompt is, judged from successive looks at the server that took it.

A look asks the queue first and the history second. A prompt that ends in between is then
found in the history; asked the other way round it is found nowhere, although all is well.
Even so one look never proves a loss: only absence that lasts does.
"""

from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

EntryT = TypeVar("EntryT")

_NEAR_SHARE = 0.1  # the last events before a server's death may not arrive


@dataclass(frozen=True)
class Pending:
    """It waits; `position` 0 is next. `is_idle`: nothing runs, although something waits."""

    position: int
    is_idle: bool = False


@dataclass(frozen=True)
class Running:
    """The server works on it."""


@dataclass(frozen=True)
class Finished(Generic[EntryT]):
    """It ended, well or badly: the history's entry says which."""

    entry: EntryT


@dataclass(frozen=True)
class RenderPoint:
    """How far a render was: at that node, if any was named, with that share of its steps done."""

    node: str | None = None
    share: float = 0.0

    def is_near(self, other: "RenderPoint") -> bool:
        """Whether two renders of one graph were about as far.

        >>> RenderPoint("3", 0.25).is_near(RenderPoint("3", 0.3))
        True
        >>> RenderPoint("3", 0.25).is_near(RenderPoint("3", 0.75))
        False
        """
        return self.node == other.node and abs(self.share - other.share) <= _NEAR_SHARE


@dataclass(frozen=True)
class Absent:
    """One look found it in neither queue nor history, which proves nothing yet."""


@dataclass(frozen=True)
class Lost:
    """It is gone for good. `restarted`: the server was seen to go away in between."""

    restarted: bool


@dataclass(frozen=True)
class Unknown:
    """The server did not answer, or not often enough to be sure."""


Sighting: TypeAlias = Pending | Running | Finished[EntryT] | Absent
RunState: TypeAlias = Pending | Running | Finished[EntryT] | Lost | Unknown


@dataclass(frozen=True)
class PromptWatch(Generic[EntryT]):
    """What all looks so far come to. Times are in seconds on any clock that never goes back.

    `accepted`: the server is known to have had the prompt, by its answer or by a sighting.
    """

    accepted: bool
    grace_seconds: float
    state: RunState[EntryT] = Unknown()
    absent_since: float | None = None
    restarted: bool = False

    def saw(self, sighting: Sighting[EntryT], *, at: float) -> "PromptWatch[EntryT]":
        """The watch after a look that the server answered.

        >>> watch = PromptWatch[str](accepted=True, grace_seconds=2).saw(Absent(), at=10)
        >>> watch.state, watch.saw(Absent(), at=12).state
        (Unknown(), Lost(restarted=False))
        """
        if not isinstance(sighting, Absent):
            return replace(self, accepted=True, state=sighting, absent_since=None, restarted=False)
        since = at if self.absent_since is None else self.absent_since
        is_proven = self.accepted and self.absent_since is not None
        if is_proven and at - since >= self.grace_seconds:
            return replace(self, state=Lost(self.restarted), absent_since=since)
        return replace(self, state=Unknown(), absent_since=since)

    def heard_nothing(self) -> "PromptWatch[EntryT]":
        """The watch after a look that nobody answered: the server may have restarted."""
        return replace(self, state=Unknown(), restarted=True)

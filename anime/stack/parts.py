"""A part as the supervisor starts it, and the status that it reports."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from signal import SIGTERM, Signals


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The operating-system user that a program runs as."""

    name: str
    uid: int
    gid: int


# Of parts that nobody waits for: the API and the databases get the processor first.
BACKGROUND_NICENESS = 5

# Whether the part is ready; its argument: seconds since its program was started.
ReadinessCheck = Callable[[float], Awaitable[bool]]


async def always_ready(age_seconds: float) -> bool:
    """True: for programs that need no time to get ready."""
    del age_seconds
    return True


@dataclass(frozen=True, slots=True)
class Part:
    """One long-running program of the stack. Times are in seconds.

    A start may take `start_timeout_seconds`, and up to `start_limit_seconds` while the program
    makes progress. `niceness` is set once it is ready, so that the start is not slowed down.
    `inherits_output`: it writes where this process does, and not to its log.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str]
    folder: Path
    is_ready: ReadinessCheck = always_ready
    url: str | None = None
    account: ServiceAccount | None = None
    stop_signal: Signals = SIGTERM
    start_timeout_seconds: float = 90
    start_limit_seconds: float = 300
    stop_timeout_seconds: float = 10
    niceness: int = 0
    inherits_output: bool = False


class PartState(StrEnum):
    """The state of a part, or of a step of the start."""

    STARTING = "starting"
    READY = "ready"
    DIED = "died"  # and is restarted
    LOST = "lost"  # died too often; the stack stops
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part has changed its state. `seconds` is how long that took."""

    name: str
    state: PartState
    seconds: float = 0.0
    detail: str = ""

    def __str__(self) -> str:
        took = f" after {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.state}{took}" + (f": {self.detail}" if self.detail else "")


StatusListener = Callable[[PartStatus], None]


def ignore_status(status: PartStatus) -> None:
    """Do nothing: for callers that need no status."""
    del status

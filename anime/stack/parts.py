"""What the supervisor is told about a part, and what it tells about it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from signal import SIGTERM, Signals


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The operating-system user a program runs as."""

    name: str
    uid: int
    gid: int


# Of what works behind an answer: the API, and the stores it asks, have the processor first.
BEHIND = 5

# Whether the part is ready, asked some seconds after its program was started.
Probe = Callable[[float], Awaitable[bool]]


async def always_ready(age_seconds: float) -> bool:
    """True: for programs that are of use from their first moment."""
    del age_seconds
    return True


@dataclass(frozen=True, slots=True)
class Part:
    """One long-running program of the stack. Times are in seconds.

    A start may take `start_timeout_seconds`, and up to `start_limit_seconds` while the program
    shows that it works. `niceness` is its own once it is ready: a starved start helps nobody.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str]
    folder: Path
    is_ready: Probe = always_ready
    url: str | None = None
    account: ServiceAccount | None = None
    stop_signal: Signals = SIGTERM
    start_timeout_seconds: float = 90
    start_limit_seconds: float = 300
    stop_timeout_seconds: float = 10
    niceness: int = 0


class PartState(StrEnum):
    """Where a part, or a step of the start, stands."""

    STARTING = "starting"
    READY = "ready"
    DIED = "died"  # and is started anew
    LOST = "lost"  # died too often; the stack stops
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One line of news: a part changed its state. `seconds` is how long that took."""

    name: str
    state: PartState
    seconds: float = 0.0
    detail: str = ""

    def __str__(self) -> str:
        took = f" after {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.state}{took}" + (f": {self.detail}" if self.detail else "")


Report = Callable[[PartStatus], None]


def ignore_status(status: PartStatus) -> None:
    """Nothing: for those who do not watch."""
    del status

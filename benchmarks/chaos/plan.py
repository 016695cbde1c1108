"""What is done to which part and when: decided by a seed alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Action(StrEnum):
    """What is done to a part of the stack."""

    KILL = "kill"  # SIGKILL; the supervisor starts it again
    STOP = "stop"  # SIGSTOP, and SIGCONT after some seconds
    CUT = "cut"  # every connection to it is closed


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One action. `at`: seconds after the start. `seconds`: how long a part is stopped."""

    at: float
    action: Action
    part: str
    seconds: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:6.1f} s  {self.action} {self.part}{lasting}"


# Those whose connections can be closed from outside; ComfyUI's break off by a fault of its own.
WITH_SESSIONS = frozenset({"postgresql", "valkey"})
# The supervisor gives a part up that dies four times within a minute, and a start may fail
# because of another part: so each part is left alone for a while after it was disturbed. Those
# that take long to start get longer; else nothing would ever run.
REST_SECONDS = 30.0
LONGER_REST_SECONDS = {"api": 45.0, "worker": 60.0, "prefect": 90.0}
STOPPED_SECONDS = (1.0, 8.0)


def rest_seconds(part: str) -> float:
    """How long a part is left alone after it was disturbed."""
    return LONGER_REST_SECONDS.get(part, REST_SECONDS)


def disturbances(seed: int, parts: Sequence[str], *, every_seconds: float) -> Iterator[Disturbance]:
    """Disturbances without end, about so far apart, in the order of their times."""
    random = Random(seed)  # noqa: S311  a run can be repeated
    free_at = dict.fromkeys(parts, 0.0)
    at = 0.0
    while True:
        at += every_seconds * random.uniform(0.5, 1.5)
        free = [part for part in parts if free_at[part] <= at]
        if not free:
            continue
        part = random.choice(free)
        actions = [action for action in Action if action is not Action.CUT or part in WITH_SESSIONS]
        action = random.choice(actions)
        seconds = random.uniform(*STOPPED_SECONDS) if action is Action.STOP else 0.0
        free_at[part] = at + seconds + rest_seconds(part)
        yield Disturbance(at, action, part, seconds)

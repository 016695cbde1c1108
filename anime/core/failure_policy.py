"""What becomes of a job whose render failed at one of the servers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

MAX_MOVES = 8  # of one job from server to server

SilentServerPolicy = Literal["fail", "move"]


class Trouble(StrEnum):
    """How a render failed, as far as another attempt may help."""

    LOST = "lost"  # the server no longer knows the prompt
    INTERRUPTED = "interrupted"  # somebody stopped it there
    OUT_OF_MEMORY = "out of memory"
    FULL = "full"  # others hold the server's memory
    GPU_FAULT = "GPU fault"  # only a restart of ComfyUI heals it
    DEAD = "dead"  # nobody listens at the server's port
    SILENT = "silent"  # the server has not answered for as long as is waited
    IDLE = "idle"  # the prompt waited although nothing ran: the server's worker has died


class Remedy(StrEnum):
    """What is done next."""

    GIVE_UP = "give up"  # the job fails with the reason
    AGAIN = "again"  # at whichever server is next
    FREED = "freed"  # at the same server, which has let go of its models
    LARGER = "larger"  # at a server with more memory
    ELSEWHERE = "elsewhere"  # at another server; this one is left out for this job


@dataclass(frozen=True, slots=True)
class RenderFailure:
    """A failed attempt. `others`, `larger`: such servers, with more memory, can run the job, too.

    `lost` counts the attempts that were no moves, with this one; `moves` those that were.
    """

    trouble: Trouble
    lost: int = 1
    moves: int = 0
    others: bool = False
    larger: bool = False
    was_freed: bool = False  # the job ran out of memory at this server before


def remedy_for(
    failure: RenderFailure, *, max_attempts: int, silent_server: SilentServerPolicy
) -> Remedy:
    """What is done next. A silent server may still render: by default nobody else does, too.

    >>> failure = RenderFailure(Trouble.DEAD, others=True)
    >>> remedy_for(failure, max_attempts=3, silent_server="fail").value
    'elsewhere'
    """
    may_move = failure.others and failure.moves < MAX_MOVES
    elsewhere = Remedy.ELSEWHERE if may_move else Remedy.GIVE_UP
    match failure.trouble:
        case Trouble.LOST | Trouble.INTERRUPTED:
            return Remedy.AGAIN if failure.lost < max_attempts else Remedy.GIVE_UP
        case Trouble.OUT_OF_MEMORY if not failure.was_freed:
            return Remedy.FREED
        case Trouble.OUT_OF_MEMORY:
            return Remedy.LARGER if failure.larger and may_move else Remedy.GIVE_UP
        case Trouble.SILENT:
            return elsewhere if silent_server == "move" else Remedy.GIVE_UP
        case Trouble.FULL | Trouble.GPU_FAULT | Trouble.DEAD | Trouble.IDLE:
            return elsewhere

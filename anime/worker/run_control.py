"""How a run that is under way is asked to end, and how the code inside it learns that."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class EndReason(StrEnum):
    """Why a run is ended before its work is done."""

    CANCELLED = "cancelled"  # somebody does not want it any more: its hooks run
    HANDED_BACK = "handed back"  # this worker stops: another one goes on with it


class RunEnded(BaseException):
    """Thrown into a thread that hears of no cancelled task: a sync flow, or a blocked loop.

    No `Exception`, so that a flow's own error handling does not take it for one of its errors.
    """


@dataclass(slots=True)
class RunControl:
    """What the worker asks of one run; set in the worker's thread, read in the run's."""

    run_id: UUID
    ending: EndReason | None = None


# Tasks and threads of the run, and the flows it calls, inherit it.
control_of_this_run: ContextVar[RunControl | None] = ContextVar("anime-warm-run", default=None)

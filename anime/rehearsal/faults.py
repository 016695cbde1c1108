"""The errors that the rehearsal server can simulate.

They are used in two places only: `prompt_run` calls `Faults.before_node` before each node that it
executes, and `prompt_worker` waits `history_delay_seconds` before it adds a prompt to the history.
A new error is a field here and, if a node raises it, a line in `before_node`.
"""

from pydantic import BaseModel, ConfigDict, Field


class SimulatedNodeError(Exception):
    """An error of a node, with the exception type that ComfyUI would report."""

    def __init__(self, reported_as: str, message: str) -> None:
        super().__init__(message)
        self.reported_as = reported_as


class Faults(BaseModel):
    """None is simulated unless it is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out_of_memory_at: frozenset[str] = Field(
        default=frozenset(), description="Classes of nodes that run out of GPU memory."
    )
    history_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        description="Seconds from execution_success to the history entry; in ComfyUI 0–0.25.",
    )

    def before_node(self, class_type: str) -> None:
        """Raise the simulated error of that node, if it has one.

        Raises:
            SimulatedNodeError: as configured.
        """
        if class_type in self.out_of_memory_at:
            raise SimulatedNodeError("torch.OutOfMemoryError", "Allocation on device (rehearsed)")

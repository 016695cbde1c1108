"""How the rehearsal server can be told to misbehave.

The switches are asked in two places only: `prompt_run` calls `Faults.before_node` ahead of every
node it executes, and `worker` waits `history_delay_seconds` before it files a finished prompt.
A new switch is a field here and, if it strikes at a node, a line in `before_node`.
"""

from pydantic import BaseModel, ConfigDict, Field


class SimulatedNodeError(Exception):
    """What a node of ComfyUI raises, under the name that ComfyUI would report."""

    def __init__(self, reported_as: str, message: str) -> None:
        super().__init__(message)
        self.reported_as = reported_as


class Faults(BaseModel):
    """Every switch is off unless it is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out_of_memory_at: frozenset[str] = Field(
        default=frozenset(), description="Classes of nodes that run out of GPU memory."
    )
    history_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        description="How long after execution_success the history entry appears; really 0–0.25.",
    )

    def before_node(self, class_type: str) -> None:
        """Let a node fail before it does anything.

        Raises:
            SimulatedNodeError: a switch says so.
        """
        if class_type in self.out_of_memory_at:
            raise SimulatedNodeError("torch.OutOfMemoryError", "Allocation on device (rehearsed)")

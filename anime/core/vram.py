"""Can a workflow run on a GPU, now, later, or never?"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

VramSource = Literal["nvml", "system_stats", "unknown"]


@dataclass(frozen=True)
class VramReading:
    """Memory of the GPU that would render, in MB, and who says so.

    `held_by_comfyui_mb` is what ComfyUI itself occupies: it gives that up when a prompt
    needs it, so it counts as available. `is_exact`: the driver has told it, so that a /free
    would tell nothing new.
    """

    source: VramSource
    total_mb: int
    free_mb: int
    held_by_comfyui_mb: int = 0
    device_type: str = "cuda"
    is_exact: bool = False

    @property
    def available_mb(self) -> int:
        """What a prompt of ComfyUI can have."""
        return min(self.total_mb, self.free_mb + self.held_by_comfyui_mb)


@dataclass(frozen=True)
class FreedMemory:
    """What a server's /free once gave back, and what was free of its GPU afterwards, in MB."""

    given_back_mb: int
    free_after_mb: int


def held_by_comfyui(
    free_mb: int,
    *,
    torch_mb: int,
    process_mb: int | None = None,
    freed: FreedMemory | None = None,
) -> int:
    """What ComfyUI itself occupies of its GPU, in MB.

    Args:
        free_mb: What is free now.
        torch_mb: What PyTorch has allocated in the server, as it says. With dynamic memory, the
            default since ComfyUI 0.30, models are not in it.
        process_mb: What the driver says of the server's process, which is all of it.
        freed: What /free gave back, if the server may have loaded that again. As much of it
            counts as is missing since: others may hold the rest.

    >>> held_by_comfyui(4_207, torch_mb=64, freed=FreedMemory(6_636, free_after_mb=10_843))
    6636
    """
    if process_mb is not None:
        return process_mb
    missing_mb = max(0, freed.free_after_mb - free_mb) if freed else 0
    return max(torch_mb, min(freed.given_back_mb, missing_mb) if freed else 0)


class VramOutcome(StrEnum):
    """Whether a workflow can run."""

    FITS = "fits"
    WAIT = "wait"  # others hold too much of the card at the moment
    NEVER = "never"  # the card is too small even when empty


@dataclass(frozen=True)
class VramVerdict:
    """The outcome and one sentence on why; `missing_mb` is what is not there, in MB."""

    outcome: VramOutcome
    reason: str
    missing_mb: int = 0

    @property
    def fits(self) -> bool:
        """Whether the workflow can run now."""
        return self.outcome is VramOutcome.FITS

    @property
    def never(self) -> bool:
        """Whether waiting is of no use."""
        return self.outcome is VramOutcome.NEVER


def assess(need_mb: int, reading: VramReading) -> VramVerdict:
    """Whether a workflow that needs so many MB can run.

    >>> assess(8000, VramReading("nvml", total_mb=24000, free_mb=3000)).outcome.value
    'wait'
    """
    if reading.device_type == "cpu":
        return VramVerdict(VramOutcome.FITS, "ComfyUI renders on the CPU: no VRAM to check.")
    if reading.source == "unknown" or reading.total_mb <= 0:
        return VramVerdict(VramOutcome.FITS, "Nobody says how much VRAM there is: not checked.")
    if need_mb > reading.total_mb:
        return VramVerdict(
            VramOutcome.NEVER,
            f"The workflow needs {need_mb} MB of VRAM; the GPU has {reading.total_mb} MB in all.",
            need_mb - reading.total_mb,
        )
    available = reading.available_mb
    if need_mb > available:
        missing = need_mb - available
        return VramVerdict(
            VramOutcome.WAIT,
            f"Waiting for {missing} MB of VRAM: {need_mb} MB needed, {available} of"
            f" {reading.total_mb} MB available.",
            missing,
        )
    return VramVerdict(
        VramOutcome.FITS,
        f"{available} of {reading.total_mb} MB of VRAM available, {need_mb} MB needed"
        f" (source: {reading.source}).",
    )

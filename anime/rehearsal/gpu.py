"""A pretended GPU: which checkpoints it holds and how much memory is left, in bytes."""

import asyncio

from anime.rehearsal.node_types import JsonObject

MIB = 2**20
IDLE_MB = 400  # what any process on a GPU holds
SD15_MB = 2_300
SDXL_MB = 6_900


class Gpu:
    """Memory that loading a checkpoint takes and /free gives back."""

    def __init__(self, total_mb: int, load_seconds: float) -> None:
        self._total_mb = total_mb
        self._load_seconds = load_seconds
        self._resident: dict[str, int] = {}

    async def hold(self, checkpoint: str) -> None:
        """Load a checkpoint unless it is there, pushing out the oldest ones if they must go."""
        if checkpoint in self._resident:
            return
        await asyncio.sleep(self._load_seconds)
        need = min(checkpoint_mb(checkpoint), self._total_mb - IDLE_MB)
        while self._resident and self._free_mb < need:
            del self._resident[next(iter(self._resident))]
        self._resident[checkpoint] = max(0, need)

    def unload(self) -> None:
        """Give back what the checkpoints hold."""
        self._resident.clear()

    @property
    def _held_mb(self) -> int:
        return sum(self._resident.values())

    @property
    def _free_mb(self) -> int:
        return max(0, self._total_mb - IDLE_MB - self._held_mb)

    def describe(self) -> JsonObject:
        """The device as /system_stats shows it."""
        return {
            "name": "rehearsal (no GPU)",
            "type": "rehearsal",
            "index": 0,
            "vram_total": self._total_mb * MIB,
            "vram_free": self._free_mb * MIB,
            "torch_vram_total": self._held_mb * MIB,
            "torch_vram_free": 0,
        }


def checkpoint_mb(name: str) -> int:
    """What a checkpoint of that name would hold on a real GPU, in MB."""
    return SDXL_MB if "xl" in name.lower() else SD15_MB

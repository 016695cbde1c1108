"""A simulated GPU: the checkpoints that are loaded, and the free memory."""

import asyncio

from anime.rehearsal.node_types import JsonObject

MIB = 2**20
IDLE_MB = 400  # what any process on a GPU takes
SD15_MB = 2_300
SDXL_MB = 6_900


class Gpu:
    """Loading a checkpoint takes memory, and /free releases it."""

    def __init__(self, total_mb: int, load_seconds: float) -> None:
        self._total_mb = total_mb
        self._load_seconds = load_seconds
        self._resident: dict[str, int] = {}

    async def load(self, checkpoint: str) -> None:
        """Load a checkpoint unless it is loaded; unloads the oldest ones if it must."""
        if checkpoint in self._resident:
            return
        await asyncio.sleep(self._load_seconds)
        size_mb = min(checkpoint_mb(checkpoint), self._total_mb - IDLE_MB)
        while self._resident and self._free_mb < size_mb:
            del self._resident[next(iter(self._resident))]
        self._resident[checkpoint] = max(0, size_mb)

    def unload(self) -> None:
        """Unload all checkpoints."""
        self._resident.clear()

    @property
    def _held_mb(self) -> int:
        return sum(self._resident.values())

    @property
    def _free_mb(self) -> int:
        return max(0, self._total_mb - IDLE_MB - self._held_mb)

    def describe(self) -> JsonObject:
        """The device as /system_stats shows it, with memory in bytes."""
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
    """MB that a checkpoint of that name would take on a real GPU."""
    return SDXL_MB if "xl" in name.lower() else SD15_MB
